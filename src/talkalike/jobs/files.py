"""Small JSON files: replaced in one step, read without complaint where they are missing or damaged."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST = 4 << 20  # bytes of a file that is read as a whole


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replaces the file in one step that survives a crash: whoever reads sees the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None where there is none, or nothing that can be read."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text_of(values: Mapping[str, Any], key: str) -> str:
    """A text; "" where there is none."""
    found = values.get(key)
    return found if isinstance(found, str) else ""


def mapping_of(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; an empty one where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def texts_of(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts; other things in it are left out."""
    found = values.get(key)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def number_of(values: Mapping[str, Any], key: str) -> float | None:
    """A finite number; None where there is none."""
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not -1e300 < found < 1e300:
        return None
    return float(found)
