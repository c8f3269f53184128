"""A whole reply at once, for those who need no live view of it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from talkalike.engine.protocol import Engine, Finish, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A reply with its end; `pieces` as the engine gave them, the last with `finish`."""

    pieces: tuple[Piece, ...]

    @property
    def messages(self) -> tuple[str, ...]:
        """The texts of the burst's messages, the markers of reactions in them; one empty text where it is silence."""
        texts = [""] * (self.pieces[-1].message + 1)
        for piece in self.pieces:
            texts[piece.message] += piece.text
        return tuple(texts)

    @property
    def finish(self) -> Finish:
        finish = self.pieces[-1].finish
        assert finish is not None
        return finish

    @property
    def tokens(self) -> int:
        """Tokens written for it, those of replies it was chosen over included."""
        return sum(len(piece.token_ids) + piece.discarded for piece in self.pieces)


async def collect(engine: Engine, prompt: Prompt, sampling: Sampling) -> Collected:
    """Drains the engine's stream and closes it. Raises TalkalikeError where the reply has no end of its own."""
    async with aclosing(engine.stream(prompt, sampling)) as stream:
        pieces = tuple([piece async for piece in stream])
    if not pieces or pieces[-1].finish in (None, Finish.CANCELLED):
        raise TalkalikeError("The reply broke off before its end.", hint="Ask again.")
    return Collected(pieces=pieces)
