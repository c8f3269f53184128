"""How long a training would take on this machine: the base's speed, measured once and kept beside it."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from talkalike.cli.output import say
from talkalike.cli.workspace import Workspace
from talkalike.workspace.files import write_atomically

_FILE = "speed.json"


def tokens_per_second(opened: Workspace, base: str) -> float:
    """Training speed of a base in the catalog, here and with the settings' device and number format."""
    catalog, wanted = opened.catalog(), opened.settings.model
    file = catalog.path(base) / _FILE
    key = f"{platform.node()} {wanted.device} {wanted.dtype}"
    known = _read(file)
    if isinstance(known.get(key), float):
        return float(known[key])
    say(f"Measuring how fast {base} trains here (once).")
    from talkalike.training.speed import measure  # torch: only where nothing was measured yet

    speed = float(measure(catalog, base, wanted.dtype, wanted.device))
    write_atomically(file, json.dumps({**known, key: round(speed, 1)}, indent=2) + "\n")
    return speed


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
