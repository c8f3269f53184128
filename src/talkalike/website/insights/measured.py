"""What was measured and not judged, beside it: likeness from the cards, losses from the runs."""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.jobs.runs import Run
from talkalike.website.insights.charts import SERIES, Axis, Dot, Line, dots, lines
from talkalike.website.insights.sections import BASE_SERIES, NOTHING, Section
from talkalike.website.insights.tables import Column, Table, count, decimal
from talkalike.workspace.cards import Card


def likeness(cards: Sequence[Card]) -> Section:
    """How alike each model writes."""
    scored = sorted(
        (card for card in cards if card.likeness is not None),
        key=lambda card: (-(card.likeness.value or 0.0) if card.likeness else 0.0, card.name),
    )
    columns = (
        Column(title="Model"),
        Column(title="Likeness", form=decimal(2)),
        Column(title="From", form=decimal(2)),
        Column(title="To", form=decimal(2)),
        Column(title="Replies", form=count),
        Column(title="Bits per character", form=decimal(3)),
        Column(title="of its base", form=decimal(3)),
    )
    rows = [
        (card.name, one.value, one.low, one.high, one.replies, one.bits, one.bits_base)
        for card in scored
        if (one := card.likeness) is not None
    ]
    drawn = [
        Dot(
            label=card.name,
            value=one.value,
            low=one.low,
            high=one.high,
            note=f"{one.value:.2f}" if one.value is not None else "too little to say",
            series=BASE_SERIES if card.kind == "base" else 0,
        )
        for card in scored
        if (one := card.likeness) is not None
    ]
    axis = Axis(low=0.0, high=1.0, title="0: unlike the person, 1: as alike as they are to themself")
    return Section(
        key="likeness",
        title="Likeness, measured",
        words="What `talkalike score` found on held-out conversations.",
        chart=dots(drawn, axis, label="Likeness of each model") if drawn else NOTHING,
        table=Table(name="likeness", title="Likeness", columns=columns, rows=rows),
        empty="No model was scored yet.",
    )


def losses(runs: Sequence[Run]) -> Section:
    """The held-out loss of the latest runs, and where each ended."""
    shown = [run for run in runs if run.curves.heldout][:SERIES]
    columns = (
        Column(title="Run"),
        Column(title="Model"),
        Column(title="Before", form=decimal(3)),
        Column(title="Lowest", form=decimal(3)),
        Column(title="At step", form=count),
        Column(title="Steps", form=count),
    )
    rows = []
    drawn = []
    for number, run in enumerate(shown):
        best = run.curves.best_heldout
        rows.append(
            (
                run.id,
                run.model,
                run.curves.heldout[0][1],
                best[1] if best else None,
                best[0] if best else None,
                run.curves.steps,
            )
        )
        drawn.append(Line(label=run.model, points=run.curves.heldout, series=number, marks=True))
    chart = lines(drawn, label="Held-out loss of the latest runs", x_title="step", y_form=decimal(2))
    return Section(
        key="losses",
        title="Loss of the latest trainings",
        words="On conversations that were held out; lower is better. Only runs on the same examples compare.",
        chart=chart,
        table=Table(name="losses", title="Held-out loss", columns=columns, rows=rows),
        empty="No training was measured yet.",
    )
