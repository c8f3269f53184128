"""Judging: each person once per item or pair, changed and undone at will, and nothing of it ever overwritten.

Every function that takes a judgement returns its id, and has written it when it returns. The same judgement again (a
double click, a retry) is the one that is there. All raise RefusedError with a reason and change nothing then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import transaction
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import counting, items, judges, serving
from talkalike.store.judging.counting import Change
from talkalike.store.judging.judgement_values import (
    Choice,
    Given,
    Kind,
    Refusal,
    RefusedError,
    Scale,
    Side,
    Type,
    plausible,
)
from talkalike.store.judging.serving import PairView
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was taken back, and what holds again in its place (None: nothing)."""

    taken_back: JudgementRow
    holds_again: JudgementRow | None


# ------------------------------------------------------------------------------------------------------------- judging
def rate(item_id: int, judge_id: int, scale: Scale, value: int, *, seconds: float | None = None, face: str) -> int:
    """Rates a reply from 1 to 5 on a scale; a rating by this judge on that scale is replaced."""
    if isinstance(value, bool) or value not in range(1, 6):
        raise RefusedError(Refusal.INVALID, "A rating is a whole number from 1 to 5.")
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


def compare(
    pair_id: int, judge_id: int, choice: Choice | Side, *, seconds: float | None = None, face: str, repeat: bool = False
) -> int:
    """Judges a pair (a skip is stored, too); what this judge said about it before is replaced.

    A side is which reply they took by where it stood (left or above: the first), whatever the names behind it.
    `repeat` as in the `PairView` that was shown. Refused once the pair's batch was closed or revealed.
    """
    with transaction.atomic():
        judge = judges.allowed(judge_id)
        assignment = serving.assigned(locked_pair(pair_id), judge.pk, repeat=repeat)
        return _compare(judge, assignment, _chosen(assignment, choice), (seconds, face))


def vote(
    given: Given, judge_id: int, choice: Choice | Side, *, seconds: float | None = None, face: str, go_on: bool
) -> PairView | None:
    """As `compare`, about a pair that this judge was shown. Returns what they see then, all in one transaction.

    That is the batch's next pair with `go_on` (None: there is none for them), else the same with their choice.
    """
    with transaction.atomic():
        judge = judges.allowed(judge_id)
        assignment = serving.locked(given, judge.pk)
        pair = assignment.pair
        _require_judgeable(pair)
        choice = _chosen(assignment, choice)
        _compare(judge, assignment, choice, (seconds, face))
        if go_on and pair.batch is not None:
            return serving.next_for(judge, pair.batch, timezone.now())
        return serving.view(assignment, given=choice)


# -------------------------------------------------------------------------------------------------------------- undoing
def undo(judge_id: int) -> Undone | None:
    """Takes back this judge's last judgement; what it had replaced holds again. None where there is nothing to undo."""
    last = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None).order_by("-id").first()
    return _take_back(last.pk, judge_id, restore=True) if last else None


def withdraw(judgement_id: int, judge_id: int) -> bool:
    """Takes back a judgement of one's own; False if it no longer held."""
    return _take_back(judgement_id, judge_id, restore=False) is not None


# --------------------------------------------------------------------------------------------------------------- asking
def of_item(item_id: int, judge_id: int) -> tuple[JudgementRow, ...]:
    """What this judge says about a reply."""
    return of_items((item_id,), judge_id)


def of_items(item_ids: Sequence[int], judge_id: int) -> tuple[JudgementRow, ...]:
    """What this judge says about any of the replies."""
    return _rows(judge_id=judge_id, item_id__in=item_ids, ended_at=None)


def of_pair(pair_id: int, judge_id: int) -> tuple[JudgementRow, ...]:
    """What this judge says about a pair, the repeated time included."""
    return _rows(judge_id=judge_id, pair_id=pair_id, ended_at=None)


def history(*, item_id: int | None = None, pair_id: int | None = None) -> tuple[JudgementRow, ...]:
    """Everything that was ever said about a reply or a pair, oldest first."""
    return _rows(item_id=item_id) if item_id is not None else _rows(pair_id=pair_id)


def count_since(judge_id: int, since: datetime) -> int:
    """How many judgements that hold this judge gave since then ("12 today"); skips count."""
    return int(tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None, at__gte=since).count())


# --------------------------------------------------------------------------------------------------------------- inside
def locked_pair(pair_id: int, *, vanished: bool = True) -> models.Pair:
    """The pair, locked until the transaction ends. Raises RefusedError where it can no longer be judged."""
    rows = tables.Pair.objects.select_for_update(of=("self",), no_key=True).select_related("a", "b", "batch")
    pair = rows.filter(id=pair_id).first()
    if pair is None:
        raise RefusedError(Refusal.UNKNOWN, "There is no such pair, or no longer.", hint="Go on with the next one.")
    _require_judgeable(pair, vanished=vanished)
    return pair


def _require_judgeable(pair: models.Pair, *, vanished: bool = True) -> None:
    if pair.batch is not None:
        serving.require_open(pair.batch)
    if vanished and not (items.is_there(pair.a) and items.is_there(pair.b)):
        raise items.vanished()


def _chosen(assignment: models.Assignment, choice: Choice | Side) -> Choice:
    """Which of the two a side stood for."""
    if isinstance(choice, Side):
        return Choice.A if (choice is Side.LEFT) == assignment.a_first else Choice.B
    return choice


def _compare(judge: models.Judge, assignment: models.Assignment, choice: Choice, how: How) -> int:
    """Takes a choice about a pair that is locked and may be judged."""
    pair, repeat = assignment.pair, assignment.round
    content = {"choice": choice.value, "a_first": assignment.a_first}
    before = said_twice(judge, pair.pk, -1) if repeat or assignment.done else counting.Deltas()
    put = _replace(judge, {"pair_id": pair.pk, "round": repeat}, Type.COMPARISON, content, how)
    if repeat or assignment.done:
        before.include(said_twice(judge, pair.pk, 1))
        counting.add(before)
    serving.judged(pair, assignment, choice)
    return _counted(put, judge, pair=pair)


def _locked_item(item_id: int, *, vanished: bool = True) -> models.Item:
    item = tables.Item.objects.select_for_update(of=("self",), no_key=True).filter(id=item_id).first()
    if item is None:
        raise RefusedError(Refusal.UNKNOWN, "There is no such reply, or no longer.")
    if vanished and not items.is_there(item):
        raise items.vanished()
    return item


class _Put:
    """A judgement that was put, and what it replaced. `begun` is False where the same was there before."""

    def __init__(self, row: models.Judgement, ended: models.Judgement | None, *, begun: bool) -> None:
        self.row, self.ended, self.begun = row, ended, begun


def _on_item(item_id: int, judge_id: int, type_: Type, content: dict[str, Any], how: How, *, scale: str = "") -> int:
    with transaction.atomic():
        judge = judges.allowed(judge_id)
        item = _locked_item(item_id)
        put = _replace(judge, {"item_id": item_id, "scale": scale, "type": type_.value}, type_, content, how)
        return _counted(put, judge, item=item)


def _replace(judge: models.Judge, unit: dict[str, Any], type_: Type, content: dict[str, Any], how: How) -> _Put:
    """Puts the judgement in the place of this judge's earlier one about the same unit, which the caller has locked."""
    rows = tables.Judgement.objects
    before = rows.filter(judge=judge, ended_at=None, **unit).first()
    if before is not None and all(getattr(before, key) == value for key, value in content.items()):
        return _Put(before, None, begun=False)
    now = timezone.now()
    if before is not None:
        before.ended_at = now
        before.save(update_fields=["ended_at"])
    seconds, face = how
    row = rows.create(
        judge=judge,
        at=now,
        seconds=plausible(seconds),
        face=storable.text(face)[:16],
        replaces_id=before.pk if before else None,
        **{"type": type_.value, **unit, **content},
    )
    return _Put(row, before, begun=True)


def _counted(
    put: _Put, judge: models.Judge, *, item: models.Item | None = None, pair: models.Pair | None = None
) -> int:
    if put.begun:
        kind = Kind(judge.kind)
        ended = [Change(judgement=put.ended, kind=kind, by=-1)] if put.ended else []
        count([*ended, Change(judgement=put.row, kind=kind, by=1)], item=item, pair=pair)
    return int(put.row.pk)


def said_twice(judge: models.Judge, pair_id: int, by: int) -> counting.Deltas:
    """What this judge's two answers about a pair, as they are now, add to the counts."""
    rows = tables.Judgement.objects.filter(judge=judge, pair_id=pair_id, ended_at=None)
    return counting.consistency(Kind(judge.kind), rows.values_list("round", "choice"), by)


def count(changes: list[Change], *, item: models.Item | None = None, pair: models.Pair | None = None) -> None:
    """Counts changes of judgements about one item or pair, of one type and scale."""
    if pair is not None:
        counting.add(counting.comparisons(pair, changes))
    elif item is not None:
        counting.add(counting.about_item(item, changes))


def _take_back(judgement_id: int, judge_id: int, *, restore: bool) -> Undone | None:
    with transaction.atomic():
        judge = judges.allowed(judge_id)
        row = tables.Judgement.objects.filter(id=judgement_id).first()
        if row is None:
            raise RefusedError(Refusal.UNKNOWN, "There is no such judgement, or no longer.")
        if row.judge_id != judge_id:
            raise RefusedError(Refusal.OTHERS, "This judgement is somebody else's.")
        pair = locked_pair(row.pair_id, vanished=False) if row.pair_id is not None else None
        item = _locked_item(row.item_id, vanished=False) if row.item_id is not None else None
        steady = said_twice(judge, pair.pk, -1) if pair is not None else counting.Deltas()
        now = timezone.now()
        if not tables.Judgement.objects.filter(id=row.pk, ended_at=None).update(ended_at=now):
            return None  # another request was quicker
        row.ended_at = now
        changes = [Change(judgement=row, kind=Kind(judge.kind), by=-1)]
        again = _again(row, now) if restore else None
        if again is not None:
            changes.append(Change(judgement=again, kind=Kind(judge.kind), by=1))
        count(changes, item=item, pair=pair)
        if pair is not None:
            steady.include(said_twice(judge, pair.pk, 1))
            counting.add(steady)
        if pair is not None and again is None:
            serving.reopen(pair, judge_id, repeat=bool(row.round))
        return Undone(taken_back=row_of(row), holds_again=row_of(again) if again else None)


def _again(row: models.Judgement, now: datetime) -> models.Judgement | None:
    """What the row had replaced, if anything, as a new row: history is only ever added to."""
    before = tables.Judgement.objects.filter(id=row.replaces_id).first() if row.replaces_id is not None else None
    if before is None:
        return None
    copied = ("judge_id", "type", "item_id", "pair_id", "scale", "round", "value", "choice", "text", "a_first")
    columns = {name: getattr(before, name) for name in (*copied, "seconds", "face", "replaces_id")}
    return tables.Judgement.objects.create(at=now, **columns)


def _text(text: str, what: str) -> str:
    clean = storable.text(text)
    if not clean.strip():
        raise RefusedError(Refusal.INVALID, f"{what} needs a text.")
    if len(clean) > MAX_TEXT:
        raise RefusedError(
            Refusal.INVALID,
            f"{what} may have {MAX_TEXT:,} characters, this one has {len(clean):,}.",
            hint="Shorten it; nothing was stored.",
        )
    return clean


def _rows(**conditions: Any) -> tuple[JudgementRow, ...]:
    return tuple(row_of(row) for row in tables.Judgement.objects.filter(**conditions).order_by("id"))


def row_of(row: models.Judgement) -> JudgementRow:
    """A plain value of a row of the table."""
    return JudgementRow(
        id=row.pk,
        type=Type(row.type),
        judge_id=row.judge_id,
        item_id=row.item_id,
        pair_id=row.pair_id,
        scale=Scale(row.scale) if row.scale else None,
        value=row.value,
        choice=Choice(row.choice) if row.choice else None,
        text=row.text,
        repeat=bool(row.round),
        seconds=row.seconds,
        face=row.face,
        at=row.at,
        ended_at=row.ended_at,
    )
