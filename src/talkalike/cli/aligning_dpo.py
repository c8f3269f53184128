"""`talkalike align dpo`: judgements move a double directly, without a reward model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from talkalike.cli.aligning_reward import (
    FromOption,
    JudgesOption,
    RoleMethod,
    chosen_names,
    new_run,
    open_judgements,
    told_start,
    unfinished,
    watched,
)
from talkalike.cli.output import JsonOption, counted, duration, emit, number, percent, say, table
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from talkalike.alignment.judged import Judgements
    from talkalike.alignment.preference_training import PreferenceConfig, PreferenceFinished
    from talkalike.examples.dataset import ExampleSet
    from talkalike.training.run_folder import RunFolder

Loss = Literal["dpo", "ipo", "kto", "simpo"]
_CACHE = Path("cache") / "reference-logprobs"  # in the workspace


def align_dpo(  # signature: typer
    source: FromOption = None,
    judges: JudgesOption = "human",
    loss: Annotated[Loss, typer.Option(help="kto learns from single ratings, the others from pairs.")] = "dpo",
    model: Annotated[str | None, typer.Option(help="Which double. Default: the one made last.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the aligned double. Default: the double's, with the loss.")
    ] = None,
    method: Annotated[RoleMethod, typer.Option(help="What of the double changes.")] = "lora",
    beta: Annotated[float, typer.Option(min=0, help="How near it stays to what it was; 0: the loss's usual.")] = 0.0,
    epochs: Annotated[float, typer.Option(min=0, help="Times through the judgements.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Contexts in a step.")] = 8,
    lr: Annotated[float | None, typer.Option(help="Learning rate. Default: by method.")] = None,
    heldout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of contexts to measure on.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a double towards what people preferred. Ctrl-C saves and stops; --resume goes on where it stopped."""
    opened = open_workspace(workspace)
    if resume:
        config, run = _resumed(opened, name)
    else:
        from talkalike.alignment.feedback_loop import FeedbackSettings
        from talkalike.alignment.preference_training import LEARNING_RATES

        loop = FeedbackSettings(learning_rate=lr or LEARNING_RATES[method], epochs=epochs, batch=batch, seed=seed)
        chosen = {"loss": loss, "beta": beta, "heldout": heldout}
        config = _config(opened, loop, model=model, name=name, method=method, chosen=chosen)
        run = new_run(opened, config.name)
    judgements = open_judgements(opened, run, source=source, judges=judges, resume=resume)
    finished = _run(opened, config, judgements, run, resume=resume, quiet=as_json)
    result = {
        "model": finished.card.name,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "scores": dict(finished.card.scores),
        "folder": opened.catalog().path(finished.card.name),
        "run": run.path,
    }
    emit(as_json, result, lambda screen: _show(screen, finished))


def _run(
    opened: Workspace,
    config: PreferenceConfig,
    judgements: Judgements,
    run: RunFolder,
    *,
    resume: bool,
    quiet: bool,
) -> PreferenceFinished:
    from talkalike.alignment.preference_training import (
        PreferenceFinished,
        PreferenceSources,
        PreferenceStarted,
        align_preferences,
    )
    from talkalike.training.run_folder import only_training

    with only_training(opened.runs), polite_interrupt() as should_stop:
        sources = PreferenceSources(
            catalog=opened.catalog(),
            judgements=judgements,
            cache=opened.root / _CACHE,
            examples=_examples(opened, config),
        )
        events = align_preferences(config, sources, run=run, resume=resume, should_stop=should_stop)
        last = None
        for last in watched(events, run, quiet=quiet):
            if isinstance(last, PreferenceStarted) and not quiet:
                told_start(last.left_out, last.remarks)
                what = "judged reply" if config.loss == "kto" else "pair"
                say(
                    f"{counted(last.judgements, what, 'judged replies' if config.loss == 'kto' else '')} to learn from "
                    f"({number(last.corrections)} by correction), {number(last.heldout)} held out; "
                    f"{last.dtype} on {last.device}"
                )
    if not isinstance(last, PreferenceFinished):
        raise AssertionError("a run ends with PreferenceFinished")
    return last


def _examples(opened: Workspace, config: PreferenceConfig) -> ExampleSet | None:
    """What the double was trained on, if it is still here: its held-out part tells whether the voice is kept."""
    trained_on = opened.catalog().card(config.double).examples
    return opened.example_set(trained_on) if trained_on in opened.example_names() else None


def _config(
    opened: Workspace, loop: Any, *, model: str | None, name: str | None, method: str, chosen: dict[str, Any]
) -> PreferenceConfig:
    from talkalike.alignment.preference_training import PreferenceConfig
    from talkalike.models.adapters import AdapterSettings

    double, aligned = chosen_names(opened, model, name, ending=chosen["loss"])
    train = opened.settings.train
    return PreferenceConfig(
        name=aligned,
        double=double,
        loop=loop,
        policy=AdapterSettings(method=method, rank=train.rank, last_layers=train.last_layers),
        dtype=opened.settings.model.dtype,
        device=opened.settings.model.device,
        **chosen,
    )


def _resumed(opened: Workspace, name: str | None) -> tuple[PreferenceConfig, RunFolder]:
    from talkalike.alignment.feedback_loop import FeedbackSettings
    from talkalike.alignment.preference_training import PreferenceConfig
    from talkalike.models.adapters import AdapterSettings

    run = unfinished(opened, "dpo", name)
    try:
        fields = dict(run.description()["settings"])
        fields |= {"loop": FeedbackSettings(**fields["loop"]), "policy": AdapterSettings(**fields["policy"])}
        return PreferenceConfig(**{**fields, "weights": tuple(fields["weights"])}), run
    except (KeyError, TypeError) as problem:
        raise UserError(f"{run.path} is from another version: {problem}.", hint="Start a new run instead.") from None


def _show(screen: Console, finished: PreferenceFinished) -> None:
    card, scores = finished.card, finished.card.scores
    if finished.reason == "stopped":
        screen.print("Stopped. Go on with: talkalike align dpo --resume", markup=False)
        return
    rows = [["model", card.name], ["made from", ", ".join(card.parents)]]
    if scores["accuracy"] is not None:
        rows.append(["held-out judgements on the right side", percent(scores["accuracy"])])
    if "heldout_loss" in scores:
        rows.append(
            ["held-out loss on real replies", f"{scores['heldout_loss_before']:.3f} → {scores['heldout_loss']:.3f}"]
        )
    rows.append(["time", duration(finished.seconds)])
    screen.print(table(["", ""], rows))
    screen.print(f"Talk to it: talkalike chat --model {card.name}    How alike is it: talkalike score", markup=False)
