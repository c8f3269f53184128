"""The times of an IRC log: dates from its name or headers, hours from its lines, always moving forward."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from talkalike.chats.importers.irc.months import Day
from talkalike.chats.importers.irc.stamps import Time

_DAY_MS = 24 * 60 * 60 * 1000
_SLACK_MS = 90 * 60 * 1000
"""A step back smaller than this is a clock being set (or summer time ending), not a new day."""


class Clock:
    """Turns a log's times into UTC milliseconds (the log's zone is unknown: its local time is taken as UTC).

    On a 24-hour clock a step back is the next day, on a 12-hour clock (`half_day`) the next half. A line or a header
    that names its day in full is believed, also where it goes back.
    """

    def __init__(self, day: date, *, half_day: bool) -> None:
        self._midnight = _midnight_ms(day)
        self._year = day.year
        self._turn = timedelta(hours=12 if half_day else 24) // timedelta(milliseconds=1)
        self._now = self._midnight
        self._started = False

    @property
    def today(self) -> date:
        """The day of the last line."""
        return datetime.fromtimestamp(self._now / 1000, UTC).date()

    def tick(self, time: Time | None, day: Day | None) -> int:
        """The time of the next line; lines without one share the time of the line before."""
        if day is not None:
            self._turn_to(day)
        if time is None:
            return self._now
        hour, minute, second = time
        now = self._midnight + ((hour * 60 + minute) * 60 + second) * 1000
        if self._started and now < self._now:
            if self._now - now < _SLACK_MS:
                return self._now
            while now < self._now and not (day and day[0]):
                self._midnight += self._turn
                now += self._turn
        self._started = True
        self._now = now
        return now

    def _turn_to(self, day: Day) -> None:
        year, month, number = day
        try:
            midnight = _midnight_ms(date(year or self._year, month, number))
            if not year and self._started and midnight < self._midnight - 180 * _DAY_MS:
                midnight = _midnight_ms(date(self._year + 1, month, number))  # December to January
        except ValueError:
            return
        self._year = datetime.fromtimestamp(midnight / 1000, UTC).year
        self._midnight = midnight
        if not self._started or midnight > self._now or midnight + _DAY_MS <= self._now:
            self._now = midnight


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
