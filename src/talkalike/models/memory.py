"""How much memory there is, and how many numbers a model's files hold. Imports no torch."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open


def available_memory() -> int | None:
    """Bytes that can still be used, by the system's account and the container's limit; None where nobody says."""
    limits = []
    with suppress(OSError, ValueError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        if found := re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE):
            limits.append(int(found[1]) * 1024)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text(encoding="ascii"))
        limits.append(most - int((group / "memory.current").read_text(encoding="ascii")))
    return max(0, min(limits)) if limits else None


def memory_in_use() -> int | None:
    """Bytes of memory that this process has now; None where the system does not say."""
    return _of_this_process("VmRSS")


def peak_memory() -> int | None:
    """The most that this process ever had, or had since `reset_peak_memory`; None where the system does not say."""
    return _of_this_process("VmHWM")


def reset_peak_memory() -> None:
    """Begins to measure the peak anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _of_this_process(key: str) -> int | None:
    with suppress(OSError):
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE):
            return int(found[1]) * 1024
    return None


def stored_numbers(folder: Path) -> int:
    """How many numbers the weights in a model's folder have, by the beginnings of its files; 0 where there are none."""
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with suppress(OSError, SafetensorError), safe_open(file, framework="np") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total
