"""The times of an IRC log: dates from its name or headers, hours from its lines, always moving forward."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DAY_IN_PATH = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_./]?(\d\d)[-_./]?(\d\d)(?!\d)")
_SLACK_MS = 90 * 60 * 1000
"""A step back smaller than this is a clock being set (or summer time ending), not a new day."""


def date_in(path: str) -> date | None:
    """The last date in a path: `2008-01-02.log`, `2008/01/02/#chan.txt`, `chan_20080102.log`."""
    for year, month, day in reversed(_DAY_IN_PATH.findall(path)):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


class Clock:
    """Turns a log's times into UTC milliseconds (the log's zone is unknown: its local time is taken as UTC).

    Without a date it counts from 1970-01-01, which keeps the order and stays the same on every import. On a 24-hour
    clock a step back is the next day, on a 12-hour clock (`half_day`) the next half.
    """

    def __init__(self, day: date | None, *, half_day: bool) -> None:
        self._midnight = _midnight_ms(day or date(1970, 1, 1))
        self._year = (day or date(1970, 1, 1)).year
        self._turn = timedelta(hours=12 if half_day else 24) // timedelta(milliseconds=1)
        self._now = self._midnight
        self._started = False

    def tick(self, clock: tuple[int, int, int] | None, day: tuple[int, int, int] | None) -> int:
        """The time of the next line; lines without one share the time of the line before."""
        if day is not None:
            self._turn_to(day)
        if clock is None:
            return self._now
        hour, minute, second = clock
        now = self._midnight + ((hour * 60 + minute) * 60 + second) * 1000
        if self._started and now < self._now:
            if self._now - now < _SLACK_MS:
                return self._now
            while now < self._now:
                self._midnight += self._turn
                now += self._turn
        self._started = True
        self._now = now
        return now

    def _turn_to(self, day: tuple[int, int, int]) -> None:
        year, month, number = day
        try:
            midnight = _midnight_ms(date(year or self._year, month, number))
            if not year and self._started and midnight < self._midnight - 180 * 86_400_000:
                midnight = _midnight_ms(date(self._year + 1, month, number))  # December to January
        except ValueError:
            return
        self._year = datetime.fromtimestamp(midnight / 1000, UTC).year
        self._midnight = midnight
        self._now = max(self._now, midnight) if self._started else midnight


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
