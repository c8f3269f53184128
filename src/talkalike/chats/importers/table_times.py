"""Times in tables: numbers of (milli)seconds, ISO 8601, or a date with its numbers in the order its country likes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from talkalike.chats.importers.date_order import Numbers, day_of
from talkalike.chats.importers.times import iso_ms, sent_ms, utc_ms

_DATE = re.compile(
    r"^(\d{1,4})([./-])\s?(\d{1,2})\2\s?(\d{1,4})\.?(?:,?\s+(\d{1,2}):(\d\d)(?::(\d\d))?\s*(?:([ap])\.?\s?m\.?)?)?$",
    re.IGNORECASE,
)
_ISO = re.compile(r"^\d{4}-\d\d-\d\d(?:$|[ T])")
_NOON = 12


def numbers_of(text: str) -> Numbers | None:
    """The three numbers of a date whose order has to be found out; None where there is nothing to find out."""
    found = None if _ISO.match(text) else _DATE.match(text.strip())
    return (int(found[1]), int(found[3]), int(found[4])) if found else None


def table_ms(text: str, order: str) -> int | None:
    """A time in milliseconds; None if it is none."""
    text = text.strip()
    numbers = numbers_of(text)
    if numbers is None:
        return sent_ms(text) or iso_ms(text)
    found = _DATE.match(text)
    day = day_of(numbers, order)
    if day is None or found is None:
        return None
    hour, minute, second = (int(found[part] or 0) for part in (5, 6, 7))
    if found[8] and hour <= _NOON:
        hour = hour % _NOON + (_NOON if found[8].lower() == "p" else 0)
    try:
        return utc_ms(datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC))
    except ValueError:
        return None
