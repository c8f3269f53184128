"""`talkalike align reward`: trains a reward model on people's judgements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.alignment.feedback_values import FeedbackSettings
from talkalike.alignment.judged import Judgements
from talkalike.alignment.reward_report import RewardReport, calibration_charts
from talkalike.alignment.reward_values import LEARNING_RATES, RewardConfig, RewardFinished
from talkalike.charts.plotter import save
from talkalike.cli.aligning_runs import (
    FromOption,
    JudgesOption,
    RoleMethod,
    RunOption,
    choose_names,
    open_judgements,
    result_of,
    shared_settings,
    show_feedback,
)
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, above_zero
from talkalike.cli.engines import ask_uncertain_first
from talkalike.cli.output import JsonOption, duration, emit, number, percent, quantity, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.errors import UserError
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.statistics import Share
from talkalike.store.store import open_store
from talkalike.workspace.run_folder import RunFolder, new_run, newest_unfinished, only_training

PLOT = "calibration.svg"
_LIKES = 6  # features listed


def align_reward(  # signature: typer
    source: FromOption = None,
    judges: JudgesOption = "human",
    model: Annotated[
        str | None, typer.Option(help="Double that the reward model is built on. Default: the newest one.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the reward model. Default: the double's name with -reward.")
    ] = None,
    method: Annotated[RoleMethod, typer.Option(help="Which weights are trained beside the reward head.")] = "lora",
    members: Annotated[
        int, typer.Option(min=1, help="Number of adapters in the ensemble; several tell how sure it is.")
    ] = 1,
    epochs: Annotated[float, typer.Option(callback=above_zero, help="Number of passes over the judgements.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Number of prompts in each step.")] = 8,
    lr: Annotated[
        float | None, typer.Option(callback=above_zero, help="Learning rate. Default: depends on --method.")
    ] = None,
    comparisons: Annotated[str, typer.Option(help="Rating scale that the comparisons count for.")] = "sounds_like_me",
    heldout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the prompts held out to measure on.")] = 0.2,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed of the held-out split and the order.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished run.")] = False,
    run_id: RunOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a reward model on people's judgements. Ctrl-C saves and stops; --resume continues."""
    workspace = open_workspace(workspace_dir)
    if resume:
        run = newest_unfinished(workspace.runs, name, kind="reward")
        config = run.settings_as(RewardConfig)
    else:
        if comparisons not in set(Scale):
            raise UserError(f"There is no scale '{comparisons}'.", hint=f"Choose one of {', '.join(Scale)}.")
        reference, reward = choose_names(workspace, model, name, ending="reward")
        config = RewardConfig(
            name=reward,
            reference=reference,
            loop=FeedbackSettings(learning_rate=lr or LEARNING_RATES[method], epochs=epochs, batch=batch, seed=seed),
            members=members,
            pair_scale=comparisons,
            heldout=heldout,
            **shared_settings(workspace, method, "adapter"),
        )
        run = new_run(workspace.runs, reward, run_id)
    judgements = open_judgements(workspace, run, source=source, judges=judges, resume=resume)
    finished = _run(workspace, config, judgements, run, resume=resume, quiet=as_json)
    plot = run.path / PLOT
    result = {**result_of(workspace, finished, run), "report": finished.report, "plot": plot}
    result["sorted_pairs"] = _sort_waiting_pairs(workspace, finished, quiet=as_json) if source is None else 0
    emit(as_json, result, lambda screen: _show(screen, finished, plot))


def _run(
    workspace: Workspace, config: RewardConfig, judgements: Judgements, run: RunFolder, *, resume: bool, quiet: bool
) -> RewardFinished:
    from talkalike.alignment.reward_training import train_reward  # torch: the help does not wait for it

    options: dict[str, Any] = {"catalog": workspace.catalog(), "judgements": judgements, "run": run, "resume": resume}
    with only_training(workspace.runs), polite_interrupt() as should_stop:
        finished = show_feedback(train_reward(config, should_stop=should_stop, **options), run, quiet=quiet)
    nothing = "" if finished.report.calibration else ": nothing was held out"
    charts = calibration_charts(finished.report.calibration)
    save(charts, run.path / PLOT, title=f"{config.name}: held-out judgements{nothing}")
    return finished


def _sort_waiting_pairs(workspace: Workspace, finished: RewardFinished, *, quiet: bool) -> int:
    """Puts pairs first that the ensemble disagrees on; returns how many waiting pairs it looked at."""
    if finished.reason == "stopped" or finished.card.settings["members"] < 2:
        return 0

    with open_store(database_url(workspace)) as store:
        count = ask_uncertain_first(workspace, store, finished.card.name, quiet=quiet)
    if count:
        say(f"{quantity(count, 'waiting pair')} sorted: pairs that its members disagree on are asked first.")
    return count


def _show(screen: Console, finished: RewardFinished, plot: Path) -> None:
    report = finished.report
    if finished.reason == "stopped":
        screen.print("Stopped. Continue with: talkalike align reward --resume", markup=False)
        return
    rows = [["model", finished.card.name], ["held-out pairs in the right order", _share(report.accuracy)]]
    rows.append(["the same among pairs of equal length", _share(report.length_matched)])
    rows.append(
        [
            "longer reply preferred by people / by the model",
            f"{_share(report.longer_preferred)} / {_share(report.longer_scored)}",
        ]
    )
    if report.calibration_error is not None:
        rows.append(["calibration error of its probabilities", percent(report.calibration_error)])
    if report.rating_error is not None and report.rating_error_of_mean is not None:
        off = f"{report.rating_error:.2f} ({report.rating_error_of_mean:.2f} when always guessing the mean)"
        rows.append(["error of its ratings", off])
    rows += [["time", duration(finished.seconds)], ["calibration plot", str(plot)]]
    screen.print(table(["", ""], rows))
    _calibration(screen, report)
    _likes(screen, report)
    screen.print(f"Train a double with it: talkalike align rl --reward {finished.card.name}", markup=False)


def _calibration(screen: Console, report: RewardReport) -> None:
    rows = [[each.kind, f"{each.predicted:.2f}", f"{each.actual:.2f}", number(each.n)] for each in report.calibration]
    if rows:
        columns = ["held-out", ">predicted", ">actual", ">judgements"]
        screen.print(
            table(
                columns, rows, title="Calibration (pairs: predicted and actual share that was right; ratings: 1 to 5)"
            )
        )


def _likes(screen: Console, report: RewardReport) -> None:
    rows = [[liking.feature, f"{liking.correlation:+.2f}"] for liking in report.likes[:_LIKES]]
    if rows:
        screen.print(table(["what raises the reward", ">correlation"], rows))


def _share(share: Share) -> str:
    if share.share is None or share.low is None or share.high is None:
        return "nothing to measure"
    return f"{percent(share.share)} [{percent(share.low)}, {percent(share.high)}] of {number(share.n)}"
