"""The waiting line: a few replies are written at once, one at most in a place, and places take turns.

    async with line.turn(place, reply_id): ...

A channel where everybody talks at once cannot keep the others waiting: of each channel one is let in, then the next
channel's. Leaving the block, being cancelled in it or while waiting for it, frees the place.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

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


class Line:
    """Who writes and who waits. Belongs to one event loop."""

    def __init__(self, *, at_once: int = UNBOUNDED, max_waiting: int = UNBOUNDED) -> None:
        self._at_once = at_once
        self._max_waiting = max_waiting
        self._writing: dict[int, int] = {}  # channel -> reply
        self._waiting: OrderedDict[int, deque[_Ticket]] = OrderedDict()  # channel -> its line; the first is called next

    def __len__(self) -> int:
        """How many wait."""
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

    def turned_away(self) -> LineFullError:
        """What to tell where it is full."""
        return LineFullError(f"{len(self)} replies are waiting already.", hint="Please ask again in a minute or two.")

    @asynccontextmanager
    async def turn(self, place: int, reply_id: int) -> AsyncGenerator[None, None]:
        """Waits for the reply's turn. Raises LineFullError instead of waiting behind too many."""
        ticket = _Ticket(reply_id)
        if self.free(place):
            self._writing[place] = reply_id
            ticket.called.set()
        elif self.full(place):
            raise self.turned_away()
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
