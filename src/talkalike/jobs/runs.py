"""The training runs of a workspace: settings, state, and the job that started each. Reads folders only."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkalike.jobs.job import Job, status
from talkalike.jobs.keeper import JOB
from talkalike.jobs.process import started_before
from talkalike.workspace.curves import METRICS, Curves, curves
from talkalike.workspace.files import mapping_of, number_of, read_json, text_of
from talkalike.workspace.run_folder import LOCK, RUN, RunState, can_be_resumed, last_state

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training. `state` is None where there is no telling: it says it runs, but nothing here runs it.

    `kind` is "sft", "rl", "dpo", "reward" or "eye". `settings`: those it was started with, empty until it wrote them.
    """

    folder: Path
    model: str
    kind: str
    state: RunState | None
    examples: str = ""
    base: str = ""
    method: str = ""
    began: datetime.datetime | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    job: Job | None = None
    resumable: bool = False

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING

    @property
    def minutes(self) -> float | None:
        """After how long it is to end, if it was said."""
        return number_of(mapping_of(self.settings, "loop"), "minutes")

    @property
    def curves(self) -> Curves:
        return curves(self.folder)


def runs(folder: Path) -> tuple[Run, ...]:
    """Every training in the folder, the newest first."""
    paths = {path.parent for name in (RUN, JOB) for path in folder.glob(f"*/{name}")}
    found = filter(None, (run(folder, path.name) for path in paths))
    never = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return tuple(sorted(found, key=lambda run: (run.began or never, run.id), reverse=True))


def run(folder: Path, name: str) -> Run | None:
    """The training of that id; None if there is none, or the id is no plain name."""
    path = folder / name
    if not _ID.fullmatch(name) or path.is_symlink():
        return None
    described, job = read_json(path / RUN), status(path)
    if described is None and job is None:
        return None
    described = described or {}
    wanted = job.about if job else {}
    settings = mapping_of(described, "settings")
    state = _state(folder, last_state(described), job)
    return Run(
        folder=path,
        model=text_of(described, "model") or text_of(wanted, "name") or name,
        kind=text_of(described, "kind") or text_of(wanted, "kind") or "sft",
        state=state,
        examples=text_of(described, "examples") or text_of(wanted, "examples"),
        base=text_of(settings, "base") or text_of(wanted, "base"),
        method=text_of(mapping_of(settings, "adapter"), "method") or text_of(wanted, "method"),
        began=_began(path, job),
        settings=settings,
        job=job,
        resumable=state is not RunState.RUNNING and can_be_resumed(described),
    )


def _state(folder: Path, told: RunState | None, job: Job | None) -> RunState | None:
    """The job knows best while it runs or where it broke off; else the run's own word; RUNNING has to be true."""
    if (job is not None and job.running) or (told is RunState.RUNNING and _somebody_trains(folder)):
        return RunState.RUNNING
    if told is RunState.RUNNING:
        return job.state if job is not None and job.state is not RunState.FINISHED else RunState.LOST
    return told or (job.state if job is not None else None)


def _somebody_trains(folder: Path) -> bool:
    """Whether the process that took the workspace's training lock last still runs. Never takes the lock itself."""
    try:
        lock = folder / LOCK
        return started_before(int(lock.read_text(encoding="utf-8")), lock.stat().st_mtime)
    except (OSError, ValueError):
        return False


def _began(path: Path, job: Job | None) -> datetime.datetime | None:
    """From the folder's name, as runs are named (local time); else the time of its files."""
    stamp = re.search(r"-(\d{8}-\d{6})$", path.name)
    if stamp:
        try:
            return datetime.datetime.strptime(stamp[1], "%Y%m%d-%H%M%S").astimezone()
        except ValueError:
            pass
    if job is not None and job.began is not None:
        return job.began
    for name in (METRICS, RUN):
        if (path / name).is_file():
            return datetime.datetime.fromtimestamp((path / name).stat().st_mtime, datetime.UTC)
    return None
