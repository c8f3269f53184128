"""Counts the changes made to rules, settings, marks and consent, so that what was read can be kept.

Those of this process count at once. Those of others count when somebody looks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.db.models import Count, Max

from talkalike.store.tables import tables

P = ParamSpec("P")
T = TypeVar("T")

_made = 0
_found: list[Any] = []


def version() -> int:
    """Grows with every change. What was read under an older version may be out of date."""
    return _made


def look() -> None:
    """Counts it as a change if the tables are not as they were at the last look: every row says when it was written."""
    global _made, _found
    found = [
        tables.PermissionRule.objects.aggregate(Count("id"), Max("at")),
        tables.ScopedOption.objects.aggregate(Count("id"), Max("at")),
        tables.ContextMark.objects.aggregate(Count("id"), Max("at")),
        tables.Person.objects.aggregate(Count("user_id"), Max("since")),
    ]
    if found != _found:
        _found = found
        _made += 1


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
