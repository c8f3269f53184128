"""The checks of `talkalike doctor` of the installation and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import talkalike
from talkalike.cli.output import size
from talkalike.models.memory import available_memory

_TRACKERS = ("tensorboard", "trackio", "wandb")
_LITTLE_MEMORY = 4e9
_WORTH_IT = 1.15  # bfloat16 counts as faster from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at: what was found, whether that is fine, and otherwise what to do."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    todo: str = ""


def installation() -> Iterator[Check]:
    """Python and the libraries, against what talkalike needs and what it is tested with."""
    yield Check(name="talkalike", state="ok", found=talkalike.__version__)
    yield Check(name="python", state="ok", found=f"{platform.python_version()} ({sys.executable})")
    yield from _libraries()
    found = [name for name in _TRACKERS if find_spec(name)]
    yield Check(
        name="trackers", state="ok", found=", ".join(found) or "none (optional: pip install 'talkalike[trackers]')"
    )


def _libraries() -> Iterator[Check]:
    pins = tested_versions()
    missing, old, other = [], [], []
    for name, lowest in required_versions().items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if _version_numbers(version) < _version_numbers(lowest):
            old.append(f"{name} {version} (needs {lowest})")
        elif name in pins and version.split("+")[0] != pins[name]:
            other.append(f"{name} {version} (tested with {pins[name]})")
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "transformers", "peft", "tokenizers"))
    if missing:
        todo = f"Install what is missing: pip install {' '.join(missing)}"
        yield Check(name="libraries", state="problem", found=f"missing: {', '.join(missing)}", todo=todo)
    if old:
        names = " ".join(entry.split()[0] for entry in old)
        yield Check(name="libraries", state="problem", found=", ".join(old), todo=f"pip install --upgrade {names}")
    if other:
        todo = "If something fails, install the tested ones: pip install -c constraints.txt -e ."
        yield Check(name="libraries", state="warning", found=", ".join(other), todo=todo)
    if not (missing or old or other):
        yield Check(name="libraries", state="ok", found=versions)


def required_versions() -> dict[str, str]:
    """The libraries talkalike needs, with the lowest version that will do; extras left out."""
    try:
        requirements = importlib.metadata.requires("talkalike") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = [re.match(r"([\w.-]+)\s*>=\s*([\w.]+)\s*$", wanted) for wanted in requirements]
    return {match[1]: match[2] for match in found if match}


def tested_versions() -> dict[str, str]:
    """The exact versions in the checkout's constraints file; none where talkalike was installed from a wheel."""
    file = Path(talkalike.__file__).resolve().parents[2] / "constraints.txt"
    if not file.is_file():
        return {}
    return dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(encoding="utf-8"), re.MULTILINE))


def machine() -> Iterator[Check]:
    """What the model runs on: device, number format, cores, memory, and whether a hub may be asked."""
    yield from _device()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    state: Literal["ok", "warning"] = "ok" if cores > 1 else "warning"
    todo = "" if cores > 1 else "Training on one core is slow; use a GPU or a machine with more cores."
    yield Check(name="cores", state=state, found=str(cores), todo=todo)
    free = available_memory()
    if free is None:
        yield Check(name="memory", state="ok", found="unknown")
    elif free < _LITTLE_MEMORY:
        todo = "Close other programs, or lower row_tokens in [train] if training runs out of memory."
        yield Check(name="memory", state="warning", found=f"{size(free)} free", todo=todo)
    else:
        yield Check(name="memory", state="ok", found=f"{size(free)} free")
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    found = "offline (HF_HUB_OFFLINE is set): only local folders and the wheel" if offline else "may be asked"
    yield Check(name="model hub", state="ok", found=found)


def _device() -> Iterator[Check]:
    try:
        # torch: whether it can be loaded is what is asked here
        from talkalike.models.precision import bfloat16_gain, choose_device
    except ImportError as error:
        todo = "Install it again: pip install --force-reinstall torch"
        yield Check(name="torch", state="problem", found=f"cannot be loaded: {error}", todo=todo)
        return
    device = choose_device("auto")
    if device.type == "cpu":
        found = "cpu (no GPU was found; small models train on it)"
        yield Check(name="device", state="ok", found=found)
    else:
        yield Check(name="device", state="ok", found=str(device))
    gain = bfloat16_gain(device)
    used = "bfloat16" if gain >= _WORTH_IT else "float32"
    yield Check(name="number format", state="ok", found=f"{used} (bfloat16 is {gain:.1f} times as fast as float32)")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, comparable; what follows them (rc1, +cpu) is left out."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()
