"""How models stand against each other, from the tallies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from django.db.models import Sum

from talkalike.store.judging.judgement_values import Choice, Kind, Type
from talkalike.store.judging.statistics import bradley_terry
from talkalike.store.tables import judging_tables as tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A model against all others it was compared with. `score` is a logit (0: average) with its 95 % interval."""

    model: str
    score: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def standings(*, kind: Kind = Kind.HUMAN, until: date | None = None) -> tuple[Standing, ...]:
    """Every compared model, strongest first; of judgements up to that day."""
    rows = tables.Tally.objects.filter(type=Type.COMPARISON.value, kind=kind.value).exclude(value=Choice.SKIP.value)
    if until is not None:
        rows = rows.filter(day__lte=until)
    counts = rows.values_list("model_a", "model_b", "value").annotate(sum=Sum("count")).filter(sum__gt=0)
    return stand(counts.order_by())


def over_time(*, kind: Kind = Kind.HUMAN, points: int = 12) -> tuple[tuple[date, tuple[Standing, ...]], ...]:
    """The standings as they were on up to `points` days, evenly spread from the first comparison to the last."""
    rows = tables.Tally.objects.filter(type=Type.COMPARISON.value, kind=kind.value, count__gt=0)
    columns = ("day", "model_a", "model_b", "value")
    summed = rows.exclude(value=Choice.SKIP.value).values_list(*columns).annotate(sum=Sum("count")).order_by("day")
    counts = [(day, (str(a), str(b), str(value)), int(count)) for day, a, b, value, count in summed]
    if not counts:
        return ()
    first, span = counts[0][0], (counts[-1][0] - counts[0][0]).days
    wanted = {first + timedelta(days=round(span * i / max(1, points - 1))) for i in range(points)}
    found = []
    total: Counter[tuple[str, str, str]] = Counter()
    done = 0
    for day in sorted(wanted):
        while done < len(counts) and counts[done][0] <= day:
            total[counts[done][1]] += counts[done][2]
            done += 1
        found.append((day, stand((a, b, value, count) for (a, b, value), count in total.items())))
    return tuple(found)


def scores() -> dict[str, float]:
    """The score of each model that people compared."""
    return {standing.model: standing.score for standing in standings()}


def stand(counts: Iterable[tuple[str, str, str, int]]) -> tuple[Standing, ...]:
    """Standings from (model_a, model_b, value, count)."""
    rows = [(a, b, value, int(count)) for a, b, value, count in counts if a != b]
    models = sorted({name for a, b, _, _ in rows for name in (a, b)})
    index = {name: i for i, name in enumerate(models)}
    won, tied = np.zeros((len(models), len(models))), np.zeros((len(models), len(models)))
    for a, b, value, count in rows:
        one, two = index[a], index[b]
        if value == Choice.A:
            won[one, two] += count
        elif value == Choice.B:
            won[two, one] += count
        else:  # both good or both bad: neither is better
            tied[one, two] += count
            tied[two, one] += count
    strengths = bradley_terry(won + tied / 2)
    made = [
        Standing(
            model=name,
            score=float(strengths.score[i]),
            low=float(strengths.low[i]),
            high=float(strengths.high[i]),
            wins=int(won[i].sum()),
            ties=int(tied[i].sum()),
            losses=int(won[:, i].sum()),
        )
        for name, i in index.items()
    ]
    return tuple(sorted(made, key=lambda standing: (-standing.score, standing.model)))
