"""A burst written by a server that continues token ids: what is its own, and when it ends, is decided here.

The server sees the ids that the local engine would read, and the same choices are made of what it answers: a message
ends where the turn is closed, and the burst goes on if the model, left to itself, begins the speaker's own header. To
draw its tokens one by one has the same probability as the one draw of `engine.burst`, which knows all of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from talkalike.engine.decoding import Bytes, TextDecoder, text_decoder, token_bytes
from talkalike.engine.growing import GrowingMessage
from talkalike.engine.protocol import Finish, Piece, Sampling
from talkalike.engine.reading import Reading, special_ids
from talkalike.engine.stops import StopStrings
from talkalike.engine.token_wire import Continuation, WrittenToken
from talkalike.examples.render import Renderer

_EVEN = math.log(0.5)


class TokenServer(Protocol):
    """Whoever continues token ids: a server far away, or llama.cpp in this process."""

    def continue_ids(self, asked: Continuation) -> AsyncGenerator[WrittenToken, None]:
        """The tokens as they are written, and how it ended. Closing the generator ends the writing."""
        ...

    async def close(self) -> None:
        """Frees what it holds. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstPlan:
    """What a burst is written with, besides its prompt: the tokenizer, the model's limit, and who writes it."""

    server: TokenServer
    renderer: Renderer
    sampling: Sampling
    limit: int  # tokens the model can read
    conversation: str = ""


@dataclass(slots=True)
class _Message:
    """What of one message has arrived. `ids`: None once a token's id was not told."""

    growing: GrowingMessage
    decoder: _Decoder
    ids: list[int] | None = field(default_factory=list)
    tokens: int = 0
    text: str = ""
    finish: Finish | None = None  # None: the model closed it


class TokenBurst:
    """One reply."""

    def __init__(self, plan: BurstPlan, reading: Reading) -> None:
        self._plan = plan
        self._reading = reading
        self._seeds = random.Random(plan.sampling.seed) if plan.sampling.seed is not None else None
        self._banned = special_ids(plan.renderer) - reading.stops
        self._ids = list(reading.prompt_ids)
        self._written = 0

    async def write(self) -> AsyncGenerator[Piece, None]:
        """The reply's pieces, the last with `finish`."""
        sampling, number, growing = self._plan.sampling, 0, GrowingMessage(number=0)
        for closed in range(1, sampling.max_messages + 1):
            growing = GrowingMessage(number=number)
            message = _Message(growing, _Decoder(self._plan.renderer))
            async with aclosing(self._message(message)) as pieces:
                async for piece in pieces:
                    yield piece
            if message.finish is not None:
                yield growing.end(message.finish)
                return
            self._ids += message.ids if message.ids is not None else self._plan.renderer.encode_text(message.text)
            if closed == sampling.max_messages or not self._has_budget() or not await self._goes_on():
                break
            self._ids += self._reading.closing + self._reading.header
            number += growing.shown
        yield growing.end(Finish.STOP)

    async def _message(self, message: _Message) -> AsyncGenerator[Piece, None]:
        """One message: up to the token that closes it, also where the server would write on."""
        room = self._plan.limit - len(self._ids)
        left = min(room, self._plan.sampling.max_tokens - self._written)
        asked = Continuation(
            ids=tuple(self._ids),
            max_tokens=left,
            sampling=self._plan.sampling,
            seed=self._seed(),
            stops=self._reading.stops,
            banned=self._banned,
            conversation=self._plan.conversation,
        )
        markers = (self._plan.renderer.tokenizer.id_to_token(stop) for stop in sorted(self._reading.stops))
        stops = StopStrings([marker for marker in markers if marker])
        closed = False
        async with aclosing(self._plan.server.continue_ids(asked)) as saying:
            async for said in saying:
                if said.finish or said.token in self._reading.stops:
                    message.finish = Finish.LENGTH if said.finish == "length" and not closed else None
                    closed = True
                    continue  # to the end of the stream, so that the connection can be used again
                if closed:
                    break  # it writes on after the end
                for piece in self._pushed(message, said, stops):
                    yield piece
                closed = stops.found
                if closed or message.tokens >= left:
                    message.finish = None if closed else Finish.LENGTH
                    break
        for piece in [] if stops.found else stops.rest():
            message.text += piece.text
            yield piece
        self._written += message.tokens + (message.finish is None)

    def _pushed(self, message: _Message, said: WrittenToken, stops: StopStrings) -> list[Piece]:
        """What may be shown of a token. Where only text comes, a marker in it closes the message."""
        text, untold = message.decoder.push(said)
        for token in untold:
            message.growing.push("", token, None)
        piece = message.growing.push(text, said.token, said.logprob)
        message.tokens += len(untold) + 1
        if said.token is None:
            message.ids = None
        elif message.ids is not None:
            message.ids += [*untold, said.token]
        if piece is None:
            return []
        shown = stops.push(piece) if said.token is None else [piece]
        message.text += "".join(one.text for one in shown)
        return shown

    def _has_budget(self) -> bool:
        following = len(self._ids) + len(self._reading.closing) + len(self._reading.header) + 1
        return self._written < self._plan.sampling.max_tokens and following < self._plan.limit

    async def _goes_on(self) -> bool:
        """Whether the model hands the turn to the same speaker: it is let write the header as far as that decides."""
        wanted = self._reading.header[: self._reading.deciding]
        asked = Continuation(
            ids=tuple(self._ids + self._reading.closing),
            max_tokens=len(wanted),
            sampling=self._plan.sampling,
            seed=self._seed(),
            filtered=False,
            conversation=self._plan.conversation,
        )
        found: list[WrittenToken] = []
        async with aclosing(self._plan.server.continue_ids(asked)) as saying:
            async for said in saying:
                if said.finish:
                    break
                found.append(said)
                place = len(found) - 1
                if said.token is not None and (place >= len(wanted) or said.token != wanted[place]):
                    return False
                if len(found) == len(wanted):
                    break
        if not found or any(said.token is None for said in found):
            return self._is_header("".join(said.text for said in found), wanted)
        if len(found) < len(wanted):
            return False
        known = [said.logprob for said in found if said.logprob is not None]
        if self._plan.sampling.temperature > 0.0 or len(known) < len(found):
            return True
        return sum(known) > _EVEN  # the likeliest tokens are not yet a likely header

    def _is_header(self, text: str, wanted: list[int]) -> bool:
        """The same from text, for servers that tell no ids; they may leave out the markers."""
        tokenizer = self._plan.renderer.tokenizer
        bare = tokenizer.decode(wanted, skip_special_tokens=True)
        return bool(bare.strip()) and text in (bare, tokenizer.decode(wanted, skip_special_tokens=False))

    def _seed(self) -> int | None:
        """A seed of its own for each request, so that messages do not draw alike; the same for the same reply."""
        return self._seeds.getrandbits(31) if self._seeds is not None else None


class _Decoder:
    """Text from what a server tells of a token, never half a character."""

    def __init__(self, renderer: Renderer) -> None:
        self._tokenizer = renderer.tokenizer
        self._by_bytes = isinstance(renderer.tokenizer.decoder, ByteLevel)
        self._bytes = Bytes()
        self._ids: TextDecoder = text_decoder(renderer.tokenizer)

    def push(self, said: WrittenToken) -> tuple[str, list[int]]:
        """The characters that are whole now, and the tokens before this one that arrived as bytes without their ids."""
        if said.data is not None and self._by_bytes:
            untold: list[int] = []
            if said.token is not None:
                own = token_bytes(self._tokenizer, said.token)
                untold = self._tokens_of(said.data.removesuffix(own))
            return self._bytes.push(said.data), untold
        if said.token is not None:
            return self._ids.push(said.token), []
        return said.text, []

    def _tokens_of(self, data: bytes) -> list[int]:
        """Tokens for the beginning of a character, the longest first, as byte pairs were joined."""
        table, found = _tokens_by_bytes(self._tokenizer), list[int]()
        while data:
            size = next((size for size in range(len(data), 0, -1) if data[:size] in table), 0)
            if not size:
                break
            found.append(table[data[:size]])
            data = data[size:]
        return found


@lru_cache(maxsize=4)  # tokenizers of the doubles in use
def _tokens_by_bytes(tokenizer: Tokenizer) -> dict[bytes, int]:
    vocabulary = tokenizer.get_vocab(with_added_tokens=False).values()
    return {token_bytes(tokenizer, token): token for token in vocabulary}
