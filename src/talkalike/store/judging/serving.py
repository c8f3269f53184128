"""Which pair a judge sees next, in which order its replies stand, and what comes back a second time.

Pairs the models are unsure about come first. 15 % of the pairs go to two people, 5 % of what somebody judged comes back
to them later. Which ones, and every order, follow from the batch's seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from talkalike.store.judging import items, locks, standings
from talkalike.store.judging.judgement_values import Choice, Comparison, Type
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

TWO_PEOPLE = 0.15
SAME_PERSON = 0.05
GAP = 10  # pairs between the two times
RESERVED = timedelta(minutes=30)  # for how long a pair that somebody reads is kept from others
SCORED = timedelta(seconds=20)  # how old standings may be
WINDOW = 20  # pairs at the head of the queue that are looked at
NOTABLE = 0.05  # a difference in unsureness that matters
STALE = 10  # so many pairs at the head of the queue may have one: they are put right together
MANY = 200  # nobody needs to know how many more there are
RECENT = 100  # judgements read at a time, newest first
MOST_TODAY = 1000  # pairs a day after which nobody counts


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a judge is: pairs of the batch they judged since a moment, how many pairs still need somebody, how many
    of those only a second opinion. Both are counted to 200, those of second opinions only where that is not reached
    without them."""

    judged: int
    left: int
    second_opinions: int


def next_pair(judge_id: int, batch_id: int, *, now: datetime | None = None) -> Comparison | None:
    """The pair this judge should see: the one they were shown and did not judge, or the next; None when all is done.

    Raises RefusedError for a blocked judge and a batch that is closed.
    """
    with transaction.atomic():
        return _next_for(locks.lock_judge(judge_id), locks.open_batch(batch_id), now or timezone.now())


def find_shown(pair_id: int, judge_id: int, *, repeat: bool = False) -> Comparison | None:
    """A pair this judge was shown, as it stood then; None if they were not, or its texts are gone."""
    assignment = _of(pair_id, judge_id, repeat=repeat).select_related("pair__a", "pair__b").first()
    if assignment is None:
        return None
    said = tables.Judgement.objects.filter(
        judge_id=judge_id, pair_id=pair_id, round=assignment.round, ended_at=None
    ).values_list("choice", flat=True)
    given = said.first()
    return _view(assignment, given=Choice(given) if given else None)


def progress(judge_id: int, batch_id: int, since: datetime) -> BatchProgress:
    """How far the judge is in the batch. Skips count as judged: they were looked at."""
    left = _fresh(batch_id)[:MANY].count()
    second = _second_opinions(batch_id)[: MANY - left].count() if left < MANY else 0
    return BatchProgress(judged=_judged_since(judge_id, batch_id, since), left=left + second, second_opinions=second)


def has_begun(judge_id: int, batch_id: int) -> bool:
    """Whether the judge judged anything of the batch."""
    return bool(tables.Assignment.objects.filter(judge_id=judge_id, batch_id=batch_id, done=True).exists())


def after_vote(assignment: models.Assignment, choice: Choice, *, go_on: bool) -> Comparison | None:
    """What the judge sees after a vote that was stored: with `go_on` the batch's next pair, else the same again."""
    note_vote(assignment, choice)
    if go_on and assignment.pair.batch is not None:
        return _next_for(assignment.judge, assignment.pair.batch, timezone.now())
    return _view(assignment, given=choice)


def note_vote(assignment: models.Assignment, choice: Choice) -> None:
    """Notes that the judge is done with it, and whether they are asked again later."""
    if assignment.done:
        return
    assignment.done = True
    assignment.save(update_fields=["done"])
    pair, judge_id = assignment.pair, assignment.judge_id
    again = assignment.round == 0 and choice is not Choice.SKIP and pair.batch is not None
    if again and chance(pair.batch, "repeat", pair, judge_id) < SAME_PERSON:
        tables.Assignment.objects.get_or_create(
            judge_id=judge_id,
            batch_id=pair.batch_id,
            pair=pair,
            round=1,
            defaults={
                "a_first": chance(pair.batch, "second order", pair, judge_id) < 0.5,
                "after": _done(judge_id, pair.batch_id) + GAP,
            },
        )


def reopen(pair_id: int, judge_id: int, *, repeat: bool) -> None:
    """The judge took it back: they see it again, and are not asked a second time before they judged it once."""
    _of(pair_id, judge_id, repeat=repeat).update(done=False)
    if not repeat:
        _of(pair_id, judge_id, repeat=True).filter(done=False).delete()


# -------------------------------------------------------------------------------------------------------------- inside
def _next_for(judge: models.Judge, batch: models.Batch, now: datetime) -> Comparison | None:
    """As `next_pair`, of rows that were read (the judge's locked) in this transaction."""
    while True:
        assignment = _waiting(judge, batch) or _next(judge, batch, now) or _waiting(judge, batch, early=True)
        if assignment is None:
            return None
        shown_ = _view(assignment)
        if shown_ is not None:
            return shown_
        # The texts are gone: nobody can judge this pair any more.
        tables.Pair.objects.filter(id=assignment.pair_id).update(missing=0, reserved_until=None)
        tables.Assignment.objects.filter(pair_id=assignment.pair_id, done=False).delete()


def _fresh(batch_id: int) -> Any:
    """Pairs nobody judged yet; the condition is that of an index."""
    return tables.Pair.objects.filter(batch_id=batch_id, missing__gt=0, judged=0)


def _second_opinions(batch_id: int) -> Any:
    """Pairs that were judged and need somebody else; the condition is that of an index."""
    return tables.Pair.objects.filter(batch_id=batch_id, missing__gt=0, judged__gt=0)


def chance(batch: models.Batch | None, what: str, pair: models.Pair, judge_id: int = 0) -> float:
    """A number from 0 to 1 that is always the same for the same seed, question, pair and judge."""
    key = f"{batch.seed if batch else 0}\x00{what}\x00{pair.a.key}\x00{pair.b.key}\x00{judge_id}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7]) / 2**56


def _of(pair_id: int, judge_id: int, *, repeat: bool) -> Any:
    return tables.Assignment.objects.filter(pair_id=pair_id, judge_id=judge_id, round=int(repeat))


def _done(judge_id: int, batch_id: int | None) -> int:
    return int(tables.Assignment.objects.filter(judge_id=judge_id, batch_id=batch_id, done=True).count())


def _judged_since(judge_id: int, batch_id: int, since: datetime) -> int:
    """At most 1,000. Newest first, so that years of judgements cost no more than today's."""
    held = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None, type=Type.COMPARISON.value)
    newest = held.order_by("-id").values_list("at", "pair__batch_id")
    count = 0
    for start in range(0, MOST_TODAY, RECENT):
        rows = list(newest[start : start + RECENT])
        count += sum(at >= since and batch == batch_id for at, batch in rows)
        if len(rows) < RECENT or rows[-1][0] < since:
            break
    return count


def _waiting(judge: models.Judge, batch: models.Batch, *, early: bool = False) -> models.Assignment | None:
    """What the judge was shown and did not judge, or is to judge again; `early`: though it is not time yet."""
    rows = tables.Assignment.objects.filter(judge=judge, batch=batch, done=False).order_by("after", "id")
    assignment = rows.select_related("pair__a", "pair__b").first()
    if assignment is None or early or assignment.after == 0 or assignment.after <= _done(judge.pk, batch.pk):
        return assignment
    return None


def _next(judge: models.Judge, batch: models.Batch, now: datetime) -> models.Assignment | None:
    """Gives the judge the pair that helps most of those nobody reads at the moment."""
    scores = _scores(batch, now)
    mine = tables.Assignment.objects.filter(judge=judge, pair_id=OuterRef("pk"))
    free = Q(reserved_until=None) | Q(reserved_until__lt=now)
    columns = ("id", "judged", "spread", "unsure", "a__model", "b__model")
    candidates = []
    for rows in (_fresh(batch.pk), _second_opinions(batch.pk).exclude(last_judge_id=judge.pk)):
        candidates += rows.filter(~Exists(mine), free).order_by("-unsure", "id").values_list(*columns)[:WINDOW]
    # `unsure` may be out of date. It is put right here, where it matters: at the head of the queue.
    stale, ranked = {}, []
    for pair_id, judged_, spread, unsure, one, two in candidates:
        right = spread + _closeness(one, two, scores)
        ranked.append((-right, -judged_, pair_id))
        if abs(right - unsure) > NOTABLE:
            stale[pair_id] = right
    rows = tables.Pair.objects.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(free)
    for _, _, pair_id in sorted(ranked):
        pair = rows.filter(id=pair_id, missing__gt=0).select_related("a", "b").first()
        if pair is not None:
            stale.pop(pair_id, None)
            if len(stale) >= STALE:
                _put_right(stale)
            tables.Pair.objects.filter(id=pair.pk).update(reserved_until=now + RESERVED)
            return tables.Assignment.objects.create(
                judge=judge, batch=batch, pair=pair, round=0, a_first=chance(batch, "order", pair, judge.pk) < 0.5
            )
    return None


def _scores(batch: models.Batch, now: datetime) -> dict[str, float]:
    """The models' standings, which are worked out anew now and then."""
    if batch.scored_at is None or now - batch.scored_at > SCORED:
        batch.scores, batch.scored_at = standings.scores(), now
        batch.save(update_fields=["scores", "scored_at"])
    return dict(batch.scores)


def _closeness(one: str, two: str, scores: Mapping[str, float]) -> float:
    """1 where it is open which model wins, towards 0 where it is clear. Models nobody compared yet are average."""
    return 1 - math.tanh(abs(scores.get(one, 0.0) - scores.get(two, 0.0)) / 2)


def _put_right(unsure: dict[int, float]) -> None:
    """Changes how unsure these pairs are; those that somebody else is changing wait for the next time."""
    rows = tables.Pair.objects.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(id__in=unsure)
    changed = list(rows.only("id"))
    for pair in changed:
        pair.unsure = unsure[pair.pk]
    tables.Pair.objects.bulk_update(changed, ["unsure"])


def _view(assignment: models.Assignment, given: Choice | None = None) -> Comparison | None:
    """The pair as the judge sees it, who said `given` about it; None where its texts are gone."""
    pair = assignment.pair
    return items.side_by_side(
        pair.a,
        pair.b,
        a_left=assignment.a_first,
        id=pair.pk,
        batch_id=pair.batch_id,
        repeat=bool(assignment.round),
        given=given,
    )
