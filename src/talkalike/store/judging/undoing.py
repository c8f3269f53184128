"""Taking judgements back. History is only ever added to: what holds again is a new row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from talkalike.store.judging import counting, locks, serving
from talkalike.store.judging.counting import Change
from talkalike.store.judging.judgement_values import Kind, Reason, RefusedError
from talkalike.store.judging.judgements import JudgementRow, row_of
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was taken back, and what holds again in its place (None: nothing)."""

    taken_back: JudgementRow
    holds_again: JudgementRow | None


def undo(judge_id: int) -> Undone | None:
    """Takes back this judge's last judgement; what it had replaced holds again. None where there is nothing to undo."""
    last = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None).order_by("-id").first()
    return _take_back(last.pk, judge_id, restore=True) if last else None


def withdraw(judgement_id: int, judge_id: int) -> bool:
    """Takes back a judgement of one's own; False if it no longer held."""
    return _take_back(judgement_id, judge_id, restore=False) is not None


def _take_back(judgement_id: int, judge_id: int, *, restore: bool) -> Undone | None:
    with transaction.atomic():
        judge = locks.lock_judge(judge_id)
        row = tables.Judgement.objects.filter(id=judgement_id).first()
        if row is None:
            raise locks.unknown_error("judgement")
        if row.judge_id != judge_id:
            raise RefusedError(Reason.OTHERS, "This judgement is somebody else's.")
        about: models.Pair | models.Item = (
            locks.lock_pair(row.pair_id, vanished=True)
            if row.pair_id is not None
            else locks.lock_item(row.item_id or 0, vanished=True)
        )
        now = timezone.now()
        if not tables.Judgement.objects.filter(id=row.pk, ended_at=None).update(ended_at=now):
            return None  # another request was quicker
        row.ended_at = now
        changes = [Change(judgement=row, kind=Kind(judge.kind), by=-1)]
        again = _hold_again(row, now) if restore else None
        if again is not None:
            changes.append(Change(judgement=again, kind=Kind(judge.kind), by=1))
        other = None
        if row.pair_id is not None:
            held = tables.Judgement.objects.filter(judge=judge, pair_id=row.pair_id, ended_at=None)
            other = held.exclude(round=row.round).first()
            if again is None:
                serving.reopen(row.pair_id, judge_id, repeat=bool(row.round))
        counting.count(changes, about, other=other)
        return Undone(taken_back=row_of(row), holds_again=row_of(again) if again else None)


def _hold_again(row: models.Judgement, now: datetime) -> models.Judgement | None:
    """What the row had replaced, if anything, as a new row."""
    before = tables.Judgement.objects.filter(id=row.replaces_id).first() if row.replaces_id is not None else None
    if before is None:
        return None
    before.pk, before.at, before.ended_at = None, now, None
    before.save(force_insert=True)
    return before
