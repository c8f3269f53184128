"""Makes values fit both databases: Postgres takes neither NUL nor half a character, and JSON knows no infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def text(value: str) -> str:
    """The text without NUL signs; halves of surrogate pairs become "?"."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def json(value: Any) -> Any:
    """The same for everything in a JSON value; numbers that are not finite become null."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {text(str(key)): json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json(item) for item in value]
    return value
