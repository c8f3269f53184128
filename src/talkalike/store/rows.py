"""Rows of the tables as plain values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def read_row(form: type[T], row: Any, **other: Any) -> T:
    """A value of the dataclass `form`: each field is the row's of that name, but for those in `other`."""
    names = [field.name for field in fields(form) if field.name not in other]  # type: ignore[arg-type]
    return form(**{name: getattr(row, name) for name in names}, **other)
