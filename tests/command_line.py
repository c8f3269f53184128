"""Runs the program's own command lines inside the test's process, and makes a workspace with a tiny base."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkalike.cli.main import run
from tiny_model import build_tiny_llama

os.environ["PIP_NO_INDEX"] = "1"  # a base is never fetched from outside, not even by a mistake in a test

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SAMPLE_PARTS = (SAMPLES / "four-friends", SAMPLES / "four-friends-e2ee")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


def talkalike(*arguments: object) -> Done:
    """Runs `talkalike ARGUMENTS...` as the program does, up to its exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


def succeed(*arguments: object) -> Done:
    """The same, of a command line that has to work."""
    done = talkalike(*arguments)
    assert done.code == 0, done.err
    return done


def sample_workspace(folder: Path) -> Path:
    """A workspace with the bundled sample imported and a tiny base called `tiny`, which its settings name."""
    root = folder / "ws"
    succeed("init", root)
    (root / "talkalike.toml").write_text('[model]\nbase = "tiny"\n', encoding="utf-8")
    succeed("import", *SAMPLE_PARTS, "-w", root)
    with contextlib.redirect_stderr(io.StringIO()):  # transformers' progress bar
        build_tiny_llama(folder / "tiny")
    succeed("models", "fetch", folder / "tiny", "-w", root)
    return root
