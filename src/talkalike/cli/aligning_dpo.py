"""`talkalike align dpo`: judgements move a double directly, without a reward model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console

from talkalike.alignment.feedback_values import FeedbackFinished, FeedbackSettings
from talkalike.alignment.judged import Judgements
from talkalike.alignment.preference_values import LEARNING_RATES, PreferenceConfig
from talkalike.cli.aligning_runs import (
    FromOption,
    JudgesOption,
    RoleMethod,
    RunOption,
    before_and_after,
    choose_names,
    open_judgements,
    result_of,
    shared_settings,
    show_feedback,
)
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, above_zero
from talkalike.cli.output import JsonOption, duration, emit, percent, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.opening import open_examples
from talkalike.workspace.run_folder import RunFolder, new_run, newest_unfinished, only_training

Loss = Literal["dpo", "ipo", "kto", "simpo"]


def align_dpo(  # signature: typer
    source: FromOption = None,
    judges: JudgesOption = "human",
    loss: Annotated[
        Loss, typer.Option(help="Training loss; kto learns from single ratings, the others from pairs.")
    ] = "dpo",
    model: Annotated[str | None, typer.Option(help="Double to train. Default: the newest one.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the trained double. Default: the double's name with the loss.")
    ] = None,
    method: Annotated[
        RoleMethod, typer.Option(help="Which weights are trained: LoRA matrices, the last layers, or all.")
    ] = "lora",
    beta: Annotated[
        float, typer.Option(min=0, help="Strength of the pull to the starting point (beta). 0: usual for the loss.")
    ] = 0.0,
    epochs: Annotated[float, typer.Option(callback=above_zero, help="Number of passes over the judgements.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Number of prompts in each step.")] = 8,
    lr: Annotated[
        float | None, typer.Option(callback=above_zero, help="Learning rate. Default: depends on --method.")
    ] = None,
    heldout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the prompts held out to measure on.")] = 0.15,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed of the held-out split and the order.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished run.")] = False,
    run_id: RunOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a double directly on preferences (DPO, IPO, KTO, SimPO). Ctrl-C saves and stops; --resume continues."""
    workspace = open_workspace(workspace_dir)
    if resume:
        run = newest_unfinished(workspace.runs, name, kind="dpo")
        config = run.settings_as(PreferenceConfig)
    else:
        double, aligned = choose_names(workspace, model, name, ending=loss)
        config = PreferenceConfig(
            name=aligned,
            double=double,
            loop=FeedbackSettings(learning_rate=lr or LEARNING_RATES[method], epochs=epochs, batch=batch, seed=seed),
            loss=loss,
            beta=beta,
            heldout=heldout,
            **shared_settings(workspace, method, "policy"),
        )
        run = new_run(workspace.runs, aligned, run_id)
    judgements = open_judgements(workspace, run, source=source, judges=judges, resume=resume)
    finished = _run(workspace, config, judgements, run, resume=resume, quiet=as_json)
    emit(as_json, result_of(workspace, finished, run), lambda screen: _show(screen, finished))


def _run(
    workspace: Workspace, config: PreferenceConfig, judgements: Judgements, run: RunFolder, *, resume: bool, quiet: bool
) -> FeedbackFinished:
    # torch: the help does not wait for it
    from talkalike.alignment.preference_training import PreferenceSources, train_on_preferences

    sources = PreferenceSources(
        catalog=workspace.catalog(),
        judgements=judgements,
        cache=workspace.reference_cache,
        examples=_examples(workspace, config),
    )
    with only_training(workspace.runs), polite_interrupt() as should_stop:
        events = train_on_preferences(config, sources, run=run, resume=resume, should_stop=should_stop)
        return show_feedback(events, run, quiet=quiet)


def _examples(workspace: Workspace, config: PreferenceConfig) -> ExampleSet | None:
    """What the double was trained on, if it is still here: its held-out part tells whether the voice is kept."""
    trained_on = workspace.catalog().card(config.double).examples
    return open_examples(workspace.examples, trained_on) if trained_on in workspace.example_names() else None


def _show(screen: Console, finished: FeedbackFinished) -> None:
    card, scores = finished.card, finished.card.scores
    if finished.reason == "stopped":
        screen.print("Stopped. Continue with: talkalike align dpo --resume", markup=False)
        return
    rows = [["model", card.name], ["trained from", ", ".join(card.parents)]]
    if scores["accuracy"] is not None:
        rows.append(["held-out judgements predicted correctly", percent(scores["accuracy"])])
    rows += before_and_after(scores)
    rows.append(["time", duration(finished.seconds)])
    screen.print(table(["", ""], rows))
    screen.print(
        f"Talk to it: talkalike chat --model {card.name}    Measure its likeness: talkalike score", markup=False
    )
