"""The loss of a training as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_SMOOTH = 0.9  # of the running mean of the training loss


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
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    figure.savefig(temporary, format="png", dpi=130)
    temporary.replace(file)


def running_mean(values: Sequence[float]) -> list[float]:
    """Exponential running mean, unbiased at the start."""
    smooth: list[float] = []
    total = weight = 0.0
    for value in values:
        total = _SMOOTH * total + (1 - _SMOOTH) * value
        weight = _SMOOTH * weight + (1 - _SMOOTH)
        smooth.append(total / weight)
    return smooth
