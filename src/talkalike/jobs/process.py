"""Which process is meant, and what a job's process gets to see of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil

_PROC = Path("/proc")
_STARTED_FIELD = 19  # of /proc/PID/stat, counted from the state behind the name
_ENDED = ("Z", "X")  # a zombie runs no longer, it only waits to be noticed

ALLOWED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XDG_CACHE_HOME"}
    | {"XDG_CONFIG_HOME", "SSL_CERT_FILE", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
)
"""Variables that a job gets; whatever else there is may be a secret."""
ALLOWED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "TALKALIKE_MODEL_", "TALKALIKE_TRAIN_")


def identity(pid: int) -> str | None:
    """The running process's identity, which no other process ever has, also not one with the same number; else None.

    The number alone is given to somebody else once the process ended, so its start belongs to it.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None if _PROC.joinpath("self").exists() else _portable_identity(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else f"{pid}@{boot}+{fields[_STARTED_FIELD]}"


def is_running(pid: object, known: object) -> bool:
    """Whether the process with this number is the one that had this identity, and still runs."""
    return isinstance(pid, int) and pid > 0 and isinstance(known, str) and identity(pid) == known


def environment(of: Mapping[str, str] | None = None) -> dict[str, str]:
    """What of the environment a job gets: no tokens, no passwords, no addresses of databases."""
    every = os.environ if of is None else of
    return {name: value for name, value in every.items() if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)}


def _portable_identity(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{pid}@{process.create_time():.3f}"
    except psutil.Error:
        return None


def started_before(pid: int, at: float) -> bool:
    """Whether a process with this number runs and began before that time (seconds since 1970)."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= at + 1.0)
    except (psutil.Error, ValueError, OverflowError):
        return False
