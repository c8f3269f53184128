"""Judgements out of, and into, files of one JSON object per line.

Out go the judgements that hold, of judges who agreed to it, about replies whose texts may be learned from; whatever
stays is counted with its reason. What a file holds can be read into any database, as often as one likes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from talkalike.store.judging import ai_labels, items
from talkalike.store.judging.judgement_values import (
    RECORDS,
    AnyRecord,
    Choice,
    ComparisonRecord,
    JudgedReply,
    Kind,
    Scale,
    Type,
    own_fields,
)
from talkalike.store.judging.lines import to_line
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

PAGE = 500
NO_CONSENT = "their judge did not agree to an export"
NOT_FOR_TRAINING = "the reply's text is gone, or the person it answers did not agree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How many judgements were written, and how many were not, by reason."""

    written: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPart:
    """A part of an export: lines with their line breaks, and where the next part begins (None: that was all)."""

    lines: tuple[str, ...]
    left_out: Mapping[str, int]
    next: tuple[str, int] | None


def export_jsonl(stream: TextIO, *, on_progress: Callable[[int], None] | None = None) -> Exported:
    """Writes every judgement that may be exported; `on_progress` hears how many were written."""
    written, left_out = 0, Counter[str]()
    start: tuple[str, int] | None = ("judgements", 0)
    while start is not None:
        part = page(start)
        stream.writelines(part.lines)
        written += len(part.lines)
        left_out.update(part.left_out)
        start = part.next
        if on_progress is not None:
            on_progress(written)
    return Exported(written=written, left_out=dict(left_out))


def page(start: tuple[str, int] = ("judgements", 0)) -> ExportPart:
    """A part of the export, for faces that must not keep the database for themselves meanwhile."""
    what, after = start
    rows = _judgements(after) if what == "judgements" else _guesses(after)
    last: int | None = rows[-1].pk if len(rows) == PAGE else None
    after_this = ("guesses", 0) if what == "judgements" else None
    next_ = after_this if last is None else (what, last)
    left_out, lines, known = Counter[str](), [], dict[int, JudgedReply | None]()
    for row in rows:
        if row.judge.consent_at is None:
            left_out[NO_CONSENT] += 1
            continue
        record = _of_guess(row, known) if what == "guesses" else _of_judgement(row, known)
        if record is None:
            left_out[NOT_FOR_TRAINING] += 1
        else:
            lines.append(to_line(record) + "\n")
    return ExportPart(lines=tuple(lines), left_out=dict(left_out), next=next_)


def _judgements(after: int) -> list[Any]:
    rows = tables.Judgement.objects.filter(id__gt=after, ended_at=None).order_by("id")
    return list(rows.select_related("judge", "item", "pair__a", "pair__b")[:PAGE])


def _guesses(after: int) -> list[Any]:
    """Guesses the owner lets be learned from."""
    rows = tables.Guess.objects.filter(id__gt=after, question__round__as_preferences=True).order_by("id")
    return list(rows.select_related("judge", "question__real", "question__other")[:PAGE])


def _of_judgement(row: models.Judgement, known: dict[int, JudgedReply | None]) -> AnyRecord | None:
    if row.pair is not None:
        a, b = _reply(row.pair.a, known), _reply(row.pair.b, known)
        if a is None or b is None:
            return None
        first = row.pair.a_first if row.a_first is None else row.a_first
        record = _comparison(row, (a, b), choice=Choice(row.choice), a_first=first, pair=row.pair.key)
        return replace(record, repeat=row.round > 0, **ai_labels.from_text(row.text))
    reply = _reply(row.item, known) if row.item is not None else None
    if reply is None:
        return None
    form = RECORDS[Type(row.type)]
    said: dict[str, Any] = {"reply": reply, "value": row.value, "text": row.text, "reason": row.text}
    said["scale"] = Scale(row.scale) if row.scale else None
    own = {name: said[name] for name in own_fields(form)}
    return form(**_common(row, row.type, reply.id, row.scale), **own)


def _of_guess(row: models.Guess, known: dict[int, JudgedReply | None]) -> AnyRecord | None:
    """A guess as a comparison: whom they took for the real one sounds more like them."""
    question = row.question
    real, other = _reply(question.real, known), _reply(question.other, known)
    if real is None or other is None:
        return None
    choice = Choice.A if row.right else Choice.B
    pair = _digest("guess", real.id, other.id)
    return _comparison(row, (real, other), choice=choice, a_first=question.real_first, pair=pair)


def _comparison(
    row: Any, replies: tuple[JudgedReply, JudgedReply], *, choice: Choice, a_first: bool, pair: str
) -> ComparisonRecord:
    a, b = replies
    return ComparisonRecord(
        **_common(row, Type.COMPARISON.value, pair, str(int(getattr(row, "round", 0) > 0))),  # a guess has no rounds
        a=a,
        b=replace(b, context=a.context, speaker=a.speaker),  # of one message on Discord both may have seen other parts
        choice=choice,
        shown=("a", "b") if a_first else ("b", "a"),
        pair=pair,
    )


def _common(row: Any, *unit: str) -> dict[str, Any]:
    return {
        "id": _digest(row.judge.pseudonym, *unit),
        "at": row.at,
        "judge": row.judge.pseudonym,
        "kind": Kind(row.judge.kind),
        "seconds": row.seconds,
    }


def _reply(row: models.Item, known: dict[int, JudgedReply | None]) -> JudgedReply | None:
    if row.pk not in known:
        known[row.pk] = items.read_for_training(row)
    return known[row.pk]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
