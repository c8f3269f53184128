"""Two logs of one chat, written by two computers: the same messages under other times.

An IRC log or WhatsApp's export has the times of the computer or phone that wrote it: one knows the seconds and another
only the minute, clocks are some seconds apart, and zones hours. Messages are the same where author and words are, and
where the difference between the clocks is one that most of a day's messages agree on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.columns import with_column

_ORIGINS = ("irc", "whatsapp")  # formats whose times are some computer's own
_SPOKEN = ("text", "action")
_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS
_APART_MS = 10_000  # how far two clocks of one zone may be apart
_ZONE_STEP_MS = 15 * _MINUTE_MS
_ZONES_MS = 14 * 60 * _MINUTE_MS
_AGREEING, _AGREEING_ON_A_ZONE = 2, 5  # messages that must agree before a day is taken for told twice


class _Row(NamedTuple):
    place: int  # in its table
    sent_ms: int
    key: tuple[str, str]


class _Stored:
    """The stored messages that may be told again, by author and words, each to be used once."""

    def __init__(self, rows: Sequence[_Row], wanted: set[tuple[str, str]]) -> None:
        self._times: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in rows:
            if row.key in wanted:
                self._times[row.key].append(row.sent_ms)
                self._rows[row.key].append(row.place)

    def between(self, key: tuple[str, str], first_ms: int, last_ms: int) -> list[int]:
        """The times at which it was said."""
        times = self._times.get(key, [])
        return times[bisect_left(times, first_ms) : bisect_right(times, last_ms)]

    def take(self, row: _Row, offset: int) -> int | None:
        """The stored message this one is, if there is one; it is not given twice."""
        times = self._times.get(row.key, [])
        now = row.sent_ms + offset
        for at in range(bisect_left(times, now - _MINUTE_MS - _APART_MS), len(times)):
            if times[at] > now + _MINUTE_MS + _APART_MS:
                break
            if _same_time(times[at], now):
                del times[at]
                return self._rows[row.key].pop(at)
        return None


def match_other_clocks(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> pa.Table:
    """Fill `same` with the stored messages told again by another clock.

    Gives back `incoming`, with the rest of a day told in another zone moved into the zone of what is stored.
    """
    if None not in same or not {*pc.unique(stored["origin"]).to_pylist()} & {*_ORIGINS}:
        return incoming
    told = _spoken(incoming, 0, len(incoming))
    at_once = Counter(row.sent_ms // _DAY_MS for row in told if same[row.place] is not None)
    fresh = [row for row in told if same[row.place] is None]
    if not fresh:
        return incoming
    taken = {index for index in same if index is not None}
    times = stored["sent_ms"].to_numpy()  # in order, so that only the days in question are looked at
    reach = [fresh[0].sent_ms - _ZONES_MS - _MINUTE_MS, fresh[-1].sent_ms + _ZONES_MS + _MINUTE_MS]
    start, end = np.searchsorted(times, reach)
    old = _Stored([row for row in _spoken(stored, start, end) if row.place not in taken], {row.key for row in fresh})
    offsets: dict[int, int] = {}
    offset: int | None = None
    for day, rows in groupby(fresh, lambda row: row.sent_ms // _DAY_MS):
        todays = list(rows)
        offset = _find_shifts(todays, old, offset, at_once[day])
        if offset is None:
            continue
        offsets[day] = offset
        for row in todays:
            same[row.place] = old.take(row, offset)
    return _shift(incoming, same, offsets, times) if offsets else incoming


def _find_shifts(rows: Sequence[_Row], old: _Stored, before: int | None, at_once: int) -> int | None:
    """How far a day's times are from the stored ones; None where it is not told twice.

    `before` is what was agreed on for the day before, `at_once` how many of this day's messages have the same time in
    both.
    """
    votes: Counter[int] = Counter({0: at_once} if at_once else {})
    said_before = 0
    once = Counter(row.key for row in rows)
    for row in rows:
        times = old.between(row.key, row.sent_ms - _ZONES_MS, row.sent_ms + _ZONES_MS)
        said_before += bool(times)
        if len(times) == 1 and once[row.key] == 1:
            offset = round((times[0] - row.sent_ms) / _ZONE_STEP_MS) * _ZONE_STEP_MS
            votes[offset] += _same_time(times[0], row.sent_ms + offset)
    if not votes:
        return before if said_before else None
    offset, agreeing = max(votes.items(), key=lambda vote: (vote[1], -abs(vote[0])))
    needed = _AGREEING_ON_A_ZONE if offset and offset != before else _AGREEING
    if agreeing >= needed and 2 * agreeing >= sum(votes.values()):
        return offset
    return before


def _same_time(one: int, other: int) -> bool:
    """Whether two clocks of a zone can have shown these times at once; a whole minute may be all that one knows."""
    coarse = _MINUTE_MS if one % _MINUTE_MS == 0 or other % _MINUTE_MS == 0 else 0
    return abs(one - other) <= coarse + _APART_MS


def _spoken(table: pa.Table, start: int, end: int) -> list[_Row]:
    """The rows from `start` to `end` in which somebody said something."""
    part = table.slice(start, end - start)
    columns = (part[name].to_pylist() for name in ("sent_ms", "kind", "author_name", "text"))
    rows = enumerate(zip(*columns, strict=True), start)
    return [_Row(at, sent, (name.lower(), text)) for at, (sent, kind, name, text) in rows if kind in _SPOKEN and text]


def _shift(incoming: pa.Table, same: Sequence[int | None], offsets: dict[int, int], stored_times: Any) -> pa.Table:
    """What is new, in the zone of what is stored, and not before what its own log has before it."""
    moved = []
    before = 0
    for at, sent in enumerate(incoming["sent_ms"].to_pylist()):
        index = same[at]
        if index is not None:
            before = int(stored_times[index])
        elif sent // _DAY_MS in offsets:
            sent += offsets[sent // _DAY_MS]
            sent = before if sent < before <= sent + _MINUTE_MS + _APART_MS else sent
        moved.append(sent)
    return with_column(incoming, "sent_ms", moved)
