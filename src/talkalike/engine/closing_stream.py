"""An answer that is streamed, and ends its source when the client leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Send


class ClosingStream(StreamingResponse):
    """Closes its source at once when the client leaves."""

    def __init__(self, source: AsyncIterator[bytes], *, headers: Mapping[str, str], status_code: int = 200) -> None:
        super().__init__(source, headers=headers, status_code=status_code)
        self._source: Any = source

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._source):
            await super().stream_response(send)
