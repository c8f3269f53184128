"""What a training looked like, as pictures beside it: its loss, and how far a reward model's word can be taken."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from talkalike.workspace.files import replacing

_SMOOTH = 0.9  # of the running mean of the training loss
_COLOURS = ("#31639c", "#c4562f", "#3d8b5f", "#8a5aa8")


class CalibrationPoint(Protocol):
    """A bin of judgements. Pairs: a probability and how often it came true; ratings: both from 1 to 5."""

    @property
    def kind(self) -> str:
        """ "pairs", or the scale that was rated."""

    @property
    def predicted(self) -> float:
        """What the model said, on average."""

    @property
    def actual(self) -> float:
        """What was so, on average."""

    @property
    def n(self) -> int:
        """How many judgements."""


def save_loss_plot(metrics: Sequence[Mapping[str, Any]], file: Path, *, title: str) -> None:
    """Draws training and held-out loss (nats per loss token) over the steps of `metrics.jsonl` into a PNG."""
    steps = [line for line in metrics if "loss" in line]
    looks = [line for line in metrics if "heldout_loss" in line]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    places = [line["step"] for line in steps]
    losses = [float(line["loss"]) for line in steps]
    axes.plot(places, losses, color="#b8c4d6", linewidth=0.8, label="training, each step")
    axes.plot(places, running_mean(losses), color="#31639c", linewidth=1.8, label="training, smoothed")
    axes.plot(
        [line["step"] for line in looks],
        [line["heldout_loss"] for line in looks],
        color="#c4562f",
        marker="o",
        label="held-out",
    )
    if looks:
        best = min(looks, key=lambda line: float(line["heldout_loss"]))
        axes.annotate(
            f"best {best['heldout_loss']:.3f}",
            (best["step"], best["heldout_loss"]),
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            color="#c4562f",
        )
    axes.set_title(title.replace("$", r"\$"))
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, file)


def save_calibration_plot(bins: Sequence[CalibrationPoint], file: Path, *, title: str) -> None:
    """Draws what a reward model said against what was so, pairs and ratings side by side, into a PNG.

    On the dashed line it is as right as it says; below it, it is too sure. A point's area goes with its judgements.
    """
    sides = [("pairs", (0.5, 1.0), "how sure it was"), ("ratings", (1.0, 5.0), "what it said (1 to 5)")]
    given = {side: [each for each in bins if (each.kind == "pairs") == (side == "pairs")] for side, _, _ in sides}
    shown = [each for each in sides if given[each[0]]] or sides[:1]
    figure = Figure(figsize=(4.5 * len(shown), 4.5), layout="constrained")
    for axes, (side, (low, high), said) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        axes.plot([low, high], [low, high], color="#9aa4b2", linewidth=1, linestyle=(0, (4, 3)))
        kinds = sorted({each.kind for each in given[side]})
        for kind, colour in zip(kinds, itertools.cycle(_COLOURS), strict=False):
            points = sorted((each for each in given[side] if each.kind == kind), key=lambda each: each.predicted)
            places = [each.predicted for each in points], [each.actual for each in points]
            axes.plot(*places, color=colour, linewidth=1.2, alpha=0.6)
            axes.scatter(*places, [30 + 6 * min(each.n, 60) for each in points], color=colour, label=kind)
            for each in points:
                place = (each.predicted, each.actual)
                axes.annotate(f"{each.n}", place, xytext=(7, 7), textcoords="offset points", fontsize=9, color=colour)
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.set_ylim(-0.04 if side == "pairs" else low - 0.15, high + 0.04 * (high - low))
        axes.set_xlabel(said)
        axes.set_ylabel("how often it was right" if side == "pairs" else "what people said (mean)")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(kinds) > 1:
            axes.legend(frameon=False)
    figure.suptitle(title.replace("$", r"\$") + ("" if bins else ": nothing was held out"))
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def running_mean(values: Sequence[float]) -> list[float]:
    """Exponential running mean, unbiased at the start."""
    smooth: list[float] = []
    total = weight = 0.0
    for value in values:
        total = _SMOOTH * total + (1 - _SMOOTH) * value
        weight = _SMOOTH * weight + (1 - _SMOOTH)
        smooth.append(total / weight)
    return smooth
