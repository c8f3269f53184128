"""The body of a request to a server of ours, as far as it is allowed to go."""

from __future__ import annotations

from starlette.requests import Request

MOST_BYTES = 4 * 2**20


async def read_body(request: Request) -> bytes | None:
    """All of it; None where it is larger than MOST_BYTES, of which no more is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
