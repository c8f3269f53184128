"""The scripted engine with words that hang or drop the reply where a test chooses, so that no test needs a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine

HANG = "<hang>"  # the reply goes on only when it is cancelled
DROP = "<drop>"  # the iterator ends without saying why


class ScriptedWords(ScriptedEngine):
    """Says the given bursts in turn; counts how many replies ran at once."""

    def __init__(self, *bursts: tuple[str, ...], **options) -> None:
        super().__init__(bursts, **options)
        self.samplings: list[Sampling] = []
        self.most_running = 0
        self.hanging = asyncio.Event()

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        self.samplings.append(sampling)
        async with aclosing(super().stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                self.most_running = max(self.most_running, self.running)
                if piece.text.strip() == HANG:
                    self.hanging.set()
                    await asyncio.Event().wait()
                if piece.text.strip() == DROP:
                    return
                yield piece
