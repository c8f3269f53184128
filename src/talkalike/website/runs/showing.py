"""Runs as the pages show them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone
from markupsafe import Markup

from talkalike.charts.losses import loss_chart
from talkalike.charts.plotter import SERIES, Axis, Curve, CurveChart, for_page
from talkalike.jobs.job import LogTail, log_tail
from talkalike.jobs.runs import Run
from talkalike.website.insights.tables import Column, Table, count, decimal
from talkalike.website.runs.lineage import METHODS
from talkalike.workspace.curves import OTHERS, thinned
from talkalike.workspace.files import mapping_of
from talkalike.workspace.replies import SideBySide
from talkalike.workspace.run_folder import RunState

STATES = {
    RunState.RUNNING: ("running", "good"),
    RunState.FINISHED: ("finished", ""),
    RunState.STOPPED: ("stopped", ""),
    RunState.FAILED: ("failed", "bad"),
    RunState.LOST: ("interrupted", "bad"),
}
KINDS = {"rl": "RL training", "dpo": "preference training (DPO)", "reward": "reward model", "eye": "eye"}
_MARKED = 12  # points: so few are looks now and then, and each is marked
_SHOWN_SETTINGS = ("learning_rate", "schedule", "epochs", "batch_tokens", "row_tokens", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run with its words."""

    run: Run
    state: str
    badge: str
    method: str
    best: float | None
    done: float | None  # 0 to 1, where it was said when it is to end
    took: str
    stopping: str = ""  # what happens next, where it was asked to stop


def view_of(run: Run) -> RunView:
    """For lists and heads of pages."""
    state, badge = STATES.get(run.state, ("unknown", "")) if run.state else ("unknown", "")
    stopping = ""
    if run.job is not None and run.job.stopping:
        state = "stopping"
        stopping = (
            "It finishes the current step and saves its progress. If that takes longer than "
            f"{duration(run.job.patience)}, it is stopped at once and can be resumed from its last checkpoint."
        )
    found = run.curves
    minutes = run.minutes
    return RunView(
        run=run,
        state=state,
        badge=badge,
        method=KINDS.get(run.kind) or METHODS.get(run.method, run.method),
        best=found.best_heldout[1] if found.best_heldout else None,
        done=min(1.0, found.seconds / (60 * minutes)) if minutes and run.running else None,
        took=duration(found.seconds),
        stopping=stopping,
    )


def loss_plot(run: Run) -> Markup:
    """The loss while it trains, and on what was held out."""
    return for_page(loss_chart(run.curves, label=f"Loss of {run.model} by step"))


def other_plots(run: Run) -> list[tuple[str, Markup]]:
    """What else was measured while it learned from judgements or by a reward, the reward first: in words, drawn."""
    return [
        (
            OTHERS[name],
            _by_step(
                [Curve(label=OTHERS[name], points=points, marks=len(points) < _MARKED)],
                label=f"{OTHERS[name]}, {run.model}, by step",
            ),
        )
        for name, points in run.curves.others.items()
    ]


def evaluations(run: Run) -> Table:
    """The first held-out loss and the latest ones; short enough to stand open."""
    found = run.curves.heldout
    columns = (Column("Step", count), Column("Held-out loss", decimal(3)))
    return Table(name="heldout", title="Held-out loss by step", columns=columns, rows=(*found[:1], *found[1:][-7:]))


def comparison_plot(runs: Sequence[Run], *, heldout: bool) -> Markup:
    """Curves of several runs over each other."""
    curves = [
        Curve(
            label=run.id,
            points=run.curves.heldout if heldout else thinned(run.curves.loss, 60),
            series=number,
            marks=heldout,
        )
        for number, run in enumerate(runs[:SERIES])
    ]
    return _by_step(curves, label="Held-out loss by step" if heldout else "Training loss by step")


def comparison_rows(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For a table with a column for each run: the row's name, and (the run, what it is there) of each."""
    views = [view_of(run) for run in runs]
    rows = [
        ("Model", [run.model for run in runs]),
        ("State", [view.state for view in views]),
        ("Examples", [run.examples for run in runs]),
        ("Base", [run.base for run in runs]),
        ("Method", [view.method for view in views]),
        *((_words(key), [_setting(run, key) for run in runs]) for key in _SHOWN_SETTINGS),
        ("Steps", [count(run.curves.steps) for run in runs]),
        ("Time", [view.took for view in views]),
        ("Held-out loss before", [_number(run.curves.heldout[0][1] if run.curves.heldout else None) for run in runs]),
        ("Lowest held-out loss", [_number(view.best) for view in views]),
    ]
    return [
        (words, [(run.id, value or "–") for run, value in zip(runs, values, strict=True)])
        for words, values in rows
        if any(values)
    ]


def settings_of(run: Run) -> list[tuple[str, str]]:
    """What it was started with."""
    return [(_words(key), value) for key in _SHOWN_SETTINGS if (value := _setting(run, key))]


def replies_by_prompt(found: SideBySide) -> list[tuple[str, list[tuple[int, str, float | None]]]]:
    """For a table with a column for each step: a prompt, and (step, reply, its reward) of each."""
    return [
        (prompt.text, [(step, *reply) for step, reply in zip(found.steps, prompt.replies, strict=True)])
        for prompt in found.prompts
    ]


def log_of(run: Run) -> LogTail | None:
    """The end of what it printed, if a job runs it."""
    return log_tail(run.folder) if run.job is not None else None


def duration(seconds: float) -> str:
    """3725 is "1 h 2 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def since(began: datetime.datetime | None) -> str:
    """How long ago it was; "" where that is not known."""
    return duration(max(0.0, (timezone.now() - began).total_seconds())) if began else ""


def _by_step(curves: Sequence[Curve], *, label: str) -> Markup:
    return for_page(CurveChart(label=label, curves=curves, y=Axis(form=decimal(2))))


def _setting(run: Run, key: str) -> str:
    value = mapping_of(run.settings, "loop").get(key)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
