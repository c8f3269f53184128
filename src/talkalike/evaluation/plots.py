"""What the report's charts show. In its style sheet each arm has a colour, and the charts' series are the arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkalike.charts.plotter import Axis, Curve, CurveChart, Dot, DotChart
from talkalike.evaluation.author import StyleRecovery
from talkalike.evaluation.bits import BitsReport
from talkalike.evaluation.habits import HabitsReport
from talkalike.evaluation.intervals import Arms, Estimate
from talkalike.evaluation.likeness import TwoSample
from talkalike.evaluation.words import show

AUTHOR, DOUBLE, BASE, OTHERS = range(4)


def shares_chart(style: StyleRecovery) -> DotChart:
    """How many pools of each arm the classifier attributes to the author."""
    rows = [
        _dot("author", style.real.share, AUTHOR, percent=True),
        _dot("double", style.double.share, DOUBLE, percent=True),
        _dot("base", style.base.share, BASE, percent=True),
    ]
    if style.others is not None:
        rows.append(_dot("other people", style.others.share, OTHERS, percent=True))
    axis = Axis(low=0.0, high=1.0, form="{:.0%}".format)
    return DotChart(label="Share of pools attributed to the author, by arm", rows=rows, axis=axis)


def classifier_chart(two_sample: TwoSample) -> DotChart:
    """AUC of each arm on the line from guessing to certainty."""
    rows = [
        _dot("author", two_sample.author, AUTHOR),
        _dot("double", two_sample.double, DOUBLE),
        _dot("base", two_sample.base, BASE),
    ]
    named = {0.5: "guessing", 1.0: "certain"}
    axis = Axis(
        low=min([0.45, *(row.low for row in rows if row.low is not None)]),
        high=1.0,
        form=lambda value: named.get(value, f"{value:g}"),
        ticks=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        reference=0.5,
    )
    return DotChart(label="How often a classifier tells real from generated replies", rows=rows, axis=axis)


def bits_charts(bits: BitsReport) -> tuple[DotChart, DotChart]:
    """Bits per character of the double and its base, and the two lifts of both."""
    both = (("double", bits.double, DOUBLE), ("base", bits.base, BASE))
    rows = [_dot(name, model.bits_per_character, series, digits=2) for name, model, series in both]
    lifts = [_dot(f"speaker, {name}", model.speaker_lift, series, digits=3) for name, model, series in both]
    lifts += [_dot(f"context, {name}", model.context_lift, series, digits=3) for name, model, series in both]
    gained = Axis(title="lift: bits gained by the right name, by the true context", reference=0.0)
    return (
        DotChart(
            label="Bits per character of the double and its base",
            rows=rows,
            axis=Axis(title="bits per character (less is better)", low=0.0),
        ),
        DotChart(label="Lifts of the double and its base", rows=lifts, axis=gained),
    )


def habits_chart(habits: HabitsReport) -> DotChart:
    """Each habit's distance in units of the author's own; 1 is as close as the author is to themself."""
    rows: list[Dot] = []
    for habit in habits.habits:
        note = f"{show(habit.double, digits=1).partition(' ')[0]} · {show(habit.base, digits=1).partition(' ')[0]}"
        for label, found, series in ((habit.name, habit.double, DOUBLE), ("", habit.base, BASE)):
            rows.append(Dot(label=label, value=found.value, low=found.low, high=found.high, note=note, series=series))
    named = {0.1: "≤ 0.1", 1: "like the author", 40: "≥ 40×"}
    axis = Axis(
        low=0.1,
        high=40.0,
        form=lambda value: named.get(value, f"{value:g}{'×' * (value > 1)}"),
        ticks=(0.1, 0.3, 1, 3, 10, 40),
        logarithmic=True,
        reference=1.0,
        shaded=True,
    )
    return DotChart(label="Distance of each habit from the author's, double and base", rows=rows, axis=axis)


def lengths_chart(lengths: Arms[tuple[int, ...]]) -> CurveChart:
    """How long messages are, on a scale of doublings."""
    arms = (("author", lengths.real, AUTHOR), ("double", lengths.double, DOUBLE), ("base", lengths.base, BASE))
    return CurveChart(
        label="Lengths of messages",
        curves=[
            Curve(label=name, points=_stairs(values), series=series, filled=series == AUTHOR)
            for name, values, series in arms
        ],
        x=Axis(
            title="characters in a message",
            low=0.0,
            high=11.0,
            ticks=range(1, 11),
            form=lambda power: f"{2**power:g}",
        ),
        y=Axis(form="{:.0%}".format, low=0.0),
    )


def _stairs(lengths: Sequence[int]) -> list[tuple[float, float]]:
    """A histogram's outline: the share of the messages in each half doubling."""
    edges = np.arange(0, 11.01, 0.5)
    counted, _ = np.histogram(np.clip(np.log2(1 + np.array(lengths, dtype=float)), 0, 11), edges)
    shares = counted / max(1, counted.sum())
    return [(float(at), float(share)) for share, *both in zip(shares, edges, edges[1:], strict=False) for at in both]


def _dot(label: str, found: Estimate, series: int, *, digits: int = 2, percent: bool = False) -> Dot:
    note = "not measured" if found.value is None else show(found, digits=digits, percent=percent)
    return Dot(label=label, value=found.value, low=found.low, high=found.high, note=note, series=series)
