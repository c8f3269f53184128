"""A run's folder: its settings (`run.json`), its measurements (`metrics.jsonl`), and its checkpoints to resume from.

A checkpoint is a folder of safetensors whose `state.json` is written last: without it the checkpoint does not count,
so a crash at any time leaves the one before.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from talkalike.errors import UserError
from talkalike.workspace.curves import METRICS
from talkalike.workspace.files import read_json, text_of, write_atomically, write_json
from talkalike.workspace.rebuilding import rebuild
from talkalike.workspace.replies import REPLIES

RUN = "run.json"
LOCK = ".training.lock"
_STATE = "state.json"
T = TypeVar("T")


class RunState(StrEnum):
    """How a run stands. Stopped: it ended after somebody asked it to. Lost: it ended and nobody saw how."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


def last_state(description: Mapping[str, Any]) -> RunState | None:
    """The state that a run last wrote down; RUNNING may have ceased to be true."""
    written = text_of(description, "state")
    return RunState(written) if written in list(RunState) else None


def can_be_resumed(description: Mapping[str, Any], kind: str | None = None) -> bool:
    """Whether a training can go on with this run, unless it runs. `kind`: None for a training on examples."""
    unfinished = last_state(description) in (RunState.RUNNING, RunState.STOPPED, RunState.FAILED)
    return unfinished and description.get("kind") == kind and not description.get("in_vain")


class RunFolder:
    """One run's folder under `<workspace>/runs/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = time.monotonic()  # the work in it: minutes are counted from here

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line: steps and evaluations, in order."""
        return self.path / METRICS

    @property
    def replies_file(self) -> Path:
        """One JSON object a line: a step, and the replies after it to the same held-out prompts."""
        return self.path / REPLIES

    @property
    def samples_file(self) -> Path:
        """One JSON object a line: a step, and some of its rollouts."""
        return self.path / "samples.jsonl"

    def describe(self, about: Mapping[str, Any]) -> None:
        """Writes what was asked and how it stands; replaces what was written before."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / RUN, about)

    def description(self) -> dict[str, Any]:
        """What `describe` wrote last; empty where there is nothing readable."""
        return read_json(self.path / RUN) or {}

    def settings_as(self, kind: type[T]) -> T:
        """The settings in the description, rebuilt. Raises UserError where they are not of this kind."""
        hint = "Start a new run instead."
        return rebuild(kind, self.description().get("settings"), file=self.path / RUN, hint=hint)

    def record(self, **values: object) -> None:
        """Appends one line to the metrics, and when it was: from that is known how long a step takes."""
        _append(self.metrics_file, {**values, "at": round(time.time(), 2)})

    def record_replies(self, step: int, replies: Sequence[Mapping[str, Any]]) -> None:
        """Appends the replies to the held-out prompts after this step."""
        _append(self.replies_file, {"step": step, "replies": replies})

    def record_samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Appends some of this step's rollouts."""
        _append(self.samples_file, {"step": step, "samples": samples})

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of the metrics; a line cut off by a crash is left out."""
        return _lines(self.metrics_file)

    def replies(self) -> list[dict[str, Any]]:
        """All that `record_replies` kept, in order; a line cut off by a crash is left out."""
        return _lines(self.replies_file)

    def forget_after(self, step: int) -> None:
        """Drops what was measured of steps that a resumed training will do again."""
        for file in (self.metrics_file, self.replies_file, self.samples_file):
            kept = [line for line in _lines(file) if line.get("step", 0) <= step]
            if file.is_file():
                write_atomically(file, "".join(_as_line(line) for line in kept))

    @property
    def best_file(self) -> Path:
        """The trained tensors with the lowest held-out loss so far."""
        return self.path / "best.safetensors"

    def new_checkpoint(self, step: int) -> Path:
        """An empty folder for the checkpoint after this step; it counts once `complete_checkpoint` was called."""
        folder = self.path / f"checkpoint-{step:08d}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def complete_checkpoint(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Writes the state, which makes a checkpoint of the folder; older ones go."""
        write_json(folder / _STATE, state)
        for other in self.path.glob("checkpoint-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)

    def newest_checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest complete checkpoint with its state; None where there is none."""
        complete = sorted(path for path in self.path.glob(f"checkpoint-*/{_STATE}"))
        return (complete[-1].parent, json.loads(complete[-1].read_text(encoding="utf-8"))) if complete else None

    def drop_checkpoints(self) -> None:
        """Frees the space of a finished training."""
        for path in (*self.path.glob("checkpoint-*"), self.best_file):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def new_run(runs: Path, model: str, run_id: str | None = None) -> RunFolder:
    """A folder for a run that begins now: `run_id` where a job has made it already."""
    started = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return RunFolder(runs / (run_id or f"{model}-{started}"))


def newest_unfinished(runs: Path, model: str | None = None, *, kind: str | None = None) -> RunFolder:
    """The run to resume: the newest unfinished one of this kind (and model). UserError if there is none.

    `kind` is what `talkalike align` is to do; None: a training on examples.
    """
    for path in sorted(runs.glob(f"*/{RUN}"), key=lambda file: file.stat().st_mtime, reverse=True):
        run = RunFolder(path.parent)
        about = run.description()
        if can_be_resumed(about, kind) and model in {None, about.get("model")}:
            return run
    what = "training" if kind is None else f"`align {kind}`"
    of_model = f" of '{model}'" if model else ""
    raise UserError(f"There is no unfinished {what}{of_model} to resume.", hint="Start one without --resume.")


@contextlib.contextmanager
def failing_with(run: RunFolder) -> Iterator[None]:
    """Marks the run as failed where an error ends this; one that never began is left as it is."""
    try:
        yield
    except BaseException:
        if about := run.description():
            run.describe({**about, "state": "failed"})
        raise


@contextlib.contextmanager
def only_training(runs: Path) -> Iterator[None]:
    """Holds the workspace's training lock; UserError if another training has it. Freed by the system after a crash."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise UserError(
                f"Another training is running in this workspace (process {owner}).",
                hint="Wait for it, stop it, or use another workspace.",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _append(file: Path, values: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(_as_line(values))


def _as_line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines
