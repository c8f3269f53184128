"""What the commands of `talkalike align` share: names, runs and their resuming, judgements, and reporting progress."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackFinished, FeedbackStarted, FeedbackStep
from talkalike.alignment.judged import KINDS, Judgements, read_judgements
from talkalike.alignment.uncertain_pairs import Ensemble
from talkalike.cli.engines import choose_double
from talkalike.cli.output import number, percent, quantity, say
from talkalike.cli.workspace import Workspace, database_url
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.settings.fields import ModelSettings
from talkalike.store.judging import exchange
from talkalike.store.store import open_store
from talkalike.workspace.cards import check_name
from talkalike.workspace.measurements import measured_twice
from talkalike.workspace.run_folder import RunFolder, failing_with

RoleMethod = Literal["lora", "last-n", "full"]
Judges = Literal["human", "ai", "all"]
Finished = TypeVar("Finished", bound=FeedbackFinished)
FILE = "judgements.jsonl"
_MANY = {"reply that is good or bad": "replies that are good or bad"}
FromOption = Annotated[
    Path | None,
    typer.Option("--from", help="File written by 'talkalike judgements export'. Default: this workspace's judgements."),
]
RunOption = Annotated[str | None, typer.Option("--run", hidden=True)]
JudgesOption = Annotated[Judges, typer.Option(help="Whose judgements to train on: people's, the AI judge's, or both.")]


def open_judgements(
    workspace: Workspace, run: RunFolder, *, source: Path | None, judges: str, resume: bool
) -> Judgements:
    """The judgements of a file, or of this workspace as they are now; a copy lies in the run's folder."""
    kept = run.path / FILE
    if source is None and not (resume and kept.is_file()):
        with open_store(database_url(workspace)) as store:
            run.path.mkdir(parents=True, exist_ok=True)
            with kept.open("w", encoding="utf-8", newline="") as stream:
                done = store.call(exchange.export_jsonl, stream)
        for reason, count in done.left_out.items():
            say(f"{quantity(count, 'judgement')} left out: {reason}.")
    try:
        judgements = read_judgements(source or kept, kinds=KINDS[judges])
    except UserError:
        _forget(run)
        raise
    if source is not None and source.resolve() != kept.resolve():
        run.path.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, kept)
    for line, problem in judgements.skipped:
        say(f"line {line} left out: {problem}")
    return judgements


def fit_present_judgements(workspace: Workspace) -> Ensemble:
    """A linear reward model, in memory, on the judgements there are, over the double that serves."""
    from talkalike.alignment.linear_recipe import LinearRewardConfig, fit_judgements  # torch

    settings, card = exact_model(workspace), choose_double(workspace, None)
    with tempfile.TemporaryDirectory() as folder:
        judgements = open_judgements(
            workspace, RunFolder(Path(folder) / "sort"), source=None, judges="human", resume=False
        )
    config = LinearRewardConfig(name="", reference=card.name, dtype=settings.dtype, device=settings.device)
    return fit_judgements(config, catalog=workspace.catalog(), judgements=judgements)


def _forget(run: RunFolder) -> None:
    """Removes the folder of a run that never began."""
    if not run.description() and run.path.is_dir():
        (run.path / FILE).unlink(missing_ok=True)
        if not any(run.path.iterdir()):
            run.path.rmdir()


def show_feedback(
    events: Iterable[FeedbackStarted | FeedbackStep | FeedbackEvaluated | Finished], run: RunFolder, *, quiet: bool
) -> Finished:
    """Runs the training, reports its progress on stderr unless `quiet`, and returns the last event.

    A run that ends in an error is marked as failed; one that never began leaves nothing.
    """
    try:
        with failing_with(run):
            for event in events:
                if not isinstance(event, FeedbackStarted | FeedbackStep | FeedbackEvaluated):
                    return event
                if not quiet:
                    report_feedback(event)
    except BaseException:
        _forget(run)
        raise
    raise AssertionError("a run ends with what it made")


def report_feedback(event: object) -> None:
    """Reports the start, some of the steps, and every measurement on held-out judgements."""
    if isinstance(event, FeedbackStarted):
        _report_start(event)
    elif isinstance(event, FeedbackEvaluated) and not math.isnan(event.heldout_loss):
        right = "" if math.isnan(event.accuracy) else f", {percent(event.accuracy)} of pairs right"
        say(f"step {event.step}: held-out loss {event.heldout_loss:.4f}{right}")
    elif isinstance(event, FeedbackStep) and event.index % 10 == 0:
        say(f"step {event.index} ({percent(event.done)}): loss {event.loss:.4f}")


def _report_start(event: FeedbackStarted) -> None:
    """What was left out, what to know before trusting the result, and how much there is to learn from."""
    for reason, count in event.left_out.items():
        say(f"not used: {number(count)} {reason}")
    for remark in event.remarks:
        say(remark)
    counts = {"pair": event.pairs, "rating": event.ratings, "reply that is good or bad": event.opinions}
    what = " and ".join(quantity(count, one, _MANY.get(one, "")) for one, count in counts.items() if count)
    corrected = f" ({number(event.corrections)} by correction)" if event.corrections else ""
    say(f"{what} to learn from{corrected}, {number(event.heldout)} held out; {event.dtype} on {event.device}")


def choose_names(workspace: Workspace, model: str | None, name: str | None, *, ending: str) -> tuple[str, str]:
    """Which double is meant, and a free name for what is made from it. UserError: there is none, or it is taken."""
    catalog = workspace.catalog()
    source = catalog.card(model) if model is not None else catalog.newest_double()
    if source is None:
        raise UserError("There is no double yet.", hint="Train one first: talkalike train")
    if source.kind == "reward":
        raise UserError(f"'{source.name}' is a reward model itself.", hint="Choose a double with --model.")
    names = [f"{source.name}-{ending}", *(f"{source.name}-{ending}-{number}" for number in range(2, 1000))]
    chosen = check_name(name) if name is not None else next(each for each in names if not catalog.exists(each))
    if catalog.exists(chosen):
        raise UserError(f"There is a model '{chosen}' already.", hint="Choose another --name.")
    return source.name, chosen


def exact_model(workspace: Workspace) -> ModelSettings:
    """How the settings want the base to be loaded. UserError where that is quantised: no role can stand on it."""
    model = workspace.settings.model
    if model.quantize != "none":
        raise UserError(
            f"A double on a quantised base cannot be aligned, and quantize = '{model.quantize}' in [model].",
            hint="Set quantize = 'none' in [model] of talkalike.toml, if the base fits the memory without it.",
        )
    return model


def shared_settings(workspace: Workspace, method: str, *roles: str) -> dict[str, Any]:
    """The part of a configuration that comes from the settings: each role's adapter, number format and device."""
    train, model = workspace.settings.train, exact_model(workspace)
    adapter = AdapterSettings(method=method, rank=train.rank, last_layers=train.last_layers)
    return {**dict.fromkeys(roles, adapter), "dtype": model.dtype, "device": model.device}


def result_of(workspace: Workspace, finished: Any, run: RunFolder) -> dict[str, Any]:
    """What `--json` says of any finished alignment."""
    return {
        "model": finished.card.name,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "scores": dict(finished.card.scores),
        "folder": workspace.catalog().path(finished.card.name),
        "run": run.path,
    }


def before_and_after(scores: Mapping[str, Any]) -> list[list[str]]:
    """A row for each score that was measured before and after."""
    return [[words, f"{before:.3f} → {after:.3f}"] for words, before, after in measured_twice(scores)]
