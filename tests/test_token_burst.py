"""What is decided here of a reply that a server continues: whether a burst goes on, and which tokens were not told."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator

import pytest

from talkalike.engine.decoding import token_bytes
from talkalike.engine.protocol import Piece, Sampling
from talkalike.engine.reading import read_prompt
from talkalike.engine.token_burst import BurstPlan, TokenBurst
from talkalike.engine.token_wire import Continuation, WrittenToken
from talkalike.examples.render import Renderer, Turn
from tiny_model import byte_level_tokenizer

RENDERER = Renderer(byte_level_tokenizer())
READING = read_prompt(RENDERER, [Turn("Bob", "hi"), Turn("Annabel", "yo")], "Anna", ())
HEADER = READING.header[: READING.deciding]
OTHER = RENDERER.encode_text("?")[0]


class Server:
    """Writes "a" as each message, and each token of the next header with the probability `each`."""

    def __init__(self, each: float, *, tells: bool = True, written: list[WrittenToken] | None = None) -> None:
        self.each = each
        self.tells = tells
        self.draws = random.Random(1)
        self.asked: list[Continuation] = []
        self.written = written or [WrittenToken(token=RENDERER.encode_text("a")[0], logprob=-0.5)]

    async def continue_ids(self, asked: Continuation) -> AsyncGenerator[WrittenToken, None]:
        self.asked.append(asked)
        if asked.filtered:
            for said in self.written:
                yield said
            yield WrittenToken(token=RENDERER.stop_id, logprob=-0.1)
            yield WrittenToken(finish="stop")
            return
        for wanted in HEADER[: asked.max_tokens]:
            right = self.each > 0.5 if asked.sampling.temperature == 0 else self.draws.random() < self.each
            yield WrittenToken(token=wanted if right else OTHER, logprob=math.log(self.each) if self.tells else None)
        yield WrittenToken(finish="length")

    async def close(self) -> None:
        """Nothing to free."""


def write(server: Server, *, temperature: float, most: int = 2) -> list[Piece]:
    sampling = Sampling(temperature=temperature, max_messages=most)
    plan = BurstPlan(server=server, renderer=RENDERER, sampling=sampling, limit=400)

    async def run() -> list[Piece]:
        return [piece async for piece in TokenBurst(plan, READING).write()]

    return asyncio.run(run())


def test_a_burst_goes_on_as_often_as_the_whole_header_is_likely() -> None:
    assert len(HEADER) >= 3, "Anna and Annabel begin alike"
    server = Server(0.8)
    goes = sum(write(server, temperature=1.0)[-1].message for _ in range(400)) / 400
    wanted = 0.8 ** len(HEADER)
    assert abs(goes - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 400)
    deciding = [one for one in server.asked if not one.filtered]
    text = RENDERER.encode_text("a")
    assert all(list(one.ids) == READING.prompt_ids + text + READING.closing for one in deciding)
    again = [one for one in server.asked if one.filtered and len(one.ids) > len(READING.prompt_ids)]
    assert again and all(list(one.ids) == READING.prompt_ids + text + READING.closing + READING.header for one in again)


@pytest.mark.parametrize(
    ("each", "tells", "goes_on"), [(0.95, True, 1), (0.6, True, 0), (0.6, False, 1), (0.4, True, 0)]
)
def test_at_temperature_0_the_header_must_be_likelier_than_all_else(each: float, tells: bool, goes_on: int) -> None:
    """The likeliest tokens may each be the header's, and the header still not likely; without numbers they decide."""
    assert write(Server(each, tells=tells), temperature=0.0)[-1].message == goes_on


def test_tokens_that_were_not_told_are_found_by_their_bytes() -> None:
    """As llama.cpp leaves them out: the character's first bytes come with its last token."""
    ids = RENDERER.encode_text("x🎉")
    assert len(ids) > 2
    data = [token_bytes(RENDERER.tokenizer, token) for token in ids]
    told = [
        WrittenToken(token=ids[0], data=data[0], logprob=-0.5),
        WrittenToken(token=ids[-1], data=b"".join(data[1:]), logprob=-0.7),
    ]
    pieces = write(Server(0.99, written=told), temperature=0.0, most=1)
    assert "".join(piece.text for piece in pieces) == "x🎉"
    assert [token for piece in pieces for token in piece.token_ids] == ids
    assert [len(piece.logprobs) for piece in pieces] == [1, 0, 0], "no number stands for several tokens"
