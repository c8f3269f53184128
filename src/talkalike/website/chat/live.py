"""Replies that are being written: each is a task that goes on when every reader has left, and that readers can follow.

Belongs to one event loop; views reach it through `async def`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from talkalike.errors import UserError
from talkalike.replying.queue import Followers, Line
from talkalike.replying.session import Reply, Session
from talkalike.store.recording import ReplyState
from talkalike.website.chat.reply import WebReply

MOST_AT_ONCE = 3  # replies of one visitor that are written or wait


class Live:
    """All replies being written in this process; of one conversation one at a time."""

    def __init__(self) -> None:
        # Visitors' own limits and the engine's line bound what is written at once.
        self.session: Session[WebReply] = Session(Line())

    def get(self, reply_id: int) -> Reply[WebReply] | None:
        """The reply, while it is being written."""
        return next((one for one in self._all() if one.id == reply_id), None)

    def of_conversation(self, conversation_id: int) -> list[Reply[WebReply]]:
        """Those that are written or wait, in order."""
        found = [one for one in self._all() if one.face.conversation_id == conversation_id]
        return sorted(found, key=lambda one: one.face.reply_id)

    def count(self, owner: str) -> int:
        """How many replies to somebody are written or wait."""
        return sum(one.face.owner == owner for one in self._all())

    def require_room(self, owner: str) -> None:
        """Raises UserError where somebody has as many replies under way as one may."""
        if self.count(owner) >= MOST_AT_ONCE:
            raise UserError(
                "The double is still busy with what you said before.",
                hint="Wait until it has answered, or stop it. Nothing of what you wrote just now was sent.",
            )

    def start(self, face: WebReply) -> Reply[WebReply]:
        """Begins to write it."""
        reply = Reply(face=face, id=face.reply_id)
        self.session.start(reply)
        return reply

    def _all(self) -> list[Reply[WebReply]]:
        """Until their end is in the store."""
        return [*self.session.replies, *self.session.ending]

    async def stop(self, reply: Reply[WebReply]) -> None:
        """Ends it; what was written stays. Returns when its end is in the store."""
        await self.session.stop(reply, ReplyState.CANCELLED)


async def stream(followers: Followers, after: int = 0) -> AsyncGenerator[bytes, None]:
    """The events from number `after` on as server-sent events, until the last one."""
    async for fresh in followers.follow(after):
        yield b"".join(sse(one.number, one.name, one.data) for one in fresh) or b": still there\n\n"


def sse(number: int, name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so the data is one line."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


LIVE = Live()
