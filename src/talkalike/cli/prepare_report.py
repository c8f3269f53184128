"""What `talkalike prepare` shows: counts, what was left out and why, what other silences would do, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from talkalike.cli.output import FICTIONAL, duration, number, percent, shown, table
from talkalike.examples.dataset import Manifest, SplitCounts

NOTHING_HELD_OUT = (
    "Nothing is held out: what {voices} wrote last was written before, too, or is too little to be shared out. A "
    "training keeps its last state, not its best, and `talkalike score` has nothing to compare with. Import more "
    "conversations to change that."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """What one silence would make of the conversations of one platform."""

    platform: str
    gap_hours: float
    chosen: bool
    sessions: int
    median_messages: float
    single_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long a training with the settings' epochs takes here; `why` there is no number, where there is none."""

    seconds: float | None
    epochs: float
    tokens_per_second: float | None = None
    why: str = ""


def show(screen: Console, manifest: Manifest, *, gaps: Sequence[GapRow], time: Estimate | None) -> None:
    """The whole account."""
    voices = " and ".join(manifest.speakers)
    screen.print(shown(f"Examples '{manifest.name}': how {voices} writes, for the base {manifest.base}.", "bold"))
    if manifest.fictional:
        screen.print(f"({FICTIONAL})")
    parts = {"train": manifest.train, "held out": manifest.heldout}
    columns = ["", ">sessions", ">examples", ">messages", ">learned", ">reactions", ">learned"]
    columns += [">tokens", ">learned tokens", ">masked"]
    screen.print(table(columns, [_counts(name, counts) for name, counts in parts.items()]))
    screen.print("Learned are the speaker's own words and whether they go on; masked tokens are context only.")
    _reasons(screen, "Dropped messages", manifest.dropped)
    _reasons(screen, "Redacted", manifest.redacted)
    _reasons(screen, "Left out", manifest.left_out)
    _reasons(screen, "Too long", manifest.shortened)
    if not manifest.heldout.learned:
        screen.print(shown(NOTHING_HELD_OUT.format(voices=voices)))
    _gaps(screen, gaps)
    if time is not None:
        screen.print(shown(_time(manifest, time)))
    screen.print(f"Next: talkalike examples show --name {manifest.name}, then: talkalike train")


def _counts(name: str, counts: SplitCounts) -> list[str]:
    masked = 1 - counts.loss_tokens / counts.tokens if counts.tokens else 0.0
    turns = [counts.messages, counts.learned, counts.reactions, counts.learned_reactions]
    amounts = [counts.sessions, counts.documents, *turns, counts.tokens, counts.loss_tokens]
    return [name, *map(number, amounts), percent(masked)]


def _reasons(screen: Console, title: str, reasons: Mapping[str, int]) -> None:
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: -item[1])
        screen.print(shown(f"{title}: " + ", ".join(f"{reason} {amount:,}" for reason, amount in ordered) + "."))


def _gaps(screen: Console, gaps: Sequence[GapRow]) -> None:
    if not gaps:
        return
    rows = [
        [
            gap.platform,
            ("> " if gap.chosen else "") + duration(3600 * gap.gap_hours),
            number(gap.sessions),
            number(gap.median_messages),
            percent(gap.single_share),
        ]
        for gap in gaps
    ]
    columns = ["chats", ">silence", ">sessions", ">messages in the middle one", ">of one message"]
    screen.print(table(columns, rows, title="A silence ends a session (> is used)"))


def _time(manifest: Manifest, time: Estimate) -> str:
    if time.seconds is None:
        return f"How long training takes here is not known: {time.why}"
    return (
        f"Training takes about {duration(time.seconds)} here: {number(time.epochs)} passes over "
        f"{manifest.train.tokens:,} tokens at {number(time.tokens_per_second or 0)} a second."
    )
