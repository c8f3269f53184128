"""Several servers behind one address: a conversation stays where it is in memory, and moves when its server is gone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager

import httpx
import pytest

from command_line import talkalike
from loopback_server import answering, serving
from talkalike.engine.collecting import collect
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.remote_http import conversation_header
from talkalike.engine.router import Router, routing_key
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Turn

TALKS = [f"channel {number}" for number in range(8)]


def prompt(conversation: str) -> Prompt:
    return Prompt(turns=(Turn("Bob", "hi"),), speaker="Anna", conversation=conversation)


async def ask(url: str, talks: list[str]) -> list[str]:
    """Who answered each of the conversations."""
    engine = await RemoteEngine.connect(url, api_key="k")
    try:
        return [(await collect(engine, prompt(talk), Sampling())).messages[0] for talk in talks]
    finally:
        await engine.close()


@contextmanager
def engines(*names: str) -> Iterator[dict[str, str]]:
    """Servers of ours, each of which answers with its own name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving(create_app(ScriptedEngine([[name]], name="anna"), speaker="Anna", api_key="k"))
            )
            for name in names
        }


def test_a_conversation_stays_with_its_server_and_moves_only_when_that_is_gone() -> None:
    with engines("one") as first, engines("two") as second:
        with serving(Router([*first.values(), *second.values()]).app()) as url:
            before = asyncio.run(ask(url, TALKS))
            assert asyncio.run(ask(url, TALKS[::-1])) == before[::-1]
            assert 1 <= before.count("one") <= 7, "both have some"
            told = httpx.get(url.removesuffix("v1") + "health").json()
            assert [server["answered"] > 0 for server in told["servers"]] == [True, True]
        with serving(Router([*second.values(), *first.values()]).app()) as url:
            assert asyncio.run(ask(url, TALKS)) == before, "whatever the order in which they are named"
        with serving(Router([*first.values(), "http://127.0.0.1:1/v1"]).app()) as url:
            assert asyncio.run(ask(url, TALKS)) == ["one"] * len(TALKS)
        with engines("three") as third:
            three = [*first.values(), *second.values(), *third.values()]
            with serving(Router(three).app()) as url:
                after = asyncio.run(ask(url, TALKS))
    moved = [new for old, new in zip(before, after, strict=True) if new != old]
    assert set(moved) <= {"three"}, "what moves, moves to the new one"


def test_a_server_that_is_busy_or_breaks_off() -> None:
    busy = b"HTTP/1.1 503 No\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy"
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\ndata: {"
    body = json.dumps({"model": "m", "prompt": "x"}).encode()
    with (
        answering([busy]) as (first, asked),
        answering([busy]) as (second, _),
        serving(Router([first, second]).app()) as url,
    ):
        answer = httpx.post(f"{url}/completions?a=1", content=body, headers={"authorization": "Bearer k"})
        assert (answer.status_code, answer.text) == (503, "busy"), "what a server said is told"
        assert b"POST /v1/completions?a=1 " in asked[0] and b"authorization: Bearer k" in asked[0]
        assert httpx.get(url.removesuffix("v1") + "health").status_code == 503
    with answering([half, half]) as (first, asked), serving(Router([first]).app()) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/completions", content=body)
        assert len(asked) == 1, "what began to answer is not asked again"


def test_who_leaves_the_router_leaves_the_server() -> None:
    slow = ScriptedEngine([["a " * 500]], name="anna", delay=0.01)

    async def leave(url: str) -> None:
        engine = await RemoteEngine.connect(url)
        async with aclosing(engine.stream(prompt("c"), Sampling())) as pieces:
            await anext(pieces)
        await engine.close()

    with serving(create_app(slow, speaker="Anna")) as first, serving(Router([first]).app()) as url:
        asyncio.run(leave(url))
        until = time.monotonic() + 5
        while slow.running and time.monotonic() < until:
            time.sleep(0.01)
        assert not slow.running


def test_what_decides() -> None:
    told = conversation_header("anna", "c1")
    assert routing_key(told, b"{}") == next(iter(told.values()))
    assert conversation_header("anna", "c2") != told != conversation_header("ben", "c1")
    assert "c1" not in str(told) and conversation_header("anna", "") == {}
    same = [{"model": "m", "user": "u", "prompt": text} for text in ("a", "b")]
    assert len({routing_key({}, json.dumps(body).encode()) for body in same}) == 1
    others = [{"model": "m", "prompt": [1, 2]}, {"model": "m", "prompt": [3, 4]}, {"model": "n", "prompt": [3, 4]}, []]
    assert len({routing_key({}, json.dumps(body).encode()) for body in others}) == 4
    odd = [
        b"\xff",
        b"[" * 100_000,
        b"5",
        b'{"prompt": 5}',
        b'{"messages": {"a": 1}}',
        b'{"prompt": [[[1]]], "user": [2]}',
    ]
    assert [routing_key({}, body) for body in odd[:3]] == ["", "", ""]
    assert len({routing_key({}, body) for body in odd[3:]}) == 3


def test_the_answer_of_a_busy_server_is_closed_when_another_takes_over() -> None:
    busy = b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy"
    fine = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine"
    with answering([busy]) as (first, _), answering([fine]) as (second, _):
        router = Router([first, second])
        router._ranked = lambda _key: router._upstreams  # type: ignore[method-assign]
        with serving(router.app()) as url:
            assert httpx.post(f"{url}/completions", content=b"{}").text == "fine"
            transport = router._client._transport
            assert isinstance(transport, httpx.AsyncHTTPTransport)
            until = time.monotonic() + 5  # the answer that was passed on is closed after its last byte has gone out
            while transport._pool.connections and time.monotonic() < until:
                time.sleep(0.01)
            assert transport._pool.connections == []


def test_nobody_is_let_through_to_a_server_without_a_key() -> None:
    with serving(create_app(ScriptedEngine([["x"]]), speaker="Anna")) as open_server:
        refused = talkalike("route", open_server, "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2 and "answers without a key" in refused.err
    wrong = talkalike("route", "localhost:8000")
    assert wrong.code == 2 and "is not the address of a server" in wrong.err


def test_all_servers_gone_is_said() -> None:
    with (
        serving(Router(["http://127.0.0.1:1/v1"]).app()) as url,
        pytest.raises(TalkalikeError, match="None of the servers"),
    ):
        assert httpx.post(f"{url}/completions", content=b"x" * (2**22 + 1)).status_code == 413
        asyncio.run(ask(url, TALKS[:1]))
