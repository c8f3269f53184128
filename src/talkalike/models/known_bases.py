"""Bases to choose from, smallest first, with their sizes: what fits which memory is told without fetching any of them.

All can be had without a login and under the Apache licence. The sizes are those of their published configurations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from talkalike.models.footprint import BaseShape, TrainingPlan, estimate
from talkalike.workspace.cards import EMBEDDED_NAME

_USABLE = 0.95  # of a GPU's memory
_QWEN: dict[str, Any] = {"head_width": 128, "vocabulary": 151936}


@dataclass(frozen=True, slots=True)
class KnownBase:
    """A base: its short name, what `[model] base` calls it, and its sizes."""

    name: str
    wanted: str
    shape: BaseShape


KNOWN = (
    KnownBase(
        "SmolLM2-135M",
        EMBEDDED_NAME,
        BaseShape(layers=30, width=576, inner=1536, heads=9, groups=3, head_width=64, vocabulary=49152),
    ),
    KnownBase(
        "SmolLM2-360M",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        BaseShape(layers=32, width=960, inner=2560, heads=15, groups=5, head_width=64, vocabulary=49152),
    ),
    KnownBase(
        "Qwen3-0.6B", "Qwen/Qwen3-0.6B", BaseShape(layers=28, width=1024, inner=3072, heads=16, groups=8, **_QWEN)
    ),
    KnownBase(
        "SmolLM2-1.7B",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        BaseShape(layers=24, width=2048, inner=8192, heads=32, groups=32, head_width=64, vocabulary=49152),
    ),
    KnownBase(
        "Qwen3-1.7B", "Qwen/Qwen3-1.7B", BaseShape(layers=28, width=2048, inner=6144, heads=16, groups=8, **_QWEN)
    ),
    KnownBase("Qwen3-4B", "Qwen/Qwen3-4B", BaseShape(layers=36, width=2560, inner=9728, heads=32, groups=8, **_QWEN)),
    KnownBase(
        "Qwen3-8B",
        "Qwen/Qwen3-8B",
        BaseShape(layers=36, width=4096, inner=12288, heads=32, groups=8, tied=False, **_QWEN),
    ),
    KnownBase(
        "Qwen3-14B",
        "Qwen/Qwen3-14B",
        BaseShape(layers=40, width=5120, inner=17408, heads=40, groups=8, tied=False, **_QWEN),
    ),
)


def saving_ways(plan: TrainingPlan) -> Iterator[TrainingPlan]:
    """The plan, and what takes less memory with almost the same result, the cheapest in time first."""
    yield plan
    if not plan.recompute:
        yield replace(plan, recompute=True)
    if plan.quantize == "none" and plan.method in {"lora", "dora", "prompt"}:
        yield replace(plan, recompute=True, quantize="4bit")


WAYS = {
    "`full`": TrainingPlan(method="full", device="cuda"),
    "`lora`": TrainingPlan(device="cuda"),
    "`lora`, `gradient_checkpointing`": TrainingPlan(device="cuda", recompute=True),
    '`lora`, `gradient_checkpointing`, `quantize = "4bit"`': TrainingPlan(
        device="cuda", recompute=True, quantize="4bit"
    ),
}
"""The ways to train in the table of the documents."""


def largest_that_fits(gigabytes: int, plan: TrainingPlan) -> str:
    """The largest known base that can be trained so on a GPU of this memory; a dash for none."""
    room = _USABLE * gigabytes * 2**30
    names = [known.name for known in KNOWN if estimate(known.shape, plan).total <= room]
    return names[-1] if names else "–"
