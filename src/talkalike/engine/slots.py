"""A bounded number of replies at once, and a bounded waiting line, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque

from talkalike.engine.protocol import EngineBusyError


class Slots:
    """Counts who may run. Holds no event loop of its own, so an engine outlives `asyncio.run`."""

    def __init__(self, count: int, *, waiting: int) -> None:
        self._free = count
        self._limit = waiting
        self._line: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Waits for a slot. Raises EngineBusyError at once when the line is full."""
        if self._free and not self._line:
            self._free -= 1
            return
        if len(self._line) >= self._limit:
            raise EngineBusyError(
                f"The model is busy: {len(self._line)} replies are waiting already.", hint="Try again in a moment."
            )
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()  # the slot arrived together with the cancellation
            elif place in self._line:
                self._line.remove(place)
            raise

    def release(self) -> None:
        """Hands the slot to the first in line who still waits."""
        while self._line:
            place = self._line.popleft()
            if not place.done() and not place.get_loop().is_closed():
                place.set_result(None)
                return
        self._free += 1
