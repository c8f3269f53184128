"""Starts jobs, says how they stand, stops them, and shows what they printed."""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from talkalike.errors import TalkalikeError, UserError
from talkalike.jobs.keeper import JOB, LEAST_PATIENCE, LOG, STOP, patience_asked
from talkalike.jobs.process import environment, is_running
from talkalike.workspace.curves import longest_wait
from talkalike.workspace.files import mapping_of, now, read_json, text_of, time_of, write_json
from talkalike.workspace.run_folder import RunState

START_SECONDS = 20.0  # a keeper that has not spoken by then is gone
STEPS_TO_SAVE = 3  # of the longest there were: the one it is in, a look at what was held out, and writing
TAIL_BYTES = 16_384
TAIL_LINES = 200
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. `about` is what whoever started it wanted to remember.

    `stopping`: it was asked to end, and is given `patience` seconds for it.
    """

    folder: Path
    state: RunState
    argv: tuple[str, ...] = ()
    title: str = ""
    by: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    began: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    exit_code: int | None = None
    stopping: bool = False
    patience: float = 0.0
    problem: str = ""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTail:
    """The last lines of a log; `cut` says that there are more before them."""

    text: str
    cut: bool


def start(
    argv: Sequence[str],
    folder: Path,
    *,
    title: str = "",
    by: str = "",
    about: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
) -> Job:
    """Starts the program as a job in `folder`, which may hold other things, or a job that ended, but none that runs.

    Returns once it runs (or could not be started: then it is FAILED, with `problem`). Raises UserError for a folder
    whose job runs. The program gets no shell, no input and a few harmless variables of the environment.
    """
    if not argv or isinstance(argv, str):
        raise ValueError("argv is a list of words")
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        before = status(folder)
        if before is not None and before.running:
            raise UserError(
                f"'{before.title or before.id}' is already running.",
                hint="Stop it first, or wait until it has finished.",
            )
        (folder / STOP).unlink(missing_ok=True)
        described = {
            "title": title,
            "by": by,
            "argv": list(argv),
            "cwd": str(cwd) if cwd else "",
            "about": dict(about or {}),
            "began": now(),
            "state": "starting",
        }
        write_json(folder / JOB, described)
        keeper = [sys.executable, "-m", "talkalike.jobs.keeper", str(folder.resolve())]
        with (folder / LOG).open("ab") as log:
            subprocess.run(
                keeper,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
                check=True,
            )
        return _once_started(folder)


def status(folder: Path) -> Job | None:
    """How the folder's job stands; None if it has none. A damaged description counts as lost."""
    if not (folder / JOB).is_file():
        return None
    described = read_json(folder / JOB)
    if described is None:
        return Job(folder=folder, state=RunState.LOST, problem="The job's description cannot be read.")
    if not _is_over(described) and not _is_alive(described):
        described = read_json(folder / JOB) or described  # it may have ended, and been noted, just now
    return _job(folder, described)


def stop(folder: Path, *, patience: tuple[float, float] | None = None) -> bool:
    """Asks the job to end, and returns at once; False if none runs here.

    It is interrupted as by Ctrl-C; after `patience[0]` seconds terminated; `patience[1]` later killed. Where no
    patience is given it follows what the job measured: whoever trains saves between two steps, however long they are.
    """
    job = status(folder)
    if job is None or not job.running:
        return False
    if patience is None:
        since = job.began.timestamp() if job.began else 0.0
        patience = (max(LEAST_PATIENCE[0], STEPS_TO_SAVE * longest_wait(folder, since=since)), LEAST_PATIENCE[1])
    write_json(folder / STOP, {"patience": list(patience)})
    described = read_json(folder / JOB) or {}
    if "pid" in described and not is_running(described.get("keeper_pid"), described.get("keeper")):
        Thread(target=_stop_unkept, args=(described, patience), daemon=True).start()
    return True


def log_tail(folder: Path, *, most_bytes: int = TAIL_BYTES, lines: int = TAIL_LINES) -> LogTail:
    """The end of what the job printed, without control characters; where a line was redrawn, its last state."""
    try:
        with (folder / LOG).open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(max(0, size - most_bytes))
            raw = log.read(most_bytes)
    except OSError:
        return LogTail(text="", cut=False)
    cut = size > most_bytes
    if cut:
        raw = raw.partition(b"\n")[2] or raw
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in raw.decode("utf-8", "replace").rstrip("\n").split("\n")]
    text = "\n".join(_CONTROL.sub("", line) for line in shown[-lines:])
    return LogTail(text=text, cut=cut or len(shown) > lines)


def _job(folder: Path, described: dict[str, Any]) -> Job:
    argv, code = described.get("argv"), described.get("exit_code")
    if _is_over(described):
        state = RunState(text_of(described, "state"))
    else:
        state = RunState.RUNNING if _is_alive(described) else RunState.LOST
    stopping = state is RunState.RUNNING and (folder / STOP).exists()
    return Job(
        folder=folder,
        state=state,
        argv=tuple(map(str, argv)) if isinstance(argv, list) else (),
        title=text_of(described, "title"),
        by=text_of(described, "by"),
        about=mapping_of(described, "about"),
        began=time_of(described, "began"),
        ended=time_of(described, "ended"),
        exit_code=code if isinstance(code, int) else None,
        stopping=stopping,
        patience=patience_asked(folder)[0] if stopping else 0.0,
        problem=text_of(described, "problem"),
    )


def _is_over(described: dict[str, Any]) -> bool:
    return text_of(described, "state") in (RunState.FINISHED, RunState.FAILED, RunState.STOPPED)


def _is_alive(described: dict[str, Any]) -> bool:
    """Whether the program runs, or its keeper, which has yet to say how it ended, or is about to start it."""
    if is_running(described.get("pid"), described.get("process")) or is_running(
        described.get("keeper_pid"), described.get("keeper")
    ):
        return True
    began = time_of(described, "began")
    waited = (datetime.datetime.now(datetime.UTC) - began).total_seconds() if began else START_SECONDS
    return text_of(described, "state") == "starting" and waited < START_SECONDS


def _once_started(folder: Path) -> Job:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        described = read_json(folder / JOB) or {}
        if text_of(described, "state") != "starting":
            break
        time.sleep(0.02)
    job = status(folder)
    if job is None or (job.state is RunState.LOST and job.exit_code is None and "pid" not in described):
        raise TalkalikeError("The job could not be started.", hint=f"See {folder / LOG}.")
    return job


def _stop_unkept(described: Mapping[str, Any], patience: tuple[float, float]) -> None:
    """For a job whose keeper was killed: does itself what that would have done."""
    pid, process = described.get("pid"), described.get("process")
    for number, wait in ((signal.SIGINT, patience[0]), (signal.SIGTERM, patience[1]), (signal.SIGKILL, 0.0)):
        if not isinstance(pid, int) or not is_running(pid, process):
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGINT:
                os.kill(pid, number)
            else:
                os.killpg(pid, number)
        until = time.monotonic() + wait
        while is_running(pid, process) and time.monotonic() < until:
            time.sleep(0.05)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two who start at once: the second waits and finds the first one's job. Freed by the system after a crash."""
    with (folder / ".job.lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
