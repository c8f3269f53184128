"""The report as text: the headline, and one table for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from talkalike.evaluation.bits import BitsReport
from talkalike.evaluation.intervals import Estimate
from talkalike.evaluation.likeness import LikenessReport

NONE = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One measure, ready to print. `ideal` says what a perfect double would have."""

    measure: str
    double: str
    base: str
    author: str
    ideal: str
    meaning: str


def headline(report: LikenessReport) -> str:
    """The result in one or two plain sentences."""
    style = report.style
    if style is None or style.recovery.value is None:
        why = report.notes[0] if style is None and report.notes else ""
        return f"How much of {report.author}'s style the double has cannot be said. " + (
            style.recovery.why if style is not None else why
        )
    recovered, low, high = style.recovery.value, style.recovery.low or 0.0, style.recovery.high or 0.0
    verdict = f"In its style of writing, the double has come part of the way from the base model to {report.author}"
    if recovered <= 0.05:
        verdict = f"The double sounds no more like {report.author} than the base model does"
    elif recovered >= 0.95:
        verdict = f"In pools of {style.pool_size} replies, the double can hardly be told from {report.author} by style"
    return f"{verdict} (style recovery {_percent(recovered)}, 95% interval {_percent(low)} to {_percent(high)})."


def summary_table(report: LikenessReport) -> list[SummaryRow]:
    """Every number with what it means, the double beside the base and the author."""
    return [*_style_rows(report), *_bits_rows(report), *_reply_rows(report)]


def remarks(report: LikenessReport) -> list[str]:
    """Remarks to show beside the lifts, so that nobody takes a small number for a finding."""
    return [] if report.bits is None else [*_about_speaker_lift(report.bits), *_about_context_lift(report.bits)]


def reasons(report: LikenessReport) -> list[str]:
    """Why numbers are missing, each reason once."""
    found: dict[str, None] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("why"):
                found[value["why"]] = None
            for part in value.values():
                collect(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                collect(part)

    collect(report.as_json())
    return list(found)


def show(found: Estimate, *, percent: bool = False, digits: int = 2) -> str:
    """A number with its interval, or a dash."""
    if found.value is None:
        return NONE
    value, low, high = (
        _percent(number) if percent else f"{number + 0.0:.{digits}f}" if number is not None else NONE
        for number in (found.value, found.low, found.high)
    )
    return f"{value} [{low}, {high}]"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{round(100 * value) + 0}%"


def _row(
    measure: str,
    *arms: Estimate | str,
    ideal: str,
    meaning: str,
    percent: bool = False,
    digits: int = 2,
) -> SummaryRow:
    """`arms`: of the double, of the base, and of the author where there is one."""
    double, base, author = (
        arm if isinstance(arm, str) else show(arm, percent=percent, digits=digits) for arm in (*arms, NONE)[:3]
    )
    return SummaryRow(measure=measure, double=double, base=base, author=author, ideal=ideal, meaning=meaning)


def _style_rows(report: LikenessReport) -> Iterator[SummaryRow]:
    style = report.style
    if style is None:
        return
    others = "" if style.others is None else f" Other people of these chats: {show(style.others.share, percent=True)}."
    yield _row(
        "style recovery",
        *(style.recovery, "0%", "100%"),
        percent=True,
        ideal="100%",
        meaning="How far the double has come from the base model (0%) to the author (100%), "
        "counted in pools of replies that a classifier attributes to the author.",
    )
    yield _row(
        "style recovery, log-odds",
        *(style.recovery_log_odds, "0%", "100%"),
        percent=True,
        ideal="100%",
        meaning="The same by how sure the classifier is, which still shows differences where the share is 0% or 100%. "
        "Above 100%: more typical of the author than the author's own replies.",
    )
    yield _row(
        "attributed to the author",
        *(style.double.share, style.base.share, style.real.share),
        percent=True,
        ideal="as the author",
        meaning=f"Share of pools of {style.pool_size} replies that the classifier attributes to the author.{others}",
    )


def _bits_rows(report: LikenessReport) -> Iterator[SummaryRow]:
    bits = report.bits
    if bits is None:
        return
    yield _row(
        "bits per character",
        *(bits.double.bits_per_character, bits.base.bits_per_character),
        digits=3,
        ideal="low",
        meaning="How surprised the model is by what the author really wrote. "
        f"The double saves {show(bits.gain, digits=3)} against its base.",
    )
    by_name = "Bits per character gained by the right name over another speaker's: how well the model knows who is who."
    yield _row(
        "speaker lift",
        *(bits.double.speaker_lift, bits.base.speaker_lift),
        digits=3,
        ideal="above 0" if len(bits.learned) > 1 else NONE,
        meaning=" ".join((by_name, *_about_speaker_lift(bits))),
    )
    by_context = (
        "Bits per character gained by the true context over as much of another session of the same chat: "
        "how much the model uses the context."
    )
    yield _row(
        "context lift",
        *(bits.double.context_lift, bits.base.context_lift),
        digits=3,
        ideal="above 0",
        meaning=" ".join((by_context, *_about_context_lift(bits))),
    )


def _about_speaker_lift(bits: BitsReport) -> list[str]:
    if len(bits.learned) == 1:
        return ["A double of one person learned to write like them under any name: its speaker lift is about 0."]
    return _about_zero("speaker lift", bits.double.speaker_lift)


def _about_context_lift(bits: BitsReport) -> list[str]:
    return _about_zero("context lift", bits.double.context_lift)


def _about_zero(measure: str, found: Estimate) -> list[str]:
    return [f"The double's {measure} cannot be told from 0 with {found.n} replies."] if found.may_be_zero else []


def _reply_rows(report: LikenessReport) -> Iterator[SummaryRow]:
    told_apart, copying, rates = report.two_sample, report.copying, report.reactions
    yield _row(
        "real or generated (AUC)",
        *(told_apart.double, told_apart.base, told_apart.author),
        ideal="0.5",
        meaning="How often a fresh classifier picks the real one of a real and a generated reply. "
        "0.5 is guessing, 1.0 is always. For the author: held-out against earlier replies.",
    )
    yield _row(
        "habit distance",
        *(report.habits.double, report.habits.base, "1.0"),
        digits=1,
        ideal="1.0",
        meaning="Length, bursts, emoji, punctuation, capitals and more (median), "
        "in units of how far the author's later replies are from the author's earlier ones.",
    )
    yield _row(
        "verbatim copies",
        *(copying.double.from_anyone, copying.base.from_anyone, copying.real.from_anyone),
        percent=True,
        ideal="as the author",
        meaning=f"Replies that repeat {copying.words} words or {copying.characters} characters in a row "
        "of a training message by anyone.",
    )
    if any(arm.value for arm in (rates.real, rates.double, rates.base)):
        yield _row(
            "replies with a reaction",
            *(rates.double, rates.base, rates.real),
            percent=True,
            ideal="as the author",
            meaning="Replies that put an emoji on the message before, with or without words. "
            "All other measures are about words only.",
        )
