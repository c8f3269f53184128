"""Counts the changes this process makes to rules, settings, marks and consent, so that what was read can be kept.

Another process's changes are not counted: whoever keeps what it read has to look again after a while.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_made = 0


def version() -> int:
    """Grows with every change. What was read under an older version may be out of date."""
    return _made


def changing(function: Callable[P, T]) -> Callable[P, T]:
    """Marks a function that changes them; failed or not, it counts once it is over."""

    @functools.wraps(function)
    def counted(*args: P.args, **kwargs: P.kwargs) -> T:
        global _made
        try:
            return function(*args, **kwargs)
        finally:
            _made += 1

    return counted
