"""`talkalike align reward`: what people said about replies becomes a model of what they like."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeVar

import typer

from talkalike.cli.output import JsonOption, counted, duration, emit, number, percent, say, table
from talkalike.cli.secrets import database_url
from talkalike.cli.training import polite_interrupt
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from talkalike.alignment.judged import Judgements
    from talkalike.alignment.reward_report import RewardReport
    from talkalike.alignment.reward_training import RewardConfig, RewardFinished
    from talkalike.store.judging.statistics import Share
    from talkalike.training.run_folder import RunFolder

RoleMethod = Literal["lora", "last-n", "full"]
Judges = Literal["human", "ai", "all"]
Event = TypeVar("Event")
FILE = "judgements.jsonl"
FromOption = Annotated[
    Path | None, typer.Option("--from", help="A file of 'talkalike judgements export'. Default: this workspace's own.")
]
JudgesOption = Annotated[Judges, typer.Option(help="Whose judgements are learned from.")]
_LIKES = 6  # features told


def align_reward(  # signature: typer
    source: FromOption = None,
    judges: JudgesOption = "human",
    model: Annotated[str | None, typer.Option(help="Which double it stands on. Default: the one made last.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name. Default: the double's, with -taste.")] = None,
    method: Annotated[RoleMethod, typer.Option(help="What is trained beside the head.")] = "lora",
    members: Annotated[int, typer.Option(min=1, help="Adapters that learn side by side, to tell how sure it is.")] = 1,
    epochs: Annotated[float, typer.Option(min=0, help="Times through the judgements.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Contexts in a step.")] = 8,
    lr: Annotated[float | None, typer.Option(help="Learning rate. Default: by method.")] = None,
    comparisons: Annotated[str, typer.Option(help="The scale that comparisons are about.")] = "sounds_like_me",
    heldout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of contexts to measure on.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn what people like from their judgements. Ctrl-C saves and stops; --resume goes on where it stopped."""
    opened = open_workspace(workspace)
    if resume:
        config, run = _resumed(opened, name)
    else:
        from talkalike.alignment.feedback_loop import FeedbackSettings
        from talkalike.alignment.reward_training import LEARNING_RATES

        loop = FeedbackSettings(learning_rate=lr or LEARNING_RATES[method], epochs=epochs, batch=batch, seed=seed)
        chosen = {"members": members, "pair_scale": comparisons, "heldout": heldout}
        config = _config(opened, loop, model=model, name=name, method=method, chosen=chosen)
        run = new_run(opened, config.name)
    judgements = open_judgements(opened, run, source=source, judges=judges, resume=resume)
    finished = _run(opened, config, judgements, run, resume=resume, quiet=as_json)
    result = {
        "model": finished.card.name,
        "ended": finished.reason,
        "seconds": finished.seconds,
        "report": finished.report,
        "folder": opened.catalog().path(finished.card.name),
        "run": run.path,
    }
    emit(as_json, result, lambda screen: _show(screen, finished))


def _run(
    opened: Workspace,
    config: RewardConfig,
    judgements: Judgements,
    run: RunFolder,
    *,
    resume: bool,
    quiet: bool,
) -> RewardFinished:
    from talkalike.alignment.reward_training import RewardFinished, RewardStarted, train_reward
    from talkalike.training.run_folder import only_training

    with only_training(opened.runs), polite_interrupt() as should_stop:
        events = train_reward(
            config, catalog=opened.catalog(), judgements=judgements, run=run, resume=resume, should_stop=should_stop
        )
        last = None
        for last in watched(events, run, quiet=quiet):
            if isinstance(last, RewardStarted) and not quiet:
                told_start(last.left_out, last.remarks)
                say(
                    f"{counted(last.pairs, 'pair')} and {counted(last.ratings, 'rating')} to learn from, "
                    f"{number(last.heldout_pairs + last.heldout_ratings)} held out; {last.dtype} on {last.device}"
                )
    if not isinstance(last, RewardFinished):
        raise AssertionError("a run ends with RewardFinished")
    return last


def open_judgements(opened: Workspace, run: RunFolder, *, source: Path | None, judges: str, resume: bool) -> Judgements:
    """The judgements of a file, or of this workspace as they are now; a copy lies in the run's folder."""
    from talkalike.alignment.judged import KINDS, read_judgements

    kept = run.path / FILE
    if source is None and not (resume and kept.is_file()):
        from talkalike.store.store import open_store

        with open_store(database_url(opened)) as store:
            from talkalike.store.judging import exchange

            with _private(kept) as stream:
                done = store.call(exchange.export_jsonl, stream)
        for reason, count in done.left_out.items():
            say(f"{counted(count, 'judgement')} left out: {reason}.")
    try:
        judgements = read_judgements(source or kept, kinds=KINDS[judges])
    except UserError:
        _forget(run)
        raise
    if source is not None and source.resolve() != kept.resolve():
        with _private(kept) as stream, source.open(encoding="utf-8", errors="replace", newline="") as lines:
            shutil.copyfileobj(lines, stream)
    for line, problem in judgements.skipped:
        say(f"line {line} left out: {problem}")
    return judgements


def _private(file: Path) -> TextIO:
    """Opens a file for what people wrote to each other: nobody else may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    return file.open("w", encoding="utf-8", newline="")


def _forget(run: RunFolder) -> None:
    """Removes the folder of a run that never began."""
    if not run.description() and run.path.is_dir():
        (run.path / FILE).unlink(missing_ok=True)
        if not any(run.path.iterdir()):
            run.path.rmdir()


def watched(events: Iterable[Event], run: RunFolder, *, quiet: bool) -> Iterable[Event]:
    """The events, told on stderr; a run that ends in an error is marked as failed."""
    from talkalike.alignment.feedback_loop import FeedbackStep
    from talkalike.alignment.feedback_recipe import FeedbackEvaluated

    try:
        for event in events:
            yield event
            if quiet:
                continue
            if isinstance(event, FeedbackEvaluated):
                right = "" if event.accuracy != event.accuracy else f", {percent(event.accuracy)} of pairs right"
                if event.heldout_loss == event.heldout_loss:
                    say(f"step {event.step}: held-out loss {event.heldout_loss:.4f}{right}")
            elif isinstance(event, FeedbackStep) and event.index % 10 == 0:
                say(f"step {event.index} ({percent(event.done)}): loss {event.loss:.4f}")
    except BaseException:
        if run.description():
            run.describe({**run.description(), "state": "failed"})
        _forget(run)
        raise


def told_start(left_out: dict[str, int], remarks: Iterable[str]) -> None:
    """What was left out, and what to know before trusting the result."""
    for reason, count in left_out.items():
        say(f"not learned from: {number(count)} {reason}")
    for remark in remarks:
        say(remark)


def new_run(opened: Workspace, name: str) -> RunFolder:
    """A folder for a run that begins now."""
    from talkalike.training.run_folder import RunFolder

    started = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return RunFolder(opened.runs / f"{name}-{started}")


def unfinished(opened: Workspace, kind: str, name: str | None) -> RunFolder:
    """The newest run of this kind (and model) that can be resumed; UserError if there is none."""
    from talkalike.training.run_folder import RunFolder

    runs = sorted(opened.runs.glob("*/run.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for run in (RunFolder(file.parent) for file in runs):
        about = run.description()
        resumable = about.get("kind") == kind and about.get("state") in {"running", "stopped", "failed"}
        if resumable and name in {None, about.get("model")}:
            return run
    raise UserError(f"There is no unfinished `align {kind}` to resume.", hint="Start one without --resume.")


def chosen_names(opened: Workspace, model: str | None, name: str | None, *, ending: str) -> tuple[str, str]:
    """Which double is meant, and a free name for what is made from it. UserError: there is none, or it is taken."""
    from talkalike.models.catalog import check_name

    catalog = opened.catalog()
    doubles = [card for card in catalog.cards() if card.kind not in {"base", "reward"}]
    if model is None and not doubles:
        raise UserError("There is no double to stand on.", hint="Train one first: talkalike train")
    source = catalog.card(model or doubles[-1].name)
    if source.kind == "reward":
        raise UserError(f"'{source.name}' is a reward model itself.", hint="Choose a double with --model.")
    names = [f"{source.name}-{ending}", *(f"{source.name}-{ending}-{number}" for number in range(2, 1000))]
    chosen = check_name(name) if name is not None else next(each for each in names if not catalog.exists(each))
    if catalog.exists(chosen):
        raise UserError(f"There is a model '{chosen}' already.", hint="Choose another --name.")
    return source.name, chosen


def _config(
    opened: Workspace, loop: Any, *, model: str | None, name: str | None, method: str, chosen: dict[str, Any]
) -> RewardConfig:
    from talkalike.alignment.reward_training import RewardConfig
    from talkalike.models.adapters import AdapterSettings
    from talkalike.store.judging.judgement_values import Scale

    if chosen["pair_scale"] not in set(Scale):
        raise UserError(f"There is no scale '{chosen['pair_scale']}'.", hint=f"Choose one of {', '.join(Scale)}.")
    reference, taste = chosen_names(opened, model, name, ending="taste")
    train = opened.settings.train
    return RewardConfig(
        name=taste,
        reference=reference,
        loop=loop,
        adapter=AdapterSettings(method=method, rank=train.rank, last_layers=train.last_layers),
        dtype=opened.settings.model.dtype,
        device=opened.settings.model.device,
        **chosen,
    )


def _resumed(opened: Workspace, name: str | None) -> tuple[RewardConfig, RunFolder]:
    from talkalike.alignment.feedback_loop import FeedbackSettings
    from talkalike.alignment.reward_training import RewardConfig
    from talkalike.models.adapters import AdapterSettings

    run = unfinished(opened, "reward", name)
    try:
        fields = dict(run.description()["settings"])
        fields |= {"loop": FeedbackSettings(**fields["loop"]), "adapter": AdapterSettings(**fields["adapter"])}
        return RewardConfig(**fields), run
    except (KeyError, TypeError) as problem:
        raise UserError(f"{run.path} is from another version: {problem}.", hint="Start a new run instead.") from None


def _show(screen: Console, finished: RewardFinished) -> None:
    report = finished.report
    if finished.reason == "stopped":
        screen.print("Stopped. Go on with: talkalike align reward --resume", markup=False)
        return
    rows = [["model", finished.card.name], ["held-out pairs in the right order", _share(report.accuracy)]]
    rows.append(["the same, of pairs equally long", _share(report.length_matched)])
    rows.append(
        [
            "people took the longer reply / it does",
            f"{_share(report.longer_preferred)} / {_share(report.longer_scored)}",
        ]
    )
    if report.calibration_error is not None:
        rows.append(["its probabilities are off by", percent(report.calibration_error)])
    if report.rating_error is not None and report.rating_error_of_mean is not None:
        off = f"{report.rating_error:.2f} ({report.rating_error_of_mean:.2f} for always saying the mean)"
        rows.append(["its ratings are off by", off])
    rows.append(["time", duration(finished.seconds)])
    screen.print(table(["", ""], rows))
    _likes(screen, report)
    screen.print(f"Practise with it: talkalike align rl --reward {finished.card.name}", markup=False)


def _likes(screen: Console, report: RewardReport) -> None:
    rows = [[liking.feature, f"{liking.correlation:+.2f}"] for liking in report.likes[:_LIKES]]
    if rows:
        screen.print(table(["what it learned to like", ">correlation"], rows))


def _share(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return "nothing to measure"
    return f"{percent(share.share)} [{percent(share.low)}, {percent(share.high)}] of {number(share.n)}"
