"""Frozen dataclasses that were kept as JSON become what they were, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from talkalike.errors import UserError

T = TypeVar("T")


def rebuild(kind: type[T], values: object, *, file: Path, hint: str) -> T:
    """The value whose `dataclasses.asdict` was kept in the file. Raises UserError, naming the file and the field.

    A class may have `RENAMED`: the fields' names in files of earlier versions, and their names now, both as "a.b".
    """
    from pydantic import TypeAdapter, ValidationError  # where nothing is rebuilt, nobody waits for it

    for old, new in getattr(kind, "RENAMED", {}).items():
        values = _rename(values, old.split("."), new.rpartition(".")[2])
    try:
        return TypeAdapter(kind).validate_python(values, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or kind.__name__
        raise UserError(f"{file} is damaged or from another version: {field}: {first['msg']}.", hint=hint) from None


def read_as(kind: type[T], file: Path, *, hint: str) -> T:
    """The value in a JSON file. Raises UserError, naming the file and what is wrong with it."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise UserError(f"{file} cannot be read: {problem}.", hint=hint) from None
    return rebuild(kind, values, file=file, hint=hint)


def _rename(values: Any, path: list[str], new: str) -> Any:
    """The values with the field at this path under another name; as they are where there is no such field."""
    first, *rest = path
    if not isinstance(values, Mapping) or first not in values:
        return values
    if rest:
        return {**values, first: _rename(values[first], rest, new)}
    return {new: values[first], **{name: value for name, value in values.items() if name != first}}
