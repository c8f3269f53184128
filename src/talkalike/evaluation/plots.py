"""The report's plots as SVG that takes its colours and its font from the page, so it follows light and dark.

matplotlib draws with stand-in colours, which are then replaced by CSS variables. No name or message of a user enters a
plot: matplotlib would read `$` in it as mathematics.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from talkalike.evaluation.author import StyleRecovery
from talkalike.evaluation.bits import BitsReport
from talkalike.evaluation.habits import HabitsReport
from talkalike.evaluation.intervals import Estimate
from talkalike.evaluation.likeness import Lengths, TwoSample

INK, MUTED, GRID = "#010203", "#010204", "#010205"
AUTHOR, DOUBLE, BASE, OTHERS = "#010206", "#010207", "#010208", "#010209"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    AUTHOR: "--author",
    DOUBLE: "--double",
    BASE: "--base",
    OTHERS: "--others",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "font.size": 10,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
Row = tuple[str, Estimate, str]  # label, number, colour


def shares_plot(style: StyleRecovery) -> str:
    """How many pools of each arm the classifier takes for the author's."""
    rows: list[Row] = [
        ("author", style.real.share, AUTHOR),
        ("double", style.double.share, DOUBLE),
        ("base", style.base.share, BASE),
    ]
    if style.others is not None:
        rows.append(("other people", style.others.share, OTHERS))
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(len(rows) * 0.42 + 0.5)
        _dots(axes, rows)
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        return _svg(figure, "Share of pools taken for the author, by arm")


def found_out_plot(two_sample: TwoSample) -> str:
    """AUC of each arm on the line from guessing to certainty."""
    rows: list[Row] = [
        ("author", two_sample.author, AUTHOR),
        ("double", two_sample.double, DOUBLE),
        ("base", two_sample.base, BASE),
    ]
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(len(rows) * 0.42 + 0.5)
        lowest = min([0.45, *(row[1].low for row in rows if row[1].low is not None)])
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        _dots(axes, rows)
        axes.set_xlim(lowest - 0.02, 1.02)
        axes.set_xticks([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], ["guessing", "0.6", "0.7", "0.8", "0.9", "certain"])
        return _svg(figure, "How often a classifier tells real from generated replies")


def bits_plot(bits: BitsReport) -> str:
    """Bits per character, and the two lifts, of the double and its base."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 2.7), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=[2, 4])
        both = (("double", bits.double, DOUBLE), ("base", bits.base, BASE))
        _bars(upper, [(name, model.bits_per_character, colour) for name, model, colour in both], digits=2)
        upper.set_title("bits per character (shorter is better)", loc="left", fontsize=10, color=MUTED)
        rows: list[Row] = [(f"speaker, {name}", model.speaker_lift, colour) for name, model, colour in both]
        rows += [(f"context, {name}", model.context_lift, colour) for name, model, colour in both]
        _bars(lower, rows, digits=3)
        lower.set_title(
            "lift: bits gained by the right name, by the true context", loc="left", fontsize=10, color=MUTED
        )
        return _svg(figure, "Bits per character and lifts of the double and its base")


def habits_plot(habits: HabitsReport) -> str:
    """Each habit's distance in units of the author's own; 1 is as close as the author is to themself."""
    least, most = 0.1, 40.0
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(len(habits.habits) * 0.56 + 0.6)
        axes.set_xscale("log")
        axes.axvspan(least, 1, color=AUTHOR, alpha=0.12, linewidth=0)
        axes.axvline(1, color=AUTHOR, linewidth=1.5)
        for position, habit in enumerate(habits.habits):
            for found, colour, shift in ((habit.base, BASE, 0.14), (habit.double, DOUBLE, -0.14)):
                value, low, high = np.clip([_or_nan(found.value), _or_nan(found.low), _or_nan(found.high)], least, most)
                axes.plot([low, high], [position + shift] * 2, color=colour, linewidth=2.5, alpha=0.45)
                axes.plot(value, position + shift, "o", color=colour, markersize=7)
        axes.set_yticks(range(len(habits.habits)), [habit.name for habit in habits.habits])
        axes.set_ylim(len(habits.habits) - 0.5, -0.5)
        axes.set_xlim(least * 0.93, most)
        axes.set_xticks([0.1, 0.3, 1, 3, 10, 30], ["≤ 0.1", "0.3", "like the author", "3×", "10×", "30×"])
        axes.xaxis.set_minor_locator(NullLocator())
        return _svg(figure, "Distance of each habit from the author's, double and base")


def lengths_plot(lengths: Lengths) -> str:
    """How long messages are, on a scale of doublings."""
    edges = np.arange(0, 11.01, 0.5)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 2.4), layout="constrained")
        axes = figure.subplots()
        for values, colour, filled in (
            (lengths.real, AUTHOR, True),
            (lengths.base, BASE, False),
            (lengths.double, DOUBLE, False),
        ):
            counted, _ = np.histogram(np.clip(np.log2(1 + np.array(values, dtype=float)), 0, 11), edges)
            share = counted / max(1, counted.sum())
            if filled:
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.28)
            axes.stairs(share, edges, color=colour, linewidth=2)
        axes.set_xlim(0.5, 10.5)
        axes.set_xticks(range(1, 11), [str(2**power) for power in range(1, 11)])
        axes.set_xlabel("characters in a message")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.tick_params(axis="y", labelcolor=MUTED)
        return _svg(figure, "Lengths of messages of the author, the double and the base")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _dots(axes: Axes, rows: Sequence[Row]) -> None:
    for position, (_, found, colour) in enumerate(rows):
        if found.value is None:
            continue
        axes.plot(
            [_or_nan(found.low), _or_nan(found.high)], [position, position], color=colour, linewidth=5, alpha=0.35
        )
        axes.plot(found.value, position, "o", color=colour, markersize=10)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _bars(axes: Axes, rows: Sequence[Row], *, digits: int) -> None:
    ends = [max(found.high or 0.0, found.value or 0.0) for _, found, _ in rows]
    starts = [min(found.low or 0.0, 0.0) for _, found, _ in rows]
    width = max([*ends, 0.01]) - min([*starts, 0.0])
    for position, (_, found, colour) in enumerate(rows):
        text = "not measured" if found.value is None else f"{found.value + 0.0:.{digits}f}"
        if found.value is not None:
            axes.barh(position, found.value, height=0.62, color=colour)
            axes.plot([_or_nan(found.low), _or_nan(found.high)], [position, position], color=INK, linewidth=1.3)
        axes.text(ends[position] + 0.02 * width, position, text, va="center", fontsize=9.5, color=INK)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(min(starts) - 0.01 * width, max(ends) + 0.16 * width)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _svg(figure: Figure, label: str) -> str:
    """The drawing for embedding: same bytes for the same numbers, ids of its own, the page's colours."""
    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg role="img" aria-label="{label}" \1>', svg, count=1)
    return re.sub(r' id="(figure|axes|patch|line2d|text|matplotlib|xtick|ytick|PathCollection)[^"]*"', "", svg)
