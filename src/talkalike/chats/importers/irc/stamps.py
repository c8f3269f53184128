"""What stands at the beginning of a log's lines: the time, and in some clients the day.

A file's lines all begin in the same way, so one form is chosen for a whole file and the others are not tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from talkalike.chats.importers.irc.months import Day, day_in, month_of, real_date

Time = tuple[int, int, int]
"""Hour, minute and second."""


class LineTime(NamedTuple):
    """When a line was written, as far as it says so itself."""

    time: Time
    day: Day | None = None


class Stamp(NamedTuple):
    """One way to begin a line. `read` gets what `pattern` matched; None: it is no time after all."""

    name: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], LineTime | None]


_TIME = r"(\d\d):(\d\d)(?::(\d\d))?"


def _time(hour: str, minute: str, second: str | None) -> Time | None:
    time = (int(hour), int(minute), int(second or 0))
    return time if time[0] < 25 and time[1] < 60 and time[2] < 61 else None


def _clock(found: re.Match[str]) -> LineTime | None:
    time = _time(found[1], found[2], found[3])
    return LineTime(time) if time else None


def _half_days(found: re.Match[str]) -> LineTime | None:
    time = _time(found[1], found[2], found[3])
    if time is None or not 1 <= time[0] <= 12:
        return None
    return LineTime((time[0] % 12 + (12 if found[4] in "pP" else 0), time[1], time[2]))


def _parse_date(found: re.Match[str]) -> LineTime | None:
    """Year first. A zone at the end is the one case in which a log tells the time everywhere."""
    time = _time(found[4], found[5], found[6])
    day = _day(int(found[1]), int(found[2]), int(found[3]))
    if time is None or day is None:
        return None
    zone = found[7]
    if zone and zone not in "Zz":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
        there = datetime(*day, tzinfo=UTC) + timedelta(hours=time[0], minutes=time[1], seconds=time[2])
        try:
            here = there - ahead
        except OverflowError:
            return None
        return LineTime((here.hour, here.minute, here.second), (here.year, here.month, here.day))
    return LineTime(time, day)


def _day(year: int, month: int, day: int) -> Day | None:
    return (year, month, day) if real_date(year or 2000, month, day) else None


def _numbers(day_first: bool) -> Callable[[re.Match[str]], LineTime | None]:
    def read(found: re.Match[str]) -> LineTime | None:
        first, second, year = int(found[1]), int(found[2]), int(found[3])
        day, month = (first, second) if day_first else (second, first)
        half = found[7]
        time = _time(found[4], found[5], found[6])
        if half and time:
            time = (time[0] % 12 + (12 if half in "pP" else 0), time[1], time[2])
        date = _day(year + 2000 if year < 100 else year, month, day)
        return LineTime(time, date) if time and date else None

    return read


def _month_and_day(found: re.Match[str]) -> LineTime | None:
    """XChat names the day of each line but not its year, which the header has."""
    month, time = month_of(found[1]), _time(found[3], found[4], found[5])
    day = _day(0, month, int(found[2])) if month else None
    return LineTime(time, day) if time and day else None


def _in_words(found: re.Match[str]) -> LineTime | None:
    day, time = day_in(found[1]), _time(found[2], found[3], found[4])
    return LineTime(time, day) if time and day else None


_NUMERIC = re.compile(r"\[?(\d\d?)[/.-](\d\d?)[/.-](\d{4}|\d\d),? (\d?\d):(\d\d)(?::(\d\d))?(?: ?([AaPp])[Mm])?\]?")

BRACKETED = Stamp("bracketed", re.compile(rf"\[{_TIME}\]"), _clock)
BARE = Stamp("bare", re.compile(rf"{_TIME}(?![\d:])"), _clock)
COLUMNS = Stamp("columns", re.compile(rf"(\d{{4}})-(\d\d)-(\d\d) {_TIME}()(?=\t)"), _parse_date)
DAY_FIRST = Stamp("day/month/year", _NUMERIC, _numbers(day_first=True))
MONTH_FIRST = Stamp("month/day/year", _NUMERIC, _numbers(day_first=False))
MONTH_AND_DAY = Stamp(
    "month and day", re.compile(r"([^\W\d_]{2,}\.?|\d{1,2}[月월]) +(\d{1,2}) (\d\d):(\d\d):(\d\d)"), _month_and_day
)
STAMPS = (
    BRACKETED,
    BARE,
    COLUMNS,
    MONTH_AND_DAY,
    Stamp(
        "year first",
        re.compile(rf"\[?(\d{{4}})[-/.](\d\d)[-/.](\d\d)[ T]{_TIME}(?:[.,]\d+)? ?(Z|z|[+-]\d\d:?\d\d)?\]?"),
        _parse_date,
    ),
    DAY_FIRST,
    MONTH_FIRST,
    Stamp("half days", re.compile(r"[\[(]?(\d?\d):(\d\d)(?::(\d\d))? ?([AaPp])\.?[Mm]\.?[\])]?"), _half_days),
    Stamp("in words", re.compile(rf"\[([^\[\]]{{6,60}}?)(?:\] \[| ){_TIME}\]"), _in_words),
    Stamp("year last", re.compile(rf"\[([^\[\]]{{6,30}} {_TIME} \d{{4}})\]"), _in_words),
)
"""In the order of preference where two explain a file equally well."""
