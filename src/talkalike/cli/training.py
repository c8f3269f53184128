"""`talkalike train`: runs the recipe, shows how it goes, and stops it politely."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from talkalike.charts.losses import loss_chart
from talkalike.charts.plotter import save
from talkalike.cli.commands import WorkspaceOption, above_zero
from talkalike.cli.eye_training import EyeTraining, refuse_with_eye, train_an_eye
from talkalike.cli.fitting import training_memory
from talkalike.cli.models import ensure_base
from talkalike.cli.output import FICTIONAL, JsonOption, duration, emit, percent, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.training_screen import show_events
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import MissingExtraError, UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.opening import open_examples
from talkalike.examples.prepare import tokenizer_hash
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import METHODS, AdapterSettings
from talkalike.models.tokenizer import load_tokenizer
from talkalike.training.eye_values import EYE_METHODS
from talkalike.training.values import LEARNING_RATES, Finished, LoopSettings, TrainConfig
from talkalike.workspace.cards import check_name
from talkalike.workspace.curves import curves
from talkalike.workspace.files import mapping_of
from talkalike.workspace.naming import folder_name
from talkalike.workspace.run_folder import RunFolder, failing_with, new_run, newest_unfinished, only_training

Method = Literal["lora", "dora", "full", "last-n", "prompt", "connector", "gated"]
_TRACKERS = ("tensorboard", "wandb", "trackio")


def train(  # signature: typer
    name: Annotated[
        str | None, typer.Option(help="Name of the new model. Default: the speaker's name with a number.")
    ] = None,
    examples: Annotated[str | None, typer.Option(help="Example set to train on. Default: the newest one.")] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="Training method: which weights are trained. Default: as in the settings; with --eye, connector."
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model to train. Default: the one the examples were made for.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Model to go on from, or newest: the double trained last. Default: begin with the base."),
    ] = None,
    eye: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|task:NAME",
            help="Train an eye for the base instead: on a folder with pictures and pairs.jsonl, or a task's examples.",
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            callback=above_zero, help="Maximum number of passes over the examples. Default: as in the settings."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(callback=above_zero, help="Time limit in minutes; the learning rate schedule is fitted to it."),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(callback=above_zero, help="Highest learning rate. Default: as in the settings.")
    ] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="Also log to tensorboard, wandb or trackio; can be given several times.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished training.")] = False,
    run_id: Annotated[str | None, typer.Option("--run", hidden=True)] = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the prepared examples. Ctrl-C saves and stops; --resume continues."""
    began = time.monotonic()
    workspace = open_workspace(workspace_dir)
    changes = {"method": method, "epochs": epochs, "minutes": minutes, "lr": lr}
    given = {key: value for key, value in changes.items() if value is not None}
    if eye is not None:
        refuse_with_eye({"--examples": examples, "--start": start, "--tracker": tracker})
        request = EyeTraining(source=eye, given=given, name=name, base=base, resume=resume, run_id=run_id)
        train_an_eye(workspace, request, began=began, as_json=as_json)
        return
    if method in EYE_METHODS:
        raise UserError(f"--method {method} trains an eye.", hint="Name what it learns from: --eye FOLDER or task:NAME")
    if resume:
        if given or base or start or examples or tracker:
            raise UserError(
                "--resume continues the training as it was started.", hint="Leave out the other options but --name."
            )
        config, chosen, run = _find_unfinished(workspace, name)
    else:
        chosen = open_examples(workspace.examples, examples)
        config = _config(workspace, chosen, given, name=name, base=base, trackers=tuple(tracker or ()))
        if start:
            config = _going_on(workspace, config, start, {"--method": method, "--base": base})
        run = new_run(workspace.runs, config.name, run_id)
    run.began = began
    _check_base(workspace, chosen, config.base)
    memory = training_memory(workspace, config.base, method=config.adapter.method)
    if memory is not None and not memory.fits:
        say(f"This training may run out of memory: it takes {memory.words} {memory.todo}")
    finished = run_training(workspace, config, chosen, run, resume=resume, quiet=as_json)
    plot = run.path / "loss.svg"
    card = finished.card
    result = {
        "model": card.name if card else None,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "scores": dict(card.scores) if card else {},
        "folder": workspace.catalog().path(card.name) if card else None,
        "run": run.path,
        "plot": plot,
    }
    emit(as_json, result, lambda screen: _show(screen, finished, plot))


def run_training(
    workspace: Workspace, config: TrainConfig, chosen: ExampleSet, run: RunFolder, *, resume: bool, quiet: bool
) -> Finished:
    """Drives the recipe to its end (or to Ctrl-C), showing it unless `quiet`, and draws the loss plot."""
    # torch: the help, and wrong options, do not wait for it
    from talkalike.training.sft import train_supervised

    chosen.verify()
    if not chosen.manifest.heldout.learned:
        say("Nothing is held out, so the best state cannot be found: the last one is kept.")
    with only_training(workspace.runs), polite_interrupt() as should_stop:
        events = train_supervised(
            config, catalog=workspace.catalog(), examples=chosen, run=run, resume=resume, should_stop=should_stop
        )
        with failing_with(run):
            last = show_events(events, quiet=quiet)
    if not isinstance(last, Finished):
        raise AssertionError("a training ends with Finished")
    chart = loss_chart(curves(run.path), label="Loss by step")
    save([chart], run.path / "loss.svg", title=f"{config.name}: {config.adapter.method}")
    return last


def _config(
    workspace: Workspace,
    chosen: ExampleSet,
    given: dict[str, Any],
    *,
    name: str | None,
    base: str | None,
    trackers: tuple[str, ...],
) -> TrainConfig:
    settings, model = workspace.settings.train, workspace.settings.model
    method = given.get("method", settings.method)
    rate = given.get("lr", settings.lr)
    return TrainConfig(
        name=_free_name(workspace, chosen, name),
        base=base or chosen.manifest.base,
        adapter=AdapterSettings(
            method=method,
            rank=settings.rank,
            last_layers=settings.last_layers,
            prompt_length=settings.prompt_length,
        ),
        loop=LoopSettings(
            learning_rate=LEARNING_RATES[method] if rate == "auto" else float(rate),
            schedule=settings.schedule,
            epochs=given.get("epochs", settings.epochs),
            minutes=given.get("minutes", settings.minutes),
            batch_tokens=settings.batch_tokens,
            row_tokens=settings.row_tokens,
            seed=settings.seed,
        ),
        dtype=model.dtype,
        device=model.device,
        quantize=model.quantize,
        gradient_checkpointing=settings.gradient_checkpointing,
        patience=settings.patience,
        trackers=_check_trackers(trackers),
    )


def _going_on(workspace: Workspace, config: TrainConfig, start: str, given: Mapping[str, str | None]) -> TrainConfig:
    """The same training with the weights of an earlier one as its first: on its base, and by its method."""
    catalog = workspace.catalog()
    card = catalog.newest_double() if start == "newest" else catalog.card(start)
    if card is None:
        raise UserError("There is no double to go on from yet.", hint="Leave out --start: the first one begins anew.")
    if not card.is_double or card.method not in METHODS:
        raise UserError(
            f"'{card.name}' was not trained on examples, so a training cannot go on from it.",
            hint="Leave out --start, or train on a whole model as a base: --base NAME.",
        )
    for option, wanted, has in (
        ("--method", given["--method"], card.method),
        ("--base", given["--base"], card.base),
    ):
        if wanted not in {None, has}:
            raise UserError(
                f"'{card.name}' was trained with {option} {has}, so it cannot go on with {option} {wanted}.",
                hint=f"Leave out {option}, or leave out --start.",
            )
    earlier = mapping_of(card.settings, "adapter")
    known = {name: earlier[name] for name in ("rank", "last_layers", "prompt_length") if name in earlier}
    rate = config.loop.learning_rate
    if workspace.settings.train.lr == "auto" and rate == LEARNING_RATES[config.adapter.method]:
        rate = LEARNING_RATES[card.method]
    return replace(
        config,
        base=card.base,
        start=card.name,
        adapter=replace(config.adapter, method=card.method, **known),
        loop=replace(config.loop, learning_rate=rate),
    )


def _find_unfinished(workspace: Workspace, name: str | None) -> tuple[TrainConfig, ExampleSet, RunFolder]:
    run = newest_unfinished(workspace.runs, name)
    config, about = run.settings_as(TrainConfig), run.description()
    chosen = open_examples(workspace.examples, str(about["examples"]))
    if about.get("examples_hash") not in {None, chosen.manifest.hash}:
        raise UserError(
            f"The examples '{chosen.manifest.name}' were prepared anew since this training began.",
            hint="Start a new training with: talkalike train",
        )
    return config, chosen, run


def _free_name(workspace: Workspace, chosen: ExampleSet, wanted: str | None) -> str:
    catalog = workspace.catalog()
    if wanted is not None:
        if catalog.exists(check_name(wanted)):
            raise UserError(f"There is a model '{wanted}' already.", hint="Choose another --name.")
        return wanted
    stem = folder_name(chosen.manifest.speakers)
    taken = {card.name for card in catalog.cards()} | {str(run.get("model")) for run in _runs(workspace)}
    return next(f"{stem}-{number}" for number in range(1, len(taken) + 2) if f"{stem}-{number}" not in taken)


def _runs(workspace: Workspace) -> Iterator[dict[str, Any]]:
    return (RunFolder(file.parent).description() for file in workspace.runs.glob("*/run.json"))


def _check_base(workspace: Workspace, chosen: ExampleSet, base: str) -> None:
    """The base is here, and the examples are in its vocabulary."""
    card = ensure_base(workspace, base)
    renderer = Renderer(load_tokenizer(workspace.catalog().path(card.name)))
    if tokenizer_hash(renderer) != chosen.manifest.tokenizer_hash:
        raise UserError(
            f"The examples '{chosen.manifest.name}' are in the vocabulary of '{chosen.manifest.base}', not '{base}'.",
            hint=f"Prepare them for it: talkalike prepare --base {base} --speaker …",
        )


def _check_trackers(trackers: tuple[str, ...]) -> tuple[str, ...]:
    for tracker in trackers:
        if tracker not in _TRACKERS:
            raise UserError(f"There is no tracker '{tracker}'.", hint=f"Choose from: {', '.join(_TRACKERS)}.")
        if importlib.util.find_spec(tracker) is None:
            raise MissingExtraError(tracker, extra="trackers", purpose=f"Logging to {tracker}")
    return trackers


def _show(screen: Console, finished: Finished, plot: Path) -> None:
    ended = {
        "finished": "Training is finished.",
        "early": "Stopped early: the held-out loss no longer fell.",
        "stopped": "Stopped. Continue with: talkalike train --resume",
    }[finished.reason]
    screen.print(ended, markup=False)
    card = finished.card
    if card is None:
        screen.print("No model was saved: the held-out loss never became lower than the base model's.")
        return
    rows = [
        ["model", card.name],
        ["talks like", ", ".join(card.speakers) + (f" ({FICTIONAL})" if card.fictional else "")],
        ["held-out loss", _heldout(card.scores)],
        ["time", duration(finished.seconds)],
        ["loss plot", str(plot)],
    ]
    screen.print(table(["", ""], rows))
    screen.print(
        f"Talk to it: talkalike chat --model {card.name}    Measure its likeness: talkalike score", markup=False
    )


def _heldout(scores: Mapping[str, Any]) -> str:
    if "heldout_loss" not in scores:
        return f"not known: nothing is held out; this is the last state, of step {scores['best_step']}"
    before, after = scores["heldout_loss_before"], scores["heldout_loss"]
    lower = f" ({percent(1 - after / before)} lower)" if before else ""
    base = f"; the base: {scores['heldout_loss_base']:.3f}" if "heldout_loss_base" in scores else ""
    return f"{before:.3f} → {after:.3f}{lower}, at step {scores['best_step']}{base}"
