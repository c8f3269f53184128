"""How a training went, as a chart: the same beside the run and on the site."""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.charts.plotter import Axis, Curve, CurveChart
from talkalike.workspace.curves import Curves

_SMOOTH = 0.9  # of the running mean of the training loss


def loss_chart(found: Curves, *, label: str) -> CurveChart:
    """The loss while it trains, as it is and smoothed, and on what was held out."""
    smooth = running_mean([value for _, value in found.loss])
    smoothed = [(step, value) for (step, _), value in zip(found.loss, smooth, strict=True)]
    best = found.best_heldout
    lowest = f" (lowest: {best[1]:.3f} at step {best[0]:,g})" if best else ""
    return CurveChart(
        label=label,
        curves=(
            Curve(label="training loss", points=found.loss, series=4, thin=True),
            Curve(label="training loss, smoothed", points=smoothed, series=4),
            Curve(label=f"held-out loss{lowest}", points=found.heldout, series=0, marks=True),
        ),
        y=Axis(form="{:.2f}".format),
    )


def running_mean(values: Sequence[float]) -> list[float]:
    """Exponential running mean, unbiased at the start."""
    smooth: list[float] = []
    total = weight = 0.0
    for value in values:
        total = _SMOOTH * total + (1 - _SMOOTH) * value
        weight = _SMOOTH * weight + (1 - _SMOOTH)
        smooth.append(total / weight)
    return smooth
