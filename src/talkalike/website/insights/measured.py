"""Measurements, which need no judge: likeness from the models' cards, losses from the runs."""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.charts.plotter import SERIES, Axis, Curve, CurveChart, Dot, DotChart
from talkalike.jobs.runs import Run
from talkalike.website.insights.sections import BASE_SERIES, Finding
from talkalike.website.insights.tables import Column, Table, count, decimal, with_interval
from talkalike.workspace.cards import Card


def likeness(cards: Sequence[Card]) -> Finding:
    """The likeness of each model to the person, from its card."""
    scored = [(card, card.likeness) for card in cards if card.likeness is not None]
    scored.sort(key=lambda one: (-(one[1].value or 0.0), one[0].name))
    rows = [
        Dot(
            label=card.name,
            value=one.value,
            low=one.low,
            high=one.high,
            note=f"{one.value:.2f}" if one.value is not None else "too few replies",
            series=BASE_SERIES if card.kind == "base" else 0,
        )
        for card, one in scored
    ]
    axis = Axis(low=0.0, high=1.0, title="0: unlike the person, 1: like the person's own messages")
    return Finding(
        words="Measured by `talkalike score` on held-out conversations.",
        charts=[DotChart(label="Likeness of each model", rows=rows, axis=axis)],
        table=Table(
            name="likeness",
            title="Likeness",
            columns=(
                Column("Model"),
                *with_interval("Likeness", decimal(2)),
                Column("Replies", count),
                Column("Bits per character", decimal(3)),
                Column("Bits per character, base", decimal(3)),
            ),
            rows=[
                (card.name, one.value, one.low, one.high, one.replies, one.bits, one.bits_base) for card, one in scored
            ],
        ),
        empty="No model has been scored yet.",
    )


def losses(runs: Sequence[Run]) -> Finding:
    """The held-out loss of the latest runs, and where each ended."""
    shown = [(run, run.curves, best) for run in runs if (best := run.curves.best_heldout)][:SERIES]
    curves = [
        Curve(label=run.model, points=found.heldout, series=number, marks=True)
        for number, (run, found, _) in enumerate(shown)
    ]
    return Finding(
        words="The loss on held-out conversations; lower is better. Only runs on the same examples can be compared.",
        charts=[CurveChart(label="Held-out loss of the latest runs", curves=curves, y=Axis(form=decimal(2)))],
        table=Table(
            name="losses",
            title="Held-out loss of the latest runs",
            columns=(
                Column("Run"),
                Column("Model"),
                Column("Before", decimal(3)),
                Column("Lowest", decimal(3)),
                Column("At step", count),
                Column("Steps", count),
            ),
            rows=[
                (run.id, run.model, found.heldout[0][1], best[1], best[0], found.steps) for run, found, best in shown
            ],
        ),
        empty="No run has measured a held-out loss yet.",
    )
