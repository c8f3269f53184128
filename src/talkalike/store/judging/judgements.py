"""What people say of a reply, and what holds of it: each judge once per item or pair, and nothing ever overwritten.

Every function that takes a judgement returns its id, and has written it when it returns. The same judgement again (a
double click, a retry) is the one that is there. All raise RefusedError with a reason and change nothing then. Pairs are
judged in `voting`; `undoing` takes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import transaction
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import counting, locks
from talkalike.store.judging.counting import Change
from talkalike.store.judging.judgement_values import (
    RATINGS,
    Choice,
    Kind,
    Reason,
    RefusedError,
    Scale,
    Type,
)
from talkalike.store.rows import read_row
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

LONGEST_SECONDS = 24 * 3600.0
MAX_TEXT = 200_000  # characters of a correction or a reason
How: TypeAlias = tuple[float | None, str]
"""How long it took, and on which face it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementRow:
    """A judgement as it stands, or stood: `ended_at` is set once it was changed or withdrawn.

    Of `value`, `choice` and `text` one is set, as `type` says; `repeat`: the second time this judge saw the pair.
    """

    id: int
    type: Type
    judge_id: int
    item_id: int | None
    pair_id: int | None
    scale: Scale | None
    value: int | None
    choice: Choice | None
    text: str
    repeat: bool
    seconds: float | None
    face: str
    at: datetime
    ended_at: datetime | None


# ------------------------------------------------------------------------------------------------------------- judging
def rate(item_id: int, judge_id: int, scale: Scale, value: int, *, seconds: float | None = None, face: str) -> int:
    """Rates a reply from 1 to 5 on a scale; a rating by this judge on that scale is replaced."""
    if isinstance(value, bool) or value not in RATINGS:
        raise RefusedError(Reason.INVALID, "A rating is a whole number from 1 to 5.")
    content = {"value": int(value)}
    return _on_item(item_id, judge_id, Type.RATING, content, (seconds, face), scale=scale.value)


def correct(item_id: int, judge_id: int, text: str, *, seconds: float | None = None, face: str) -> int:
    """Stores what the double should have said, one message a line; an earlier correction by this judge is replaced."""
    content = {"text": _text(text, "A correction")}
    return _on_item(item_id, judge_id, Type.CORRECTION, content, (seconds, face))


def flag(item_id: int, judge_id: int, reason: str, *, seconds: float | None = None, face: str) -> int:
    """Flags a reply, with a reason; an earlier flag by this judge is replaced."""
    return _on_item(item_id, judge_id, Type.FLAG, {"text": _text(reason, "A reason")}, (seconds, face))


def skip(item_id: int, judge_id: int, *, seconds: float | None = None, face: str) -> int:
    """Notes that the judge would rather not judge this reply."""
    return _on_item(item_id, judge_id, Type.SKIP, {}, (seconds, face))


def put_choice(assignment: models.Assignment, choice: Choice, how: How) -> int:
    """The same for a pair that `locks` found: what this judge said that time is replaced."""
    judge, pair = assignment.judge, assignment.pair
    held = {row.round: row for row in tables.Judgement.objects.filter(judge=judge, pair=pair, ended_at=None)}
    unit = {"type": Type.COMPARISON.value, "pair_id": pair.pk, "round": assignment.round}
    content = {"choice": choice.value, "a_first": assignment.a_first}
    row, changes = _replace(held.pop(assignment.round, None), {"judge": judge, **unit}, content, how)
    if changes:
        counting.count(changes, pair, other=next(iter(held.values()), None))
    return int(row.pk)


# --------------------------------------------------------------------------------------------------------------- asking
def of_item(item_id: int, judge_id: int) -> tuple[JudgementRow, ...]:
    """What this judge says about a reply."""
    return _rows(judge_id=judge_id, item_id=item_id, ended_at=None)


def of_pair(pair_id: int, judge_id: int) -> tuple[JudgementRow, ...]:
    """What this judge says about a pair, the repeated time included."""
    return _rows(judge_id=judge_id, pair_id=pair_id, ended_at=None)


def history(*, item_id: int | None = None, pair_id: int | None = None) -> tuple[JudgementRow, ...]:
    """Everything that was ever said about a reply or a pair, oldest first."""
    return _rows(item_id=item_id) if item_id is not None else _rows(pair_id=pair_id)


# --------------------------------------------------------------------------------------------------------------- inside
def _on_item(item_id: int, judge_id: int, type_: Type, content: dict[str, Any], how: How, *, scale: str = "") -> int:
    with transaction.atomic():
        judge, item = locks.lock_judge(judge_id), locks.lock_item(item_id)
        unit = {"judge": judge, "type": type_.value, "item_id": item_id, "scale": scale}
        before = tables.Judgement.objects.filter(ended_at=None, **unit).first()
        row, changes = _replace(before, unit, content, how)
        if changes:
            counting.count(changes, item)
        return int(row.pk)


def _replace(
    before: models.Judgement | None, unit: dict[str, Any], content: dict[str, Any], how: How
) -> tuple[models.Judgement, list[Change]]:
    """Puts the judgement in the place of this judge's earlier one about the same unit, which the caller has locked."""
    if before is not None and all(getattr(before, key) == value for key, value in content.items()):
        return before, []
    kind, now, (seconds, face) = Kind(unit["judge"].kind), timezone.now(), how
    changes = []
    if before is not None:
        before.ended_at = now
        before.save(update_fields=["ended_at"])
        changes.append(Change(judgement=before, kind=kind, by=-1))
    row = tables.Judgement.objects.create(
        at=now, seconds=plausible(seconds), face=face, replaces_id=before.pk if before else None, **unit, **content
    )
    return row, [*changes, Change(judgement=row, kind=kind, by=1)]


def _text(text: str, what: str) -> str:
    clean = storable.text(text)
    if not clean.strip():
        raise RefusedError(Reason.INVALID, f"{what} needs a text.")
    if len(clean) > MAX_TEXT:
        raise RefusedError(
            Reason.INVALID,
            f"{what} may have {MAX_TEXT:,} characters, this one has {len(clean):,}.",
            hint="Shorten it; nothing was stored.",
        )
    return clean


def _rows(**conditions: Any) -> tuple[JudgementRow, ...]:
    return tuple(row_of(row) for row in tables.Judgement.objects.filter(**conditions).order_by("id"))


def plausible(seconds: float | None) -> float | None:
    """How long somebody took, if that can be true, or None: browsers' clocks jump."""
    return seconds if seconds is not None and math.isfinite(seconds) and 0 <= seconds <= LONGEST_SECONDS else None


def row_of(row: models.Judgement) -> JudgementRow:
    """A plain value of a row of the table."""
    return read_row(
        JudgementRow,
        row,
        type=Type(row.type),
        scale=Scale(row.scale) if row.scale else None,
        choice=Choice(row.choice) if row.choice else None,
        repeat=bool(row.round),
    )
