"""How a batch of pairs came out for one of its models. The names of single pairs stay hidden."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.store.judging.judgement_values import Choice, Kind, Type
from talkalike.store.judging.statistics import Share, wilson
from talkalike.store.tables import judging_tables as tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What people said in a batch: how often the model was better, was not, or neither was. `pairs` in all."""

    pairs: int
    wins: int
    losses: int
    ties: int

    @property
    def judged(self) -> int:
        """Comparisons that say something."""
        return self.wins + self.losses + self.ties

    @property
    def share(self) -> Share:
        """Of the comparisons with a winner, those that the model won."""
        return wilson(self.wins, self.wins + self.losses)


def outcome(batch_id: int, model: str) -> Outcome:
    """How `model` did in the batch, by people's first judgements of each pair; skips say nothing."""
    rows = tables.Judgement.objects.filter(
        pair__batch_id=batch_id, ended_at=None, type=Type.COMPARISON.value, judge__kind=Kind.HUMAN.value, round=0
    ).exclude(choice=Choice.SKIP.value)
    wins = losses = ties = 0
    for choice, a, b in rows.values_list("choice", "pair__a__model", "pair__b__model"):
        if choice not in {Choice.A.value, Choice.B.value} or (a == model) == (b == model):
            ties += 1
        elif (a if choice == Choice.A.value else b) == model:
            wins += 1
        else:
            losses += 1
    pairs = tables.Pair.objects.filter(batch_id=batch_id).count()
    return Outcome(pairs=pairs, wins=wins, losses=losses, ties=ties)
