"""`talkalike align dpo`: judgements move a double directly, without a reward model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.judged import Judgements
from talkalike.alignment.preference_values import (
    LEARNING_RATES,
    PreferenceConfig,
    PreferenceEvent,
    PreferenceFinished,
    PreferenceStarted,
)
from talkalike.cli.aligning_runs import (
    FromOption,
    JudgedRun,
    JudgesOption,
    RoleMethod,
    RunOption,
    chosen_names,
    learned,
    means_of,
    new_run,
    result_of,
    resumed,
    told_start,
)
from talkalike.cli.aligning_scores import before_and_after
from talkalike.cli.numbers import LARGEST_SEED, above_zero
from talkalike.cli.output import JsonOption, counted, duration, emit, number, percent, table
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.examples.dataset import ExampleSet
from talkalike.models.adapter_settings import AdapterSettings

Loss = Literal["dpo", "ipo", "kto", "simpo"]


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
    epochs: Annotated[float, typer.Option(callback=above_zero, help="Times through the judgements.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Contexts in a step.")] = 8,
    lr: Annotated[float | None, typer.Option(callback=above_zero, help="Learning rate. Default: by method.")] = None,
    heldout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of contexts to measure on.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the split and the order.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run.")] = False,
    run_id: RunOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a double towards what people preferred, directly. Ctrl-C saves and stops; --resume goes on from there."""
    opened = open_workspace(workspace)
    if resume:
        config, run = resumed(opened, "dpo", name, _rebuilt)
    else:
        double, aligned = chosen_names(opened, model, name, ending=loss)
        config = PreferenceConfig(
            name=aligned,
            double=double,
            loop=FeedbackSettings(learning_rate=lr or LEARNING_RATES[method], epochs=epochs, batch=batch, seed=seed),
            loss=loss,
            beta=beta,
            heldout=heldout,
            **means_of(opened, method, "policy"),
        )
        run = new_run(opened, aligned, run_id)
    finished = _run(opened, config, JudgedRun(run=run, source=source, judges=judges, resume=resume, quiet=as_json))
    emit(as_json, result_of(opened, finished, run), lambda screen: _show(screen, finished))


def _run(opened: Workspace, config: PreferenceConfig, asked: JudgedRun) -> PreferenceFinished:
    # torch: the help does not wait for it
    from talkalike.alignment.preference_training import PreferenceSources, align_preferences

    def begin(judgements: Judgements, should_stop: Callable[[], bool]) -> Iterator[PreferenceEvent]:
        sources = PreferenceSources(
            catalog=opened.catalog(),
            judgements=judgements,
            cache=opened.reference_cache,
            examples=_examples(opened, config),
        )
        return align_preferences(config, sources, run=asked.run, resume=asked.resume, should_stop=should_stop)

    def told(event: PreferenceEvent) -> str:
        if not isinstance(event, PreferenceStarted):
            return ""
        told_start(event.left_out, event.remarks)
        what = ("judged reply", "judged replies") if config.loss == "kto" else ("pair", "")
        return (
            f"{counted(event.judgements, *what)} to learn from ({number(event.corrections)} by correction), "
            f"{number(event.heldout)} held out; {event.dtype} on {event.device}"
        )

    last = learned(opened, asked, begin, told=told)
    assert isinstance(last, PreferenceFinished)
    return last


def _examples(opened: Workspace, config: PreferenceConfig) -> ExampleSet | None:
    """What the double was trained on, if it is still here: its held-out part tells whether the voice is kept."""
    trained_on = opened.catalog().card(config.double).examples
    return opened.example_set(trained_on) if trained_on in opened.example_names() else None


def _rebuilt(fields: dict[str, Any]) -> PreferenceConfig:
    fields |= {"loop": FeedbackSettings(**fields["loop"]), "policy": AdapterSettings(**fields["policy"])}
    return PreferenceConfig(**{**fields, "weights": tuple(fields["weights"])})


def _show(screen: Console, finished: PreferenceFinished) -> None:
    card, scores = finished.card, finished.card.scores
    if finished.reason == "stopped":
        screen.print("Stopped. Go on with: talkalike align dpo --resume", markup=False)
        return
    rows = [["model", card.name], ["made from", ", ".join(card.parents)]]
    if scores["accuracy"] is not None:
        rows.append(["held-out judgements on the right side", percent(scores["accuracy"])])
    rows += before_and_after(scores)
    rows.append(["time", duration(finished.seconds)])
    screen.print(table(["", ""], rows))
    screen.print(f"Talk to it: talkalike chat --model {card.name}    How alike is it: talkalike score", markup=False)
