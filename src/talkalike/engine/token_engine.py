"""An engine over whoever continues token ids: the double's own tokenizer and form of text, computed by others."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from talkalike.engine.protocol import Finish, Piece, Prompt, Sampling
from talkalike.engine.reading import read_within
from talkalike.engine.slots import Slots
from talkalike.engine.token_burst import BurstPlan, TokenBurst, TokenServer
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.tokenizer import load_tokenizer

_MANY = 10_000  # replies at once, where the server on the other side has a line of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleText:
    """What is known here of a double that computes elsewhere: its name, its people, its tokenizer, its context."""

    name: str
    speakers: tuple[str, ...]
    renderer: Renderer
    context_length: int

    @classmethod
    def of(cls, name: str, speakers: tuple[str, ...], base: Path, *, context_length: int) -> DoubleText:
        """The double whose vocabulary lies in the folder of its base. UserError where there is none."""
        return cls(name=name, speakers=speakers, renderer=Renderer(load_tokenizer(base)), context_length=context_length)


class TokenEngine:
    """An `Engine` whose prompts and replies are token ids.

    `slots`: replies at once; `waiting`: replies that may wait for a slot before EngineBusyError. `notes`: what a person
    should know of this server, in sentences.
    """

    def __init__(
        self,
        double: DoubleText,
        server: TokenServer,
        *,
        slots: int = _MANY,
        waiting: int = 64,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = notes
        self._double = double
        self._server = server
        self._slots = Slots(slots, waiting=waiting)
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        return self._double.name

    @property
    def context_length(self) -> int:
        """Tokens the prompt and the reply may have together."""
        return self._double.context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        return self._double.renderer.count_tokens(turns)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply as it is written. Raises ContextTooLongError, EngineBusyError; UserError for bad sampling."""
        sampling.check()
        if self._closed.is_set():
            raise TalkalikeError("The engine is closed.")
        if prompt.raw is not None:
            sampling = replace(sampling, max_messages=1)
        double = self._double
        reading = await read_within(double.renderer, prompt, others=double.speakers, limit=double.context_length)
        plan = BurstPlan(
            server=self._server,
            renderer=double.renderer,
            sampling=sampling,
            limit=double.context_length,
            conversation=prompt.conversation,
        )
        await self._slots.acquire()
        try:
            prompt_tokens = len(reading.prompt_ids)
            async with aclosing(TokenBurst(plan, reading).write()) as pieces:
                async for piece in pieces:
                    yield replace(piece, prompt_tokens=prompt_tokens)
                    prompt_tokens = 0
        except TalkalikeError:
            if not self._closed.is_set():
                raise
            yield Piece(text="", finish=Finish.CANCELLED)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Ends running replies and lets the server go."""
        self._closed.set()
        await self._server.close()
