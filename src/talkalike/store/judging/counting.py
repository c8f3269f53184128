"""Keeps the counts in step with the judgements, in the same transaction.

Callers hold the lock of the pair or item that is judged. Rows are then changed in the order of their keys, so that two
transactions never wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import F

from talkalike.store.judging.judgement_values import Choice, Kind, Type
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

REPEAT = "repeat"  # a comparison made again by the same judge: it says something about the judge, not the models


class TallyKey(NamedTuple):
    """What a row of `Tally` counts."""

    day: date
    kind: str
    type: str
    scale: str
    model_a: str
    model_b: str
    value: str
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A judgement that begins to count (`by` 1) or no longer does (-1)."""

    judgement: models.Judgement
    kind: Kind
    by: int


def count_comparisons(pair: models.Pair, changes: Iterable[Change]) -> None:
    """Brings the pair's own counts (saved here) and the tallies up to date."""
    changes = list(changes)
    before = _votes(pair.votes)
    votes = Counter({name: int(count) for name, count in pair.votes.items()})
    for change in changes:
        row = change.judgement
        if change.kind is Kind.HUMAN and row.round == 0 and row.choice != Choice.SKIP:
            votes[row.choice] += change.by
            if change.by > 0:
                pair.last_judge_id = row.judge_id
    pair.votes = {name: count for name, count in sorted(votes.items()) if count}
    pair.judged = sum(pair.votes.values())
    pair.missing = max(0, pair.wanted - pair.judged)
    pair.reserved_until = None
    pair.save(update_fields=["votes", "judged", "missing", "last_judge_id", "reserved_until"])
    add_tallies(_summed((comparison_key(pair, change), change.by) for change in changes))
    add_agreement(_moved("", before, _votes(pair.votes)))


def count_ratings(item: models.Item, changes: Iterable[Change]) -> None:
    """Brings the item's mean on the scale and the tallies up to date; all changes are on one scale and of one kind."""
    changes = list(changes)
    scale, kind = changes[0].judgement.scale, changes[0].kind
    score, _ = tables.ItemScore.objects.get_or_create(item=item, scale=scale, kind=kind.value)
    before = _votes(score.votes)
    votes = Counter({name: int(count) for name, count in score.votes.items()})
    for change in changes:
        votes[str(change.judgement.value)] += change.by
    score.votes = {name: count for name, count in sorted(votes.items()) if count}
    score.count = sum(score.votes.values())
    total = sum(int(name) * count for name, count in score.votes.items())
    score.mean = total / score.count if score.count else 0.0
    score.rank = (total + 6) / (score.count + 2)
    score.save(update_fields=["votes", "count", "mean", "rank"])
    add_tallies(_summed((item_key(item, change), change.by) for change in changes))
    if kind is Kind.HUMAN:
        add_agreement(_moved(scale, before, _votes(score.votes)))


def count_others(item: models.Item, changes: Iterable[Change]) -> None:
    """Corrections, flags and skips: they are tallied, and that is all."""
    add_tallies(_summed((item_key(item, change), change.by) for change in changes))


def item_key(item: models.Item, change: Change) -> TallyKey:
    """What a judgement of one reply counts towards."""
    row = change.judgement
    value = "" if row.value is None else str(row.value)
    return TallyKey(row.at.date(), change.kind.value, row.type, row.scale, item.model, "", value, -1)


def comparison_key(pair: models.Pair, change: Change) -> TallyKey:
    """What a comparison counts towards; the models in alphabetical order, so that A against B is B against A."""
    row = change.judgement
    first = -1
    if row.choice in (Choice.A, Choice.B) and row.a_first is not None:
        first = int((row.choice == Choice.A) == row.a_first)
    one, two, value = pair.a.model, pair.b.model, row.choice
    if one > two:
        one, two = two, one
        value = {"a": "b", "b": "a"}.get(value, value)
    kind = REPEAT if row.round else Type.COMPARISON.value
    return TallyKey(row.at.date(), change.kind.value, kind, "", one, two, value, first)


def add_tallies(deltas: Mapping[TallyKey, int]) -> None:
    """Adds to the tallies; rows that do not exist yet are made."""
    for key, by in sorted(deltas.items()):
        columns = key._asdict()
        if by and not tables.Tally.objects.filter(**columns).update(count=F("count") + by):
            tables.Tally.objects.get_or_create(**columns)
            tables.Tally.objects.filter(**columns).update(count=F("count") + by)


def add_agreement(deltas: Mapping[tuple[str, str], int]) -> None:
    """Adds to how many units have just these votes; keys are (scale, votes)."""
    for (scale, votes), by in sorted(deltas.items()):
        rows = tables.Agreement.objects.filter(scale=scale, votes=votes)
        if by and not rows.update(count=F("count") + by):
            tables.Agreement.objects.get_or_create(scale=scale, votes=votes)
            rows.update(count=F("count") + by)


def _summed(pairs: Iterable[tuple[TallyKey, int]]) -> Counter[TallyKey]:
    total: Counter[TallyKey] = Counter()
    for key, by in pairs:
        total[key] += by
    return total


def _votes(votes: Mapping[str, int]) -> str:
    """Votes as `Agreement` spells them; "" for fewer than two, which agree with nobody."""
    if sum(votes.values()) < 2:
        return ""
    return " ".join(f"{name}:{count}" for name, count in sorted(votes.items()))


def _moved(scale: str, before: str, after: str) -> dict[tuple[str, str], int]:
    if before == after:
        return {}
    return {(scale, votes): by for votes, by in ((before, -1), (after, 1)) if votes}
