"""A stand-in until the command is written."""

from __future__ import annotations

from talkalike.errors import UserError


def chat() -> None:
    """Not here yet."""
    raise UserError("This command is not here yet.")
