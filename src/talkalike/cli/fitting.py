"""Whether a training fits this machine: the memory it takes, reckoned before its first step, and what is free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from talkalike.cli.doctor_machine import Check
from talkalike.cli.output import number, size
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.models.footprint import BaseShape, Footprint, TrainingPlan, estimate, read_shape
from talkalike.models.known_bases import KNOWN, saving_ways
from talkalike.models.memory import available_memory, memory_in_use

if TYPE_CHECKING:
    from talkalike.training.speed import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a base is computed on. `free_bytes`: of its memory; None where nobody says."""

    device: str  # cpu, cuda, mps
    half: bool  # in 16 bits
    free_bytes: int | None

    def holds(self, footprint: Footprint) -> bool:
        """Whether so much is free, as far as that is known."""
        return self.free_bytes is None or footprint.total <= self.free_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """The memory that a training takes, reckoned before its first step. `todo`: what to do where it does not fit.

    `measured_*`: a short step of `measured_tokens` tokens on this machine, and what was reckoned for it; 0 where none
    was measured.
    """

    base: str
    method: str
    row_tokens: int
    device: str
    estimated_bytes: int
    free_bytes: int | None
    fits: bool
    todo: str = ""
    measured_tokens: int = 0
    measured_bytes: int = 0
    measured_estimate: int = 0

    @property
    def words(self) -> str:
        """In a sentence or two."""
        free = "" if self.free_bytes is None else f"; {size(self.free_bytes)} are free"
        said = f"about {size(self.estimated_bytes)} ({self.method} on {self.base}, {number(self.row_tokens)} tokens at "
        said += f"once, {self.device}){free}."
        if self.measured_bytes:
            said += f" Measured here with {number(self.measured_tokens)} tokens at once: {size(self.measured_bytes)}, "
            said += f"estimated {size(self.measured_estimate)}."
        return said


def this_machine(workspace: Workspace) -> Machine:
    """The device that the settings mean, and its free memory; what this process has itself counts as free."""
    # torch: where nothing is reckoned, nobody waits for it
    from talkalike.models.precision import choose_device, choose_dtype, free_on_gpu

    model = workspace.settings.model
    device = choose_device(model.device)
    half = choose_dtype(model.dtype, device).itemsize == 2
    free = free_on_gpu(device)
    if free is None and (free := available_memory()) is not None:
        free += memory_in_use() or 0
    return Machine(device=device.type, half=half, free_bytes=free)


def precision_of(workspace: Workspace) -> Precision:
    """How the settings hold the base."""
    # torch: where nothing is measured, nobody waits for it
    from talkalike.training.speed import Precision

    return Precision(**workspace.settings.model.loading)


def plan_of(
    workspace: Workspace, machine: Machine, *, method: str | None = None, learned: float | None = None
) -> TrainingPlan:
    """How a base is trained by the settings. `learned`: the share of the tokens that are; None: a usual one."""
    settings = workspace.settings
    return TrainingPlan(
        method=method or settings.train.method,
        rank=settings.train.rank,
        last_layers=settings.train.last_layers,
        prompt_length=settings.train.prompt_length,
        row=settings.train.row_tokens,
        document=settings.examples.max_tokens,
        learned=TrainingPlan().learned if learned is None else learned,
        half=machine.half,
        quantize=settings.model.quantize,
        recompute=settings.train.gradient_checkpointing,
        device=machine.device,
    )


def training_memory(
    workspace: Workspace, base: str, *, method: str | None = None, learned: float | None = None
) -> TrainingMemory | None:
    """What training this base takes by the settings; None where its sizes are not known."""
    shape = shape_of(workspace, base)
    if shape is None:
        return None
    machine = this_machine(workspace)
    plan = plan_of(workspace, machine, method=method, learned=learned)
    footprint = estimate(shape, plan)
    fits = machine.holds(footprint)
    return TrainingMemory(
        base=base,
        method=plan.method,
        row_tokens=plan.row,
        device=machine.device,
        estimated_bytes=footprint.total,
        free_bytes=machine.free_bytes,
        fits=fits,
        todo="" if fits else what_would_fit(shape, plan, machine),
    )


def shape_of(workspace: Workspace, base: str) -> BaseShape | None:
    """The sizes of a base: by its folder, else those of a known one; None where neither tells."""
    catalog, short = workspace.catalog(), Path(base).name.lower()
    for name in (base, short):
        if catalog.exists(name):
            return read_shape(catalog.path(name))
    return next((known.shape for known in KNOWN if base == known.wanted), None)


def what_would_fit(shape: BaseShape, plan: TrainingPlan, machine: Machine) -> str:
    """What to change so that this training fits the machine, in a sentence."""
    for way in saving_ways(plan):
        row = plan.row
        while row >= plan.document:
            smaller = replace(way, row=row)
            if machine.holds(estimate(shape, smaller)):
                return f"Set {' and '.join(_changes(plan, smaller))}."
            row //= 2
    fitting = "" if plan.method == "lora" else " Or train with --method lora."
    return f"Choose a smaller base: `talkalike advise base` names those that fit.{fitting}"


def _changes(plan: TrainingPlan, to: TrainingPlan) -> Iterator[str]:
    if to.quantize != plan.quantize:
        yield f'quantize = "{to.quantize}" in [model]'
    if to.recompute != plan.recompute:
        yield "gradient_checkpointing = true in [train]"
    if to.row != plan.row:
        yield f"row_tokens = {to.row} in [train]"


def check_training(workspace: Workspace) -> Iterator[Check]:
    """The doctor's check: whether a training by the settings fits here."""
    try:
        memory = training_memory(workspace, workspace.settings.model.base)
    except UserError:  # a device or number format that is not here, which the training says itself
        return
    if memory is not None:
        state = "ok" if memory.fits else "warning"
        yield Check(name="training memory", state=state, found=memory.words, todo=memory.todo)  # type: ignore[arg-type]
