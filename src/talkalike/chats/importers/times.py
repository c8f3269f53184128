"""Times as exports write them. A time without a zone is taken as UTC, as in IRC logs: the export does not tell more."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

LATEST_MS = 4_102_444_800_000
"""The year 2100. Nothing is said later, and nothing before 1970."""

_LONGEST_NUMBER = 32
_SECONDS_BELOW = 1_000_000_000_000  # a smaller number is in seconds: chats are younger than this many ms


def sent_ms(value: object) -> int | None:
    """A time in milliseconds, from a number of them or of seconds, also as text; None if it is none."""
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LATEST_MS:
        return None
    return int(value * 1000 if value < _SECONDS_BELOW else value)


def seconds_ms(text: str) -> int | None:
    """Seconds with a fraction, as text ("1456427378.000002"), in milliseconds without a float's rounding."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < _LONGEST_NUMBER):
        return None
    rest = fraction[:3].ljust(3, "0")
    return checked_ms(int(whole) * 1000 + (int(rest) if rest.isascii() and rest.isdigit() else 0))


def iso_ms(value: object) -> int | None:
    """ISO 8601 with or without fraction and zone, a space for the T allowed."""
    if not isinstance(value, str) or len(value) > 2 * _LONGEST_NUMBER:
        return None
    try:
        when = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return utc_ms(when)


def utc_ms(when: datetime) -> int | None:
    """A moment in milliseconds; None where it lies outside of the years that chats have."""
    try:
        moment = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return checked_ms(int(moment.timestamp()) * 1000 + moment.microsecond // 1000)
    except (OverflowError, ValueError):
        return None


def checked_ms(ms: int) -> int | None:
    """The same number if it is a time at which somebody can have written."""
    return ms if 0 < ms < LATEST_MS else None
