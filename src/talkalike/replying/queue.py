"""Who waits for a reply, and who follows it: the waiting line, a channel's rate, and readers that come and go.

    async with line.turn(place, reply_id): ...

A few replies are written at once, one at most in a place, and places take turns: a channel where everybody talks at
once cannot keep the others waiting. Leaving the block, being cancelled in it or while waiting for it, frees the place.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from talkalike.errors import TalkalikeError

LONGEST_WAIT = 600.0  # seconds
UNBOUNDED = 1_000_000


class LineFullError(TalkalikeError):
    """So many replies are waiting already that another one would come too late to be of use."""


@dataclass(slots=True, eq=False)
class _Ticket:
    reply_id: int
    called: asyncio.Event = field(default_factory=asyncio.Event)
    patience: asyncio.Task[None] | None = None  # sleeps until it is called or has waited too long

    def call(self) -> None:
        self.called.set()
        if self.patience is not None:
            self.patience.cancel()

    async def wait(self) -> None:
        if not self.called.is_set():
            self.patience = asyncio.get_running_loop().create_task(asyncio.sleep(LONGEST_WAIT))
            try:
                await self.patience
            except asyncio.CancelledError:
                if not self.called.is_set() or _being_cancelled():
                    raise  # it was not the call that ended the wait, or not the call alone
        if not self.called.is_set():
            raise LineFullError("It took too long until it was this reply's turn.", hint="Please ask again.")


class WaitingLine:
    """Who writes and who waits. Belongs to one event loop."""

    def __init__(self, *, at_once: int = UNBOUNDED, max_waiting: int = UNBOUNDED) -> None:
        self._at_once = at_once
        self._max_waiting = max_waiting
        self._writing: dict[int, int] = {}  # channel -> reply
        self._waiting: OrderedDict[int, deque[_Ticket]] = OrderedDict()  # channel -> its line; the first is called next

    def __len__(self) -> int:
        """How many replies are waiting."""
        return sum(len(tickets) for tickets in self._waiting.values())

    def position(self, reply_id: int) -> int | None:
        """The place of a waiting reply (1 is next), 0 while it is written, None when it is neither."""
        if reply_id in self._writing.values():
            return 0
        for order, (place, tickets) in enumerate(self._waiting.items()):
            for depth, ticket in enumerate(tickets):
                if ticket.reply_id == reply_id:
                    return 1 + depth + self._others_ahead(place, order, depth)
        return None

    def free(self, place: int) -> bool:
        """True where a reply would not have to wait."""
        taken = place in self._writing or place in self._waiting
        return len(self._writing) < self._at_once and not taken

    def full(self, place: int) -> bool:
        """True where a reply would be turned away."""
        return not self.free(place) and len(self) >= self._max_waiting

    def full_error(self) -> LineFullError:
        """The error to raise where the line is full."""
        return LineFullError(f"{len(self)} replies are waiting already.", hint="Please ask again in a minute or two.")

    @asynccontextmanager
    async def turn(self, place: int, reply_id: int) -> AsyncGenerator[None, None]:
        """Waits for the reply's turn. Raises LineFullError instead of waiting behind too many."""
        ticket = _Ticket(reply_id)
        if self.free(place):
            self._writing[place] = reply_id
            ticket.called.set()
        elif self.full(place):
            raise self.full_error()
        else:
            self._waiting.setdefault(place, deque()).append(ticket)
        try:
            await ticket.wait()
            yield
        finally:
            self._leave(place, ticket)

    def _leave(self, place: int, ticket: _Ticket) -> None:
        if self._writing.get(place) == ticket.reply_id:
            del self._writing[place]
        elif place in self._waiting and ticket in self._waiting[place]:
            self._waiting[place].remove(ticket)
            self._tidy(place)
        self._call_next()

    def _call_next(self) -> None:
        for place in tuple(self._waiting):
            if len(self._writing) >= self._at_once:
                return
            if place not in self._writing:
                ticket = self._waiting[place].popleft()
                self._writing[place] = ticket.reply_id
                self._waiting.move_to_end(place)
                self._tidy(place)
                ticket.call()  # if it was cancelled meanwhile, it leaves by itself and the next one is called

    def _tidy(self, place: int) -> None:
        if not self._waiting[place]:
            del self._waiting[place]

    def _others_ahead(self, place: int, order: int, depth: int) -> int:
        """Of every other channel as many are called before as rounds go by."""
        return sum(
            min(len(tickets), depth + (other < order))
            for other, (one, tickets) in enumerate(self._waiting.items())
            if one != place
        )


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


MINUTE = 60.0
REMEMBERED = 2_000  # channels


class Rate:
    """When the last replies of each channel began."""

    def __init__(self) -> None:
        self._begun_at: OrderedDict[int, deque[float]] = OrderedDict()

    def until_next(self, channel_id: int, each_minute: int) -> float:
        """Seconds until the channel may have another reply; 0.0 counts that one."""
        begun = self._begun_at.setdefault(channel_id, deque())
        self._begun_at.move_to_end(channel_id)
        if len(self._begun_at) > REMEMBERED:
            self._begun_at.popitem(last=False)
        now = time.monotonic()
        while begun and begun[0] <= now - MINUTE:
            begun.popleft()
        if len(begun) >= each_minute:
            return max(begun[0] + MINUTE - now, 0.001)
        begun.append(now)
        return 0.0


HEARTBEAT = 15.0  # seconds of silence after which a follower is shown that the line is alive


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedEvent:
    """An event, with its number among those of the reply (from 1)."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(slots=True, eq=False)
class Followers:
    """The events of one reply, in order; "end" is the last one. Belongs to one event loop."""

    events: list[NumberedEvent] = field(default_factory=list)
    ended: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, name: str, **data: Any) -> None:
        """Adds an event for all followers. Nothing comes after "end"."""
        if self.ended:
            return
        self.events.append(NumberedEvent(number=len(self.events) + 1, name=name, data=data))
        self.ended = name == "end"
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, after: int = 0) -> AsyncGenerator[list[NumberedEvent], None]:
        """The events after that number, as they come, until the last one; nothing new for a while is an empty list."""
        position = max(0, after)
        while True:
            news = self._news
            if position < len(self.events):
                fresh = self.events[position:]
                position += len(fresh)
                yield fresh
                continue
            if self.ended:
                return
            try:
                await asyncio.wait_for(news.wait(), HEARTBEAT)
            except TimeoutError:
                yield []
