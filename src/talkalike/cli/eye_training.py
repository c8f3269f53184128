"""`talkalike train --eye`: pictures with their texts become an eye of the base's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from talkalike.charts.losses import loss_chart
from talkalike.charts.plotter import save
from talkalike.cli.eye_pairs import ReadPairs, read_pairs, split_pairs
from talkalike.cli.models import ensure_base
from talkalike.cli.output import duration, emit, one_line, quantity, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.training_screen import show_events
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.training.eye_values import EYE_LEARNING_RATE, EYE_METHODS, EYE_PROMPT, EyeConfig
from talkalike.training.values import Finished, LoopSettings
from talkalike.workspace.cards import check_name
from talkalike.workspace.curves import curves
from talkalike.workspace.eyes import SMALL
from talkalike.workspace.naming import folder_name
from talkalike.workspace.run_folder import RunFolder, failing_with, new_run, newest_unfinished, only_training

_EPOCHS = 20.0  # pairs are few: what is enough is measured on those held out
_LISTED = 20  # of what was passed over
_KIND = "eye"  # of such runs


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeTraining:
    """What was asked for. `given`: the options that every training has."""

    source: str
    given: Mapping[str, Any]
    name: str | None
    base: str | None
    resume: bool
    run_id: str | None


def refuse_with_eye(options: Mapping[str, object]) -> None:
    """Raises UserError for the first of these options that was given: an eye is not trained on examples."""
    for option, value in options.items():
        if value:
            raise UserError(f"{option} does not go together with --eye.", hint=f"Leave out {option}.")


def train_an_eye(workspace: Workspace, asked: EyeTraining, *, began: float, as_json: bool) -> None:
    """Trains it to its end (or to Ctrl-C) and shows what came out."""
    # torch: the help, and wrong options, do not wait for it
    from talkalike.training.eye import train_eye

    if asked.resume:
        if asked.given or asked.base:
            raise UserError(
                "--resume continues the training as it was started.", hint="Leave out the other options but --name."
            )
        run = newest_unfinished(workspace.runs, asked.name, kind=_KIND)
        config = run.settings_as(EyeConfig)
        if config.pairs != asked.source:
            raise UserError(f"That training learns from {config.pairs}.", hint=f"Name it: --eye {config.pairs}")
    else:
        config = _config(workspace, asked)
        run = new_run(workspace.runs, config.name, asked.run_id)
    run.began = began
    encoder = workspace.eye_catalog().path(SMALL)
    if not encoder.is_dir():
        raise UserError(
            "An eye is trained on what the small eye sees, which is not here yet.",
            hint="Fetch it first: talkalike eye fetch small",
        )
    ensure_base(workspace, config.base)
    read = read_pairs(workspace, config.pairs, prompt=config.prompt)
    _tell_skipped(read)
    pairs = split_pairs(read, encoder=encoder)
    if asked.resume and run.description().get("pairs") != pairs.digest:
        raise UserError(f"What is in {config.pairs} changed since this training began.", hint="Start a new training.")
    if not pairs.heldout:
        say("Nothing is held out of so few pictures, so the best state cannot be found: the last one is kept.")
    with only_training(workspace.runs), polite_interrupt() as should_stop:
        events = train_eye(
            config,
            catalog=workspace.catalog(),
            pairs=pairs,
            run=run,
            resume=asked.resume,
            should_stop=should_stop,
        )
        with failing_with(run):
            finished = show_events(events, quiet=as_json)
    assert isinstance(finished, Finished), "a training ends with it"
    plot = run.path / "loss.svg"
    save([loss_chart(curves(run.path), label="Loss by step")], plot, title=f"{config.name}: {config.method}")
    card = finished.card
    result = {
        "model": card.name if card else None,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "pairs": len(read.pairs),
        "skipped": [list(one) for one in read.skipped],
        "scores": dict(card.scores) if card else {},
        "folder": workspace.catalog().path(card.name) if card else None,
        "run": run.path,
        "plot": plot,
    }
    emit(as_json, result, lambda screen: _show(screen, finished, config, run))


def _config(workspace: Workspace, asked: EyeTraining) -> EyeConfig:
    settings, model = workspace.settings.train, workspace.settings.model
    method = asked.given.get("method", EYE_METHODS[0])
    if method not in EYE_METHODS:
        raise UserError(f"An eye is not trained by --method {method}.", hint=f"Choose {' or '.join(EYE_METHODS)}.")
    if model.quantize != "none":
        raise UserError("An eye is trained on a base with all its bits.", hint="Set quantize = 'none' in [model].")
    return EyeConfig(
        name=_free_name(workspace, asked),
        base=asked.base or model.base,
        pairs=asked.source,
        method=method,
        prompt=EYE_PROMPT,
        loop=LoopSettings(
            learning_rate=asked.given.get("lr", EYE_LEARNING_RATE),
            schedule=settings.schedule,
            epochs=asked.given.get("epochs", _EPOCHS),
            minutes=asked.given.get("minutes", settings.minutes),
            batch_tokens=min(settings.batch_tokens, 512),  # some twenty pictures
            row_tokens=settings.row_tokens,
            seed=settings.seed,
        ),
        dtype=model.dtype,
        device=model.device,
        patience=settings.patience,
    )


def _free_name(workspace: Workspace, asked: EyeTraining) -> str:
    catalog = workspace.catalog()
    if asked.name is not None:
        if catalog.exists(check_name(asked.name)):
            raise UserError(f"There is a model '{asked.name}' already.", hint="Choose another --name.")
        return asked.name
    stem = folder_name((f"eye-{asked.source.removeprefix('task:').rstrip('/').rpartition('/')[2]}",))
    taken = {card.name for card in catalog.cards()}
    return next(f"{stem}-{number}" for number in range(1, len(taken) + 2) if f"{stem}-{number}" not in taken)


def _tell_skipped(read: ReadPairs) -> None:
    if not read.skipped:
        return
    say(f"{quantity(len(read.skipped), 'picture')} passed over:")
    for where, why in read.skipped[:_LISTED]:
        say(f"  {where}: {why}")
    if len(read.skipped) > _LISTED:
        say(f"  and {len(read.skipped) - _LISTED} more")


def _show(screen: Console, finished: Finished, config: EyeConfig, run: RunFolder) -> None:
    ended = {
        "finished": "Training is finished.",
        "early": "Stopped early: the held-out loss no longer fell.",
        "stopped": f"Stopped. Continue with: talkalike train --eye {config.pairs} --resume",
    }[finished.reason]
    screen.print(one_line(ended))
    card = finished.card
    if card is None:
        screen.print("No eye was saved: the held-out loss never became lower than before the first step.")
        return
    heldout = "not known: nothing is held out"
    if "heldout_loss" in card.scores:
        heldout = f"{card.scores['heldout_loss_before']:.3f} → {card.scores['heldout_loss']:.3f}"
    rows = [
        ["eye", card.name],
        ["of", f"{config.base} ({config.method})"],
        ["held-out loss", heldout],
        ["time", duration(finished.seconds)],
        ["loss plot", str(run.path / "loss.svg")],
    ]
    screen.print(table(["", ""], rows))
