"""Replies that are being written: each is a task that goes on when every reader has left, and that readers can follow.

Belongs to one event loop; views reach it through `async def`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from talkalike.errors import UserError

MOST_AT_ONCE = 3  # replies of one visitor that are written or wait
HEARTBEAT = 15.0  # seconds after which a silent connection is shown to be alive


@dataclass(slots=True, eq=False, kw_only=True)
class LiveReply:
    """A reply on its way. `events` are (name, data) in order; the last one is "end"."""

    id: int
    conversation_id: int
    owner: str
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ended: bool = False
    stopped: bool = False
    begun: bool = False
    before: list[asyncio.Task[None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, name: str, **data: Any) -> None:
        """Tells all who follow it."""
        self.events.append((name, data))
        self.ended = self.ended or name == "end"
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The events from number `after` on as server-sent events, until the last one."""
        position = max(0, after)
        while True:
            news = self._news
            while position < len(self.events):
                fresh = self.events[position:]
                yield b"".join(sse(position + index + 1, *event) for index, event in enumerate(fresh))
                position += len(fresh)
            if self.ended:
                return
            try:
                await asyncio.wait_for(news.wait(), HEARTBEAT)
            except TimeoutError:
                yield b": still there\n\n"

    async def turn(self) -> None:
        """Waits until the replies before it in its conversation have ended."""
        waiting, self.before = [task for task in self.before if not task.done()], []
        if waiting:
            self.tell("wait")
            await asyncio.wait(waiting)

    async def wait(self) -> None:
        """Until it has ended; whoever waits can leave without stopping it."""
        if self.task is not None:
            await asyncio.wait({self.task})


Write = Callable[[LiveReply], Awaitable[None]]


class Live:
    """All replies being written in this process, and whose turn it is in each conversation."""

    def __init__(self) -> None:
        self._replies: dict[int, LiveReply] = {}

    def get(self, reply_id: int) -> LiveReply | None:
        """The reply, while it is being written."""
        return self._replies.get(reply_id)

    def of_conversation(self, conversation_id: int) -> list[LiveReply]:
        """Those that are written or wait, in order."""
        return [one for one in self._replies.values() if one.conversation_id == conversation_id]

    def count(self, owner: str) -> int:
        """How many replies to somebody are written or wait."""
        return sum(one.owner == owner for one in self._replies.values())

    def require_room(self, owner: str) -> None:
        """Raises UserError where somebody has as many replies under way as one may."""
        if self.count(owner) >= MOST_AT_ONCE:
            raise UserError(
                "The double is still busy with what you said before.",
                hint="Wait until it has answered, or stop it. Nothing of what you wrote just now was sent.",
            )

    def start(self, reply: LiveReply, write: Write) -> LiveReply:
        """Begins to write it; `write` awaits its turn."""
        reply.before = [one.task for one in self.of_conversation(reply.conversation_id) if one.task is not None]
        self._replies[reply.id] = reply
        reply.task = asyncio.get_running_loop().create_task(self._run(reply, write))
        return reply

    async def stop(self, reply: LiveReply) -> None:
        """Ends it; what was written stays. Returns when its end is in the store."""
        if not reply.stopped and not reply.ended and reply.task is not None:
            reply.stopped = True
            if reply.begun:  # else it finds out itself: a task that was cancelled before its first step never runs
                reply.task.cancel()
        await reply.wait()

    async def _run(self, reply: LiveReply, write: Write) -> None:
        reply.begun = True
        try:
            await write(reply)
        finally:
            self._replies.pop(reply.id, None)
            if not reply.ended:
                reply.tell("end")


def sse(number: int, name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so the data is one line."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


LIVE = Live()
