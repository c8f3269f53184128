"""Whether 03/04/21 is in March or in April: decided on a whole file, never on one line.

A number above 12 is no month, and a chat goes forward in time. Where neither tells, nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

ORDERS = ("dmy", "mdy", "ymd", "ydm")
Numbers = tuple[int, int, int]
"""A date's three numbers as written."""

_CENTURY = 2000
_LONG_YEAR = 100


def day_of(numbers: Numbers, order: str) -> date | None:
    """The day that three numbers are in an order; None where they are none."""
    year, month, day = (numbers[order.index(part)] for part in "ymd")
    if year < _LONG_YEAR:
        year += _CENTURY
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found if year < _CENTURY + _LONG_YEAR else None


@dataclass(slots=True)
class _Candidate:
    impossible: int = 0  # dates that are none, or lie in the future
    backwards: int = 0  # steps back by a day or more
    last: date | None = None


@dataclass(slots=True)
class DateOrder:
    """Sees a file's dates one after the other, and then tells the order of their numbers."""

    dotted: bool = False  # written 24.12.21: nobody puts the month first there
    _seen: dict[str, _Candidate] = field(default_factory=lambda: {order: _Candidate() for order in ORDERS})
    _before: Numbers | None = None
    _same: bool = True  # whether day first and month first have given the same days so far
    _long: list[bool] = field(default_factory=lambda: [False, False])  # whether the first, or the last, is a whole year
    _today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def see(self, numbers: Numbers) -> None:
        """The next date of the file."""
        if numbers == self._before:
            return
        self._before = numbers
        self._long[0] |= numbers[0] >= _LONG_YEAR
        self._long[1] |= numbers[2] >= _LONG_YEAR
        for order, candidate in self._seen.items():
            day = day_of(numbers, order)
            if day is None or (day - self._today).days > 1:
                candidate.impossible += 1
                continue
            if candidate.last is not None and day < candidate.last:
                candidate.backwards += 1
            candidate.last = day
        self._same &= day_of(numbers, "dmy") == day_of(numbers, "mdy")

    def decide(self) -> str | None:
        """The order; None where two orders would do and give other days."""
        if self._long[0]:
            return self._better("ymd", "ydm") or "ymd"  # the day in the middle is written nowhere unless numbers say so
        if self.dotted or self._same:
            return "dmy"
        day_first, month_first = self._seen["dmy"], self._seen["mdy"]
        if not self._long[1] and min(day_first.impossible, month_first.impossible) > self._seen["ymd"].impossible:
            return "ymd"
        return self._better("dmy", "mdy")

    def _better(self, one: str, other: str) -> str | None:
        first, second = ((self._seen[o].impossible, self._seen[o].backwards) for o in (one, other))
        if first == second:
            return None
        return one if first < second else other
