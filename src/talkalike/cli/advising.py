"""`talkalike advise`: recommends a base model for this machine and these chats, with the time its training takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.archive import Archive
from talkalike.cli.commands import WorkspaceOption, above_zero, hand_down
from talkalike.cli.fitting import Machine, plan_of, precision_of, shape_of, this_machine
from talkalike.cli.output import JsonOption, duration, emit, number, one_line, say, size, table
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.opening import open_examples
from talkalike.models.footprint import TrainingPlan, estimate
from talkalike.models.known_bases import KNOWN, KnownBase, saving_ways

_TOKENS_PER_MESSAGE = 25  # with its speaker's name, everyone's messages counted (docs/lab-notebook.md)
_SOME_MESSAGES = 10_000  # where nothing is imported yet
_HOURS = 8.0
_RECOMPUTING = 4 / 3  # how much longer it takes to compute each layer twice
_FOUR_BITS = {"cpu": 1.6, "cuda": 1.3}  # how much longer each token takes on a base in 4 bits
_LITTLE_WORK = 20_000_000  # multiplications for a token
_PASSES = 2  # a forward pass, and the backward pass through weights that stay as they are
_USED = 0.5  # of the speed of large products that a training reaches (docs/lab-notebook.md)

app = typer.Typer(help="Recommend a base model for this machine and these chats.", rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCandidate:
    """A base, and what its training would take here. `why_not`: what speaks against it; empty where nothing does."""

    base: str
    name: str
    numbers: int
    method: str
    quantize: str
    gradient_checkpointing: bool
    bytes: int
    seconds: float
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The base to take (None: not even the smallest suits), why, and all that were looked at, smallest first."""

    recommended: BaseCandidate | None
    device: str
    free_bytes: int | None
    messages: int
    tokens: int
    tokens_per_second: float
    measured_on: str
    candidates: tuple[BaseCandidate, ...]


@app.callback()
def advise(context: typer.Context, workspace_dir: WorkspaceOption = None) -> None:
    """Recommend a base model for this machine and these chats."""
    hand_down(context, workspace_dir=workspace_dir)


@app.command("base")
def advise_base(
    messages: Annotated[
        int | None,
        typer.Option(min=1, help="How many messages the chats have, everyone's counted. Default: those imported."),
    ] = None,
    hours: Annotated[
        float, typer.Option(callback=above_zero, help="The longest time, in hours, that a training may take.")
    ] = _HOURS,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend the largest base that fits this machine.

    Its training has to fit the memory, and to end within --hours.
    """
    workspace = open_workspace(workspace_dir)
    found = recommend(workspace, messages=messages, hours=hours)
    emit(as_json, found, lambda screen: _show(screen, found, hours))


def recommend(workspace: Workspace, *, messages: int | None = None, hours: float = _HOURS) -> Advice:
    """The largest known base whose training by the settings fits the memory and the hours, in the quickest way."""
    machine = this_machine(workspace)
    count, tokens = _amount(workspace, messages)
    speed, work, measured_on = _speed_here(workspace, machine)
    plan = plan_of(workspace, machine)
    trained = tokens * workspace.settings.train.epochs
    candidates = []
    for known in KNOWN:
        ways = list(saving_ways(plan))
        way = next((way for way in ways if machine.holds(estimate(known.shape, way))), ways[-1])
        candidate = _candidate(known, way, trained * known.shape.work / work / speed)
        if not machine.holds(estimate(known.shape, way)):
            candidate = replace(candidate, why_not="more than the free memory")
        elif candidate.seconds > 3600 * hours:
            candidate = replace(candidate, why_not=f"longer than {duration(3600 * hours)}")
        candidates.append(candidate)
    good = [candidate for candidate in candidates if not candidate.why_not]
    return Advice(
        recommended=good[-1] if good else None,
        device=machine.device,
        free_bytes=machine.free_bytes,
        messages=count,
        tokens=tokens,
        tokens_per_second=round(speed, 1),
        measured_on=measured_on,
        candidates=tuple(candidates),
    )


def _candidate(known: KnownBase, way: TrainingPlan, seconds: float) -> BaseCandidate:
    seconds *= _RECOMPUTING if way.recompute else 1.0
    seconds *= _FOUR_BITS.get(way.device, 1.0) if way.quantize == "4bit" else 1.0
    return BaseCandidate(
        base=known.wanted,
        name=known.name,
        numbers=known.shape.numbers,
        method=way.method,
        quantize=way.quantize,
        gradient_checkpointing=way.recompute,
        bytes=estimate(known.shape, way).total,
        seconds=round(seconds),
    )


def _amount(workspace: Workspace, messages: int | None) -> tuple[int, int]:
    """How many messages there are to read, and how many tokens they are: counted, where examples are prepared."""
    if messages is None:
        try:
            train = open_examples(workspace.examples).manifest.train
        except UserError:
            messages = sum(summary.messages for summary in Archive(workspace.chats).summaries().values())
        else:
            return train.messages, train.tokens
    messages = messages or _SOME_MESSAGES
    return messages, messages * _TOKENS_PER_MESSAGE


def _speed_here(workspace: Workspace, machine: Machine) -> tuple[float, int, str]:
    """Tokens per second of a training here, of a base with how much work, and what that was measured on."""
    # torch: the help, and a wrong number, do not wait for it
    from talkalike.models.precision import multiplications_per_second
    from talkalike.training.speed import known_speed, training_speed

    catalog, how = workspace.catalog(), replace(precision_of(workspace), quantize="none")
    bases = [card.name for card in catalog.cards() if card.kind == "base"]
    sizes = {name: shape for name in bases if (shape := shape_of(workspace, name)) is not None}
    large = [name for name in sizes if sizes[name].work > _LITTLE_WORK]  # tiny ones wait for Python, not for products
    for name in sorted(large, key=lambda name: known_speed(catalog, name, how) is None):
        speed = training_speed(catalog, name, how, say=say).tokens_per_second
        return speed, sizes[name].work, name
    smallest = KNOWN[0].shape.work
    products = multiplications_per_second(machine.device, half=machine.half)
    return products * _USED / (_PASSES * smallest), smallest, "products of matrices"


def _show(screen: Console, found: Advice, hours: float) -> None:
    free = "" if found.free_bytes is None else f", {size(found.free_bytes)} of memory free"
    screen.print(
        one_line(
            f"For {number(found.messages)} messages ({number(found.tokens)} tokens) on this machine ({found.device}"
            f"{free}), by {number(found.tokens_per_second)} tokens per second measured on {found.measured_on}:"
        )
    )
    rows = [
        [
            candidate.name + (" ←" if candidate == found.recommended else ""),
            f"{candidate.numbers / 1e9:.2f} billion",
            _way(candidate),
            size(candidate.bytes),
            duration(candidate.seconds),
            candidate.why_not or "fits",
        ]
        for candidate in found.candidates
    ]
    screen.print(table(["base", ">numbers", "trained with", ">memory", ">time", ""], rows))
    chosen = found.recommended
    if chosen is None:
        screen.print(
            one_line(
                f"No base is trained within {duration(3600 * hours)} here. Give it more time with --hours, take fewer "
                "chats, or set minutes in [train]: a training then stops in time."
            )
        )
        return
    screen.print(one_line(f"Recommended: {chosen.name}. In talkalike.toml:", "bold"))
    for line in _toml(chosen):
        screen.print(line, markup=False)


def _way(candidate: BaseCandidate) -> str:
    extras = [candidate.quantize] if candidate.quantize != "none" else []
    extras += ["gradient_checkpointing"] if candidate.gradient_checkpointing else []
    return ", ".join([candidate.method, *extras])


def _toml(chosen: BaseCandidate) -> Sequence[str]:
    """The settings that make it the base."""
    lines = ["[model]", f'base = "{chosen.base}"']
    lines += [f'quantize = "{chosen.quantize}"'] if chosen.quantize != "none" else []
    lines += ["[train]", "gradient_checkpointing = true"] if chosen.gradient_checkpointing else []
    return lines
