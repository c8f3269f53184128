"""The largest body that a request may have. Django would write any size to the disk before anybody looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from talkalike.website.middleware import HEADERS

MAX_BODY = 12 * 2**20  # bytes: a picture at its cap, with the form around it
DROPPED = 8  # times the cap: so much of a body that is too large is read and dropped
TOO_LARGE = b"What you sent is too large for this site. Nothing was changed.\n"

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BodyCap:
    """An ASGI application around another; answers 413 where a body is too large, announced or not."""

    def __init__(self, app: Any, *, most: int = MAX_BODY) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if lengths and lengths[0].isdigit() and int(lengths[0]) > self.most:
            await _refuse(receive, send, dropped=self.most * DROPPED)
            return
        received, too_large = 0, False

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most:
                too_large = True
                return {"type": "http.disconnect"}  # Django drops what it has, and answers nothing
            return message

        await self.app(scope, counted, send)
        if too_large:
            await _refuse(receive, send, dropped=self.most * DROPPED)


async def _refuse(receive: Receive, send: Send, *, dropped: int) -> None:
    # Most browsers read the answer only once they have sent everything: so some more is taken, and thrown away.
    more = True
    while more and dropped > 0:
        message = await receive()
        dropped -= len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    headers = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 413, "headers": raw})
    await send({"type": "http.response.body", "body": TOO_LARGE})
