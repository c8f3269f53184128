"""How a batch of pairs came out: for one of its models, and, once the names are shown, for somebody who judged it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from talkalike.store.judging.judgement_values import Choice, Kind, Type
from talkalike.store.judging.statistics import Share, chance_of_more_than_half, wilson
from talkalike.store.tables import judging_tables as tables

MOST_SHOWN = 200  # pairs that one judge judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What people said in a batch: how often the model was better, was not, or neither was. `pairs` in all."""

    pairs: int
    wins: int
    losses: int
    ties: int

    @property
    def judged(self) -> int:
        """How many comparisons are more than a skip."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> Share:
        """Of the comparisons with a winner, those that the model won."""
        return wilson(self.wins, self.wins + self.losses)

    @property
    def chance(self) -> float:
        """How likely it is that the model is really the better one."""
        return chance_of_more_than_half(self.wins, self.losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A pair of a revealed batch, as a judge judged it. `a` and `b` are models."""

    pair_id: int
    repeat: bool
    a: str
    b: str
    choice: Choice

    @property
    def winner(self) -> str:
        """The model whose reply they took, or ""."""
        return {Choice.A: self.a, Choice.B: self.b}.get(self.choice, "")


def outcome(batch_id: int, model: str) -> Outcome:
    """How `model` did in the batch, by people's first judgements of each pair; skips say nothing."""
    rows = tables.Judgement.objects.filter(
        pair__batch_id=batch_id, ended_at=None, type=Type.COMPARISON.value, judge__kind=Kind.HUMAN.value, round=0
    ).exclude(choice=Choice.SKIP.value)
    wins = losses = ties = 0
    sorts = rows.order_by().values_list("choice", "pair__a__model", "pair__b__model").annotate(count=Count("id"))
    for choice, a, b, count in sorts:
        if choice not in {Choice.A.value, Choice.B.value} or (a == model) == (b == model):
            ties += count
        elif (a if choice == Choice.A.value else b) == model:
            wins += count
        else:
            losses += count
    pairs = tables.Pair.objects.filter(batch_id=batch_id).count()
    return Outcome(pairs=pairs, wins=wins, losses=losses, ties=ties)


def judged_by(judge_id: int, batch_id: int) -> list[Judged]:
    """The batch's pairs that this judge judged, the newest 200, newest first; nothing as long as names are hidden."""
    held = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None, type=Type.COMPARISON.value)
    rows = held.filter(pair__batch_id=batch_id, pair__batch__state="revealed").order_by("-id")
    columns = rows.values_list("pair_id", "round", "pair__a__model", "pair__b__model", "choice")
    return [
        Judged(pair_id=pair, repeat=bool(round_), a=a, b=b, choice=Choice(choice))
        for pair, round_, a, b, choice in columns[:MOST_SHOWN]
    ]
