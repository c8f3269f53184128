"""Waits for one job: starts its program, sends it signals when it is to end, and notes how it ended.

Run as `python -m talkalike.jobs.keeper FOLDER`. Only the standard library is loaded, and it belongs to nobody: it
leaves the process that started it at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from talkalike.jobs.process import identity
from talkalike.workspace.files import now, read_json, write_json
from talkalike.workspace.run_folder import RunState

JOB, LOG, STOP = "job.json", "log.txt", "stop.json"
_TICK = 0.1
LEAST_PATIENCE = (60.0, 10.0)  # seconds from SIGINT to SIGTERM, and from there to SIGKILL


class Keeper:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about: dict[str, Any] = read_json(folder / JOB) or {}
        self._asked_at: float | None = None
        self._sent = 0
        self._told_to_end = False

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._end)  # the computer shuts down: the job may save its work
        try:
            process = self._start()
        except OSError as problem:
            words = f"The program could not be started: {os.strerror(problem.errno or 0)}."
            self._note(state=RunState.FAILED, ended=now(), problem=words)
            return
        self._note(state=RunState.RUNNING, pid=process.pid, process=identity(process.pid))
        while not self._has_ended(process):
            self._signal_if_asked(process)
        self._sweep(process.pid)
        code = process.wait()
        state = RunState.STOPPED if self._sent else RunState.FINISHED if code == 0 else RunState.FAILED
        self._note(state=state, exit_code=code, ended=now())

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.folder / LOG).open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in self.about["argv"]],
                cwd=self.about.get("cwd") or None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own, that signals reach as a whole
                restore_signals=True,
                preexec_fn=_listen_again,
            )

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        """Looks without taking note: until `wait` its number, and its group's, belong to nobody else."""
        if not hasattr(os, "waitid"):  # before Python 3.13 on macOS
            return process.poll() is not None
        time.sleep(_TICK)
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal_if_asked(self, process: subprocess.Popen[bytes]) -> None:
        if self._asked_at is None:
            if not self._told_to_end and not (self.folder / STOP).exists():
                return
            self._asked_at = time.monotonic()
        waited = time.monotonic() - self._asked_at
        patience = patience_asked(self.folder)
        due = (0.0, patience[0], patience[0] + patience[1])
        if self._sent < len(due) and waited >= due[self._sent]:
            self._sent += 1
            with suppress(ProcessLookupError):
                if self._sent == 1:  # Ctrl-C for the program alone: it saves and tells its own helpers
                    os.kill(process.pid, signal.SIGINT)
                else:
                    os.killpg(process.pid, signal.SIGTERM if self._sent == 2 else signal.SIGKILL)

    def _sweep(self, group: int) -> None:
        """Ends what the program left behind in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)

    def _note(self, **values: object) -> None:
        self.about.update(values)
        with suppress(FileNotFoundError):  # somebody deleted the folder: there is nobody to tell
            write_json(self.folder / JOB, self.about)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._told_to_end = True


def patience_asked(folder: Path) -> tuple[float, float]:
    """How long the job is given, by whoever asked it to end."""
    asked = (read_json(folder / STOP) or {}).get("patience")
    if not isinstance(asked, list) or len(asked) != 2 or not all(isinstance(each, int | float) for each in asked):
        return LEAST_PATIENCE
    return float(asked[0]), float(asked[1])


def _listen_again() -> None:
    """What the keeper ignores, its child must hear."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def main(folder: Path) -> None:
    """Becomes a process of its own, then keeps the job."""
    if os.fork():
        os._exit(0)
    keeper = Keeper(folder)
    keeper.about["keeper_pid"], keeper.about["keeper"] = os.getpid(), identity(os.getpid())
    keeper.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
