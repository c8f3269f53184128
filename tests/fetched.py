"""What tests fetch once into the checkout's cache, whichever of their processes needs it first."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"


def fetch_once(done: Path, *command: str) -> None:
    """Runs `talkalike COMMAND...` with the cache as its workspace, unless `done` is there already."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        if done.exists():
            return
        allowed = {key: value for key, value in os.environ.items() if key != "PIP_NO_INDEX"}
        program = [sys.executable, "-m", "talkalike.cli.main"]
        if not (CACHE / "talkalike.toml").exists():
            subprocess.run([*program, "init", str(CACHE)], check=True, env=allowed, capture_output=True, timeout=60)
        command = (*program, *command, "-w", str(CACHE))
        subprocess.run(command, check=True, env=allowed, capture_output=True, timeout=280)
