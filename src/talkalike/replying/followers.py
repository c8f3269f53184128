"""What is told of a reply while it is written, for whoever follows: each may come late, leave, and come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

HEARTBEAT = 15.0  # seconds of silence after which a follower is shown that the line is alive


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, with its number among those of the reply (from 1)."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(slots=True, eq=False)
class Followers:
    """The events of one reply, in order; "end" is the last one. Belongs to one event loop."""

    events: list[Told] = field(default_factory=list)
    ended: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, name: str, **data: Any) -> None:
        """Tells all who follow it. Nothing comes after "end"."""
        if self.ended:
            return
        self.events.append(Told(number=len(self.events) + 1, name=name, data=data))
        self.ended = name == "end"
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Told], None]:
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
