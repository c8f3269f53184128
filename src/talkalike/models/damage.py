"""Checks quickly and without torch whether a model's folder is whole: by the beginnings and sizes of its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from talkalike.errors import UserError
from talkalike.models.tokenizer import load_tokenizer


def damaged_files(folder: Path) -> Iterator[str]:
    """The files of a model that cannot be read, by their names."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="np"):
                pass
        except (OSError, SafetensorError):
            yield file.name
    for file in sorted(folder.glob("*config.json")):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            yield file.name
    if (folder / "tokenizer.json").exists():
        try:
            load_tokenizer(folder)
        except UserError:
            yield "tokenizer.json"
