"""Files of rules: YAML that holds one list of entries under one key, read safely, with errors that name the place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from talkalike.errors import UserError, did_you_mean

_LARGEST = 2**20  # bytes


def entries(file: Path, key: str, *, others: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The entries under `key`; `others`: keys of other kinds of files, and what to do with such a file.

    Raises UserError where there is no such file or list, or it is empty.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise UserError(f"{file} is larger than any file of rules.")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise UserError(f"The rules in {file} cannot be read: {reason}.", hint="Is the path right?") from None
    except (yaml.YAMLError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UserError(
            f"{file}{where} is no YAML: {getattr(problem, 'problem', None) or 'nested too deeply'}."
        ) from None
    if isinstance(content, Mapping):
        for other, hint in others.items():
            if other in content and key not in content:
                raise UserError(f"{file} has no '{key}'.", hint=hint)
        known_keys(content, (key,), str(file))
    found = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(found, list) or not found or not all(isinstance(entry, Mapping) for entry in found):
        raise UserError(f"{file} has no rules.", hint=f"It has to hold '{key}:' and below it a list of rules.")
    return found


def known_keys(entry: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    """Raises UserError for a key that nothing reads."""
    for key in entry:
        if key not in known:
            hint = did_you_mean(str(key), known, otherwise=f"It may have: {', '.join(known)}.")
            raise UserError(f"{where} has '{key}', which is no known key.", hint=hint)


def text_of(entry: Mapping[str, Any], key: str, where: str) -> str:
    """A text that is not blank; raises UserError."""
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} needs a text for '{key}'.")
    return value.strip() if key != "pattern" else value
