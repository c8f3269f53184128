"""What the commands of `talkalike align` share: names, runs and their resuming, judgements, and telling how it goes."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackStep
from talkalike.alignment.judged import KINDS, Judgements, read_judgements
from talkalike.cli.output import counted, number, percent, say
from talkalike.cli.secrets import database_url
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.store.judging import exchange
from talkalike.store.store import open_store
from talkalike.workspace.cards import check_name
from talkalike.workspace.run_folder import RunFolder, only_training

RoleMethod = Literal["lora", "last-n", "full"]
Judges = Literal["human", "ai", "all"]
Event = TypeVar("Event")
Config = TypeVar("Config")
FILE = "judgements.jsonl"
FromOption = Annotated[
    Path | None, typer.Option("--from", help="A file of 'talkalike judgements export'. Default: this workspace's own.")
]
RunOption = Annotated[str | None, typer.Option("--run", hidden=True)]
JudgesOption = Annotated[Judges, typer.Option(help="Whose judgements are learned from.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """A training on judgements as the command line asks for it. `source`: a file of them, else the workspace's own."""

    run: RunFolder
    source: Path | None
    judges: Judges
    resume: bool
    quiet: bool


def learned(
    opened: Workspace,
    asked: JudgedRun,
    begin: Callable[[Judgements, Callable[[], bool]], Iterator[Event]],
    *,
    told: Callable[[Event], str],
) -> Event:
    """Runs a recipe to its end, telling how it goes, and returns its last event.

    `begin` gets the judgements and what asks whether to stop; `told` says of the first event how much there is to learn
    from, and nothing ("") of the others.
    """
    judgements = open_judgements(opened, asked.run, source=asked.source, judges=asked.judges, resume=asked.resume)
    last: Event | None = None
    with only_training(opened.runs), polite_interrupt() as should_stop:
        for last in watched(begin(judgements, should_stop), asked.run, quiet=asked.quiet):
            if not asked.quiet and (sentence := told(last)):
                say(sentence)
    if last is None:
        raise AssertionError("a run ends with an event")
    return last


def open_judgements(opened: Workspace, run: RunFolder, *, source: Path | None, judges: str, resume: bool) -> Judgements:
    """The judgements of a file, or of this workspace as they are now; a copy lies in the run's folder."""
    kept = run.path / FILE
    if source is None and not (resume and kept.is_file()):
        with open_store(database_url(opened)) as store:
            run.path.mkdir(parents=True, exist_ok=True)
            with kept.open("w", encoding="utf-8", newline="") as stream:
                done = store.call(exchange.export_jsonl, stream)
        for reason, count in done.left_out.items():
            say(f"{counted(count, 'judgement')} left out: {reason}.")
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


def _forget(run: RunFolder) -> None:
    """Removes the folder of a run that never began."""
    if not run.description() and run.path.is_dir():
        (run.path / FILE).unlink(missing_ok=True)
        if not any(run.path.iterdir()):
            run.path.rmdir()


def watched(events: Iterable[Event], run: RunFolder, *, quiet: bool) -> Iterable[Event]:
    """The events, told on stderr; a run that ends in an error is marked as failed."""
    try:
        for event in events:
            yield event
            if not quiet:
                tell_feedback(event)
    except BaseException:
        if run.description():
            run.describe({**run.description(), "state": "failed"})
        _forget(run)
        raise


def tell_feedback(event: object) -> None:
    """Some of the steps, and every look at the held-out judgements."""
    if isinstance(event, FeedbackEvaluated):
        right = "" if event.accuracy != event.accuracy else f", {percent(event.accuracy)} of pairs right"
        if event.heldout_loss == event.heldout_loss:
            say(f"step {event.step}: held-out loss {event.heldout_loss:.4f}{right}")
    elif isinstance(event, FeedbackStep) and event.index % 10 == 0:
        say(f"step {event.index} ({percent(event.done)}): loss {event.loss:.4f}")


def told_start(left_out: dict[str, int], remarks: Iterable[str]) -> None:
    """What was left out, and what to know before trusting the result."""
    for reason, count in left_out.items():
        say(f"not learned from: {number(count)} {reason}")
    for remark in remarks:
        say(remark)


def new_run(opened: Workspace, name: str, run_id: str | None) -> RunFolder:
    """A folder for a run that begins now: `run_id` where a job has made it already."""
    started = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return RunFolder(opened.runs / (run_id or f"{name}-{started}"))


def resumed(
    opened: Workspace, kind: str, name: str | None, rebuilt: Callable[[dict[str, Any]], Config]
) -> tuple[Config, RunFolder]:
    """The newest run of this kind (and model) that can be resumed, with its settings; UserError if there is none."""
    runs = sorted(opened.runs.glob("*/run.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for run in (RunFolder(file.parent) for file in runs):
        about = run.description()
        resumable = about.get("kind") == kind and about.get("state") in {"running", "stopped", "failed"}
        if resumable and name in {None, about.get("model")}:
            break
    else:
        raise UserError(f"There is no unfinished `align {kind}` to resume.", hint="Start one without --resume.")
    try:
        return rebuilt(dict(about["settings"])), run
    except (KeyError, TypeError) as problem:
        raise UserError(f"{run.path} is from another version: {problem}.", hint="Start a new run instead.") from None


def chosen_names(opened: Workspace, model: str | None, name: str | None, *, ending: str) -> tuple[str, str]:
    """Which double is meant, and a free name for what is made from it. UserError: there is none, or it is taken."""
    catalog = opened.catalog()
    source = catalog.card(model) if model is not None else catalog.newest_double()
    if source is None:
        raise UserError("There is no double to stand on.", hint="Train one first: talkalike train")
    if source.kind == "reward":
        raise UserError(f"'{source.name}' is a reward model itself.", hint="Choose a double with --model.")
    names = [f"{source.name}-{ending}", *(f"{source.name}-{ending}-{number}" for number in range(2, 1000))]
    chosen = check_name(name) if name is not None else next(each for each in names if not catalog.exists(each))
    if catalog.exists(chosen):
        raise UserError(f"There is a model '{chosen}' already.", hint="Choose another --name.")
    return source.name, chosen


def means_of(opened: Workspace, method: str, *roles: str) -> dict[str, Any]:
    """What every configuration takes from the settings: the same adapter for each role, and where it is computed."""
    train, model = opened.settings.train, opened.settings.model
    adapter = AdapterSettings(method=method, rank=train.rank, last_layers=train.last_layers)
    return {**dict.fromkeys(roles, adapter), "dtype": model.dtype, "device": model.device}


def result_of(opened: Workspace, finished: Any, run: RunFolder) -> dict[str, Any]:
    """What `--json` says of any finished alignment."""
    return {
        "model": finished.card.name,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "scores": dict(finished.card.scores),
        "folder": opened.catalog().path(finished.card.name),
        "run": run.path,
    }
