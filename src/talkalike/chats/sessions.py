"""Cuts a conversation into sessions: at long silences, and where a stretch is too long for a model, at its longest one.

Nothing is ever skipped: the sessions of a conversation, one after the other, are its messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

from talkalike.chats.values import Conversation, Message, Platform, Session

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

# People come back to a direct chat for hours; a channel with many people is another talk after half an hour.
DEFAULT_GAP_MS: Mapping[Platform, int] = {
    platform: 30 * MINUTE_MS if platform is Platform.IRC else 4 * HOUR_MS for platform in Platform
}

_SMALLEST_PART = 8  # a part should have at least the limit divided by this


@dataclass(frozen=True, slots=True, kw_only=True)
class GapEffect:
    """What one choice of the gap makes of a set of conversations, before over-long sessions are split."""

    gap_ms: int
    sessions: int
    median_messages: float  # in a session; 0 where there is none
    single_share: float  # sessions of one message, as a share of all; nobody answers in them


def split_sessions(
    conversation: Conversation,
    messages: Iterable[Message],
    *,
    gap_ms: int,
    weight: Callable[[Message], int],
    max_weight: int,
    answers: Callable[[Message, Message], bool] = lambda before, after: False,
) -> Iterator[Session]:
    """The sessions of `conversation`, oldest first. `messages` are its messages in order, read one by one.

    A silence of at least `gap_ms` ends a session. A session whose weights sum up to more than `max_weight` is split
    at its longest silence that leaves an eighth of the limit or more on both sides (any silence where there is none
    such), the parts likewise. Of equal silences the one nearest the middle is taken, so that logs without seconds
    come apart evenly. A message that `answers` the one before it stays with it unless the two are over the limit.
    A message heavier than the limit is a session of its own. Weights are not negative.
    """
    if gap_ms <= 0 or max_weight <= 0:
        raise ValueError("gap_ms and max_weight must be above 0")
    for stretch in _stretches(messages, gap_ms):
        ends = [0, *accumulate(map(weight, stretch))]
        if ends[-1] <= max_weight:
            yield Session(conversation=conversation, messages=tuple(stretch))
            continue
        silences = [
            0 if answers(before, after) else 1 + max(0, after.sent_ms - before.sent_ms)
            for before, after in pairwise(stretch)
        ]
        silences.insert(0, 0)
        for start, stop in _parts(ends, silences, max_weight):
            yield Session(conversation=conversation, messages=tuple(stretch[start:stop]))


def gap_effect(conversations: Iterable[Iterable[int]], gaps: Sequence[int]) -> list[GapEffect]:
    """What each of `gaps` (ms) would do, in the order given. `conversations`: of each, its messages' times (ms)."""
    lengths: list[list[int]] = [[] for _ in gaps]
    for times in conversations:
        running = [0] * len(gaps)
        before = None
        for sent_ms in times:
            silence = 0 if before is None else sent_ms - before
            before = sent_ms
            for index, gap in enumerate(gaps):
                if silence >= gap and running[index]:
                    lengths[index].append(running[index])
                    running[index] = 0
                running[index] += 1
        for index, count in enumerate(running):
            if count:
                lengths[index].append(count)
    return [
        GapEffect(
            gap_ms=gap,
            sessions=len(found),
            median_messages=median(found) if found else 0,
            single_share=found.count(1) / len(found) if found else 0.0,
        )
        for gap, found in zip(gaps, lengths, strict=True)
    ]


def _stretches(messages: Iterable[Message], gap_ms: int) -> Iterator[list[Message]]:
    stretch: list[Message] = []
    for message in messages:
        if stretch and message.sent_ms - stretch[-1].sent_ms >= gap_ms:
            yield stretch
            stretch = []
        stretch.append(message)
    if stretch:
        yield stretch


def _parts(ends: list[int], silences: list[int], max_weight: int) -> Iterator[tuple[int, int]]:
    """Ranges of messages, in order. `ends[i]` is the weight before message i, `silences[i]` the silence before it."""
    longest = _RangeMax(silences)
    places: dict[int, list[int]] = {}  # where a silence of this length is
    for index, silence in enumerate(silences):
        places.setdefault(silence, []).append(index)
    todo = [(0, len(silences))]
    while todo:
        start, stop = todo.pop()
        if stop - start == 1 or ends[stop] - ends[start] <= max_weight:
            yield start, stop
            continue
        cut = _cut(ends, longest, places, start, stop, max_weight)
        todo += [(cut, stop), (start, cut)]  # the left part is next


def _cut(
    ends: list[int], longest: _RangeMax, places: dict[int, list[int]], start: int, stop: int, max_weight: int
) -> int:
    """The message before which to cut messages `start` to `stop` in two."""
    smallest = -(-max_weight // _SMALLEST_PART)
    low = bisect_left(ends, ends[start] + smallest, start, stop + 1)
    high = bisect_right(ends, ends[stop] - smallest, start, stop + 1) - 1
    if low > high or not longest.of(low, high + 1):  # one message holds nearly all of it, or only answers begin there
        low, high = start + 1, stop - 1
    equal = places[longest.of(low, high + 1)]
    equal_low, equal_high = bisect_left(equal, low), bisect_right(equal, high)
    middle = (ends[start] + ends[stop]) / 2
    right = bisect_left(equal, middle, equal_low, equal_high, key=ends.__getitem__)
    nearest = equal[max(equal_low, right - 1) : min(right + 1, equal_high)]
    return min(nearest, key=lambda index: abs(ends[index] - middle))


class _RangeMax:
    """The largest of any range of a list, in logarithmic time (a segment tree without recursion)."""

    def __init__(self, values: list[int]) -> None:
        self._size = len(values)
        self._tree = [0] * self._size + values
        for node in range(self._size - 1, 0, -1):
            self._tree[node] = max(self._tree[2 * node], self._tree[2 * node + 1])

    def of(self, low: int, high: int) -> int:
        """The largest of values `low` to `high`, `high` excluded; values are not negative."""
        best, low, high = 0, low + self._size, high + self._size
        while low < high:
            if low & 1:
                best = max(best, self._tree[low])
                low += 1
            if high & 1:
                high -= 1
                best = max(best, self._tree[high])
            low, high = low // 2, high // 2
        return best
