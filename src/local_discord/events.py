"""What happened, on its way to the gateway and to the page."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_discord.model import Message

Payload = dict[str, Any]
"""What Discord sends: JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A gateway event and who may have it: members of the server who see the channel, or `only` those listed.

    `message`: the message in the payload, for the message content intent.
    """

    name: str
    payload: dict[str, Any]
    server_id: int | None = None
    channel_id: int | None = None
    only: frozenset[int] | None = None
    message: Message | None = None


class Subscription:
    """An async iterator of (name, payload). Falls behind by `limit` events at most; then the oldest go (`lost`)."""

    def __init__(self, wanted: Callable[[Event], bool], leave: Callable[[Subscription], None], limit: int) -> None:
        self._wanted = wanted
        self._leave = leave
        self._events: deque[tuple[str, dict[str, Any]]] = deque()
        self._limit = limit
        self._wake = asyncio.Event()
        self._closed = False
        self.lost = 0

    def push(self, event: Event) -> None:
        if self._closed or not self._wanted(event):
            return
        if len(self._events) >= self._limit:
            self._events.popleft()
            self.lost += 1
        self._events.append((event.name, event.payload))
        self._wake.set()

    def close(self) -> None:
        """Ends the iteration; what is waiting is still handed out."""
        self._closed = True
        self._leave(self)
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> tuple[str, dict[str, Any]]:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    async def wait_for(self, name: str, check: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next event of that name that passes the check; earlier ones are skipped."""
        async for found, payload in self:
            if found == name and check(payload):
                return payload
        raise LookupError(f"The subscription was closed before {name} came.")
