"""Frozen dataclasses that were kept as JSON become what they were, checked field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from talkalike.errors import UserError

T = TypeVar("T")


def rebuild(kind: type[T], values: object, *, file: Path, hint: str) -> T:
    """The value whose `dataclasses.asdict` was kept in the file. Raises UserError, naming the file and the field."""
    from pydantic import TypeAdapter, ValidationError  # where nothing is rebuilt, nobody waits for it

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
