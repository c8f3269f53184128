"""The real small eye, fetched once into the checkout's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[1] / ".cache"


@pytest.fixture(scope="session")
def small_eye_folder() -> Path:
    """Where its weights and names are."""
    folder = CACHE / "eyes" / "small"
    if not (folder / "card.json").exists():
        CACHE.mkdir(exist_ok=True)
        allowed = {key: value for key, value in os.environ.items() if key != "PIP_NO_INDEX"}
        program = [sys.executable, "-m", "talkalike.cli.main"]
        for command in (["init", str(CACHE)], ["eye", "fetch", "small", "-w", str(CACHE)]):
            subprocess.run([*program, *command], check=True, env=allowed, capture_output=True, timeout=280)
    return folder
