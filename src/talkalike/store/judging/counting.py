"""Keeps the counts in step with the judgements, in the same transaction.

Callers hold the lock of the pair or item that is judged. Rows are then changed in the order of their keys, so that two
transactions never wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import F

from talkalike.store.judging.judgement_values import Choice, Kind, Type
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

CONSISTENCY = "consistency"  # whether somebody who judged a pair twice said the same; the day says nothing here
ANY_DAY = date(2000, 1, 1)
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


@dataclass(slots=True)
class Deltas:
    """What is to be added to the tallies and to how many units have which votes, keyed by (scale, votes)."""

    tallies: Counter[TallyKey] = field(default_factory=Counter)
    agreement: Counter[tuple[str, str]] = field(default_factory=Counter)

    def include(self, other: Deltas) -> None:
        """Takes those of another pair or item along."""
        self.tallies.update(other.tallies)
        self.agreement.update(other.agreement)


def count(
    changes: Sequence[Change], about: models.Pair | models.Item, *, other: models.Judgement | None = None
) -> None:
    """Counts changes of one judge's judgements about a pair or item, of one type and scale.

    `other`: what they say about the pair the other time they were asked.
    """
    add(about_pair(about, changes, other) if isinstance(about, tables.Pair) else about_item(about, changes))


def about_pair(pair: models.Pair, changes: Sequence[Change], other: models.Judgement | None = None) -> Deltas:
    """Brings the pair's own counts up to date; returns what is to be added elsewhere."""
    before = _spell(pair.votes)
    votes = _counter(pair.votes)
    deltas = Deltas()
    _count_consistency(deltas, changes, other)
    for change in changes:
        row = change.judgement
        deltas.tallies[_key(pair, change)] += change.by
        if change.kind is Kind.HUMAN and row.round == 0 and row.choice != Choice.SKIP:
            votes[row.choice] += change.by
            if change.by > 0:
                pair.last_judge_id = row.judge_id
    pair.votes = _as_dict(votes)
    pair.judged = sum(pair.votes.values())
    pair.missing = max(0, pair.wanted - pair.judged)
    pair.reserved_until = None
    pair.save(update_fields=["votes", "judged", "missing", "last_judge_id", "reserved_until"])
    _move(deltas, "", before, _spell(pair.votes))
    return deltas


def about_item(item: models.Item, changes: Sequence[Change]) -> Deltas:
    """The same for ratings, corrections, flags and skips of a reply."""
    deltas = Deltas()
    rated: dict[tuple[str, Kind], list[Change]] = {}
    for change in changes:
        row = change.judgement
        value = "" if row.value is None else str(row.value)
        key = TallyKey(row.at.date(), change.kind.value, row.type, row.scale, item.model, "", value, -1)
        deltas.tallies[key] += change.by
        if row.type == Type.RATING:
            rated.setdefault((row.scale, change.kind), []).append(change)
    for (scale, kind), some in rated.items():
        score, _ = tables.ItemScore.objects.get_or_create(item=item, scale=scale, kind=kind.value)
        before = _spell(score.votes)
        votes = _counter(score.votes)
        for change in some:
            votes[str(change.judgement.value)] += change.by
        score.votes = _as_dict(votes)
        score.count = sum(score.votes.values())
        total = sum(int(name) * count for name, count in score.votes.items())
        score.mean = total / score.count if score.count else 0.0
        score.rank = (total + 6) / (score.count + 2)
        score.save(update_fields=["votes", "count", "mean", "rank"])
        if kind is Kind.HUMAN:
            _move(deltas, scale, before, _spell(score.votes))
    return deltas


def add(deltas: Deltas) -> None:
    """Adds to the counts; rows that do not exist yet are made."""
    for key, by in sorted(deltas.tallies.items()):
        _add(tables.Tally, key._asdict(), by)
    for (scale, votes), by in sorted(deltas.agreement.items()):
        _add(tables.Agreement, {"scale": scale, "votes": votes}, by)


def _key(pair: models.Pair, change: Change) -> TallyKey:
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


def _count_consistency(deltas: Deltas, changes: Sequence[Change], other: models.Judgement | None) -> None:
    """Whether those who judged the pair twice said the same both times, before the changes and after them."""
    said: dict[tuple[int, Kind, int], dict[int, str]] = {}
    for change in changes:
        row = change.judgement
        said.setdefault((row.judge_id, change.kind, change.by), {})[row.round] = row.choice
    for (_, kind, by), choices in said.items():
        if other is not None:
            choices.setdefault(other.round, other.choice)
        if len(choices) == 2 and Choice.SKIP not in choices.values():
            value = "same" if choices[0] == choices[1] else "differs"
            deltas.tallies[TallyKey(ANY_DAY, kind.value, CONSISTENCY, "", "", "", value, -1)] += by


def _add(table: Any, columns: dict[str, Any], by: int) -> None:
    rows = table.objects.filter(**columns)
    if by and not rows.update(count=F("count") + by):
        table.objects.get_or_create(**columns)
        rows.update(count=F("count") + by)


def _counter(votes: Mapping[str, int]) -> Counter[str]:
    return Counter({name: int(count) for name, count in votes.items()})


def _as_dict(votes: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(votes.items()) if count}


def _spell(votes: Mapping[str, int]) -> str:
    """Votes as `Agreement` spells them; "" for fewer than two, which agree with nobody."""
    if sum(votes.values()) < 2:
        return ""
    return " ".join(f"{name}:{count}" for name, count in sorted(votes.items()))


def _move(deltas: Deltas, scale: str, before: str, after: str) -> None:
    if before != after:
        for votes, by in ((before, -1), (after, 1)):
            if votes:
                deltas.agreement[scale, votes] += by
