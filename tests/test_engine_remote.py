"""The remote engine against our own server, and against a small server that misbehaves; and the scripted engine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_script import ScriptedWords
from loopback_server import answering, serving
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError, Finish, Piece, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer, api_names
from talkalike.engine.remote_reply import Lines
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn

TURNS = (Turn("system", "be kind"), Turn("Žofie Nová", "ahoj"), Turn("Bob", "hi"), Turn("Žofie Nova", "co je?"))
PROMPT = Prompt(turns=TURNS, speaker="Bob", conversation="c7")
BURST = ["one two", "with\nnewline", "\u2028 and 😂"]


def ask(
    engine: RemoteEngine | ScriptedEngine, sampling: Sampling | None = None, prompt: Prompt = PROMPT
) -> list[Piece]:
    async def run() -> list[Piece]:
        try:
            return [piece async for piece in engine.stream(prompt, sampling or Sampling())]
        finally:
            await engine.close()

    return asyncio.run(run())


def ask_at(url: str, sampling: Sampling | None = None, **known) -> list[Piece]:
    return ask(RemoteEngine(RemoteServer(base_url=url, model="m", retry_delay=0.01, **known)), sampling)


def messages(pieces: list[Piece]) -> list[str]:
    texts: dict[int, str] = {}
    for piece in pieces:
        texts[piece.message] = texts.get(piece.message, "") + piece.text
    assert [piece.finish is not None for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    return list(texts.values())


def chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


def http(body: bytes, status: str = "200 OK", extra: str = "", *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\nconnection: close\r\n{extra}\r\n".encode() + body


GOOD = http(chunk("hello") + chunk(None, "stop") + b"data: [DONE]\n\n")


def test_our_own_server_keeps_bursts_names_and_numbers():
    script = ScriptedEngine([BURST], context_length=777)

    async def run(url: str) -> tuple[RemoteEngine, list[Piece]]:
        engine = await RemoteEngine.connect(url, api_key="k")
        pieces = [piece async for piece in engine.stream(PROMPT, Sampling(max_messages=3))]
        await engine.close()
        return engine, pieces

    with serving(create_app(script, speaker="Someone else", api_key="k")) as url:
        engine, pieces = asyncio.run(run(url))
    assert (engine.name, engine.context_length) == ("scripted", 777)
    assert messages(pieces) == BURST
    assert script.prompts == [PROMPT]
    own = ask(ScriptedEngine([BURST]))
    assert sum(piece.prompt_tokens for piece in pieces) == own[0].prompt_tokens > 0
    assert [replace(piece, prompt_tokens=0) for piece in pieces] == [replace(piece, prompt_tokens=0) for piece in own]


def test_connecting_says_what_is_wrong():
    def connect(url: str, **options) -> RemoteEngine:
        return asyncio.run(RemoteEngine.connect(url, **options))

    with serving(create_app(ScriptedEngine([BURST]), speaker="Bob", api_key="secret-key")) as url:
        with pytest.raises(UserError, match="refused the API key") as refusal:
            connect(url, api_key="wrong-key")
        assert "wrong-key" not in str(refusal.value)
        with pytest.raises(UserError, match="scripted"):
            connect(url, api_key="secret-key", model="other")
        assert "secret-key" not in repr(connect(url, api_key="secret-key"))
        with pytest.raises(UserError, match=r"OpenAI|address"):
            connect(url.removesuffix("/v1"), api_key="secret-key")
    with pytest.raises(TalkalikeError, match="No server answers"):
        connect(url)
    for wrong in ("localhost:80", "", "http://[::1"):
        with pytest.raises(UserError):
            connect(wrong)


def test_other_servers_get_openais_fields_only():
    with answering([GOOD, GOOD]) as (url, requests):
        assert messages(ask_at(url)) == ["hello"]
        ask_at(url, Sampling(top_k=7, seed=3, repetition_penalty=1.1), names_in_text=True)
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests]
    assert set(bodies[0]) == {"model", "messages", "stream", "temperature", "top_p", "max_tokens"}
    assert bodies[0]["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "name": "Zofie_Nova", "content": "ahoj"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "name": "Zofie_Nova_2", "content": "co je?"},
    ]
    assert (bodies[1]["top_k"], bodies[1]["seed"], bodies[1]["repetition_penalty"]) == (7, 3, 1.1)
    assert bodies[1]["messages"][1]["content"] == "Žofie Nová: ahoj"


def test_every_option_reaches_our_own_server_and_the_narrowest_nucleus_any():
    sampling = Sampling(top_p=0, top_k=0, min_p=0.0, seed=None, max_messages=3, best_of=2)
    ours = ScriptedWords(tuple(BURST))
    other_wishes = Sampling(temperature=0.1, top_k=9, min_p=0.5, repetition_penalty=2, max_messages=1)
    with serving(create_app(ours, speaker="Bob", defaults=other_wishes)) as url:
        asyncio.run(_through(url, sampling))
    assert ours.samplings == [sampling]
    with answering([GOOD]) as (url, requests):
        ask_at(url, Sampling(top_p=0))
    assert 0 < json.loads(requests[0].partition(b"\r\n\r\n")[2])["top_p"] <= 1e-6, "some servers refuse 0"


async def _through(url: str, sampling: Sampling) -> None:
    engine = await RemoteEngine.connect(url)
    async for _ in engine.stream(PROMPT, sampling):
        pass
    await engine.close()


def test_a_text_is_continued_by_any_server_as_one_message():
    chunks = [{"text": "one\n"}, {"text": " two", "finish_reason": "length"}]
    answer = http(b"".join(b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in chunks))
    for raw in ("a text", (3, 4, 5)):
        with answering([answer]) as (url, requests):
            pieces = ask(RemoteEngine(RemoteServer(base_url=url, model="m")), prompt=Prompt(raw=raw))
        assert (messages(pieces), pieces[-1].finish) == (["one\n two"], Finish.LENGTH)
        head, _, body = requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/completions ")
        assert json.loads(body)["prompt"] == (raw if isinstance(raw, str) else list(raw))
        assert set(json.loads(body)) == {"model", "prompt", "stream", "temperature", "top_p", "max_tokens"}


@given(st.lists(st.text(max_size=80), max_size=6))
def test_api_names_are_allowed_and_distinct(speakers):
    names = api_names(speakers)
    assert set(names) == set(speakers)
    assert len(set(names.values())) == len(names)
    for name in names.values():
        assert 0 < len(name) <= 64
        assert all(character.isascii() and (character.isalnum() or character in "_-") for character in name)


@pytest.mark.parametrize(
    "first",
    [
        http(b'{"error": {"message": "slow down"}}', "429 Too Many Requests", "retry-after: 0\r\n"),
        http(b"oops", "503 Service Unavailable"),
        b"",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        http(b""),
    ],
    ids=["429", "503", "hung up", "dropped", "empty"],
)
def test_what_may_pass_is_tried_again_before_the_first_piece(first):
    with answering([first, first, GOOD]) as (url, requests):
        assert messages(ask_at(url)) == ["hello"]
        assert len(requests) == 3


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (http(b'{"error": {"message": "quota"}}', "429 No"), EngineBusyError, "busy.*quota"),
        (http(b"<html>", "500 No"), TalkalikeError, "failed with status 500"),
        (
            http(b'{"error": {"code": "context_length_exceeded", "message": "x"}}', "400 No"),
            ContextTooLongError,
            "long",
        ),
        (http(b'{"error": "text"}', "422 No"), UserError, "422"),
        (http(b"{}", "401 No"), UserError, "API key"),
        (http(b"{}", "404 No"), UserError, "does not know"),
        (http(b"<html>hello</html>\n"), TalkalikeError, "not a chat completion"),
        (http(b"data: {broken\n\n"), TalkalikeError, "not a chat completion"),
        (http(b'data: {"choices": [7]}\n\n'), TalkalikeError, "not a chat completion"),
        (http(b'data: {"error": {"message": "overloaded"}}\n\n'), TalkalikeError, "overloaded"),
        (http(b"x" * (2**20 + 10)), TalkalikeError, "not a chat completion"),
    ],
    ids=lambda value: value[9:30].decode("ascii", "replace") if isinstance(value, bytes) else None,
)
def test_failures_are_told_in_plain_words(answer, error, words):
    with answering([answer] * 4) as (url, _), pytest.raises(error, match=words) as failure:
        ask_at(url)
    assert type(failure.value) is error


def test_a_connection_lost_in_the_middle_is_not_tried_again():
    with answering([http(chunk("hel"), length=900), GOOD]) as (url, requests):
        with pytest.raises(TalkalikeError, match="lost"):
            ask_at(url)
        assert len(requests) == 1


def test_half_a_surrogate_pair_does_not_stop_a_request():
    torn = Prompt(turns=(Turn("A\ud800", "x \ud83d"),), speaker="Bob")

    async def run(url: str) -> list[Piece]:
        engine = RemoteEngine(RemoteServer(base_url=url, model="m"))
        return [piece async for piece in engine.stream(torn, Sampling())]

    with answering([GOOD]) as (url, requests):
        assert messages(asyncio.run(run(url))) == ["hello"]
    assert b"x ?" in requests[0]


def test_a_finished_reply_needs_no_done():
    with answering([http(chunk("hello") + chunk(None, "length"))]) as (url, _):
        assert ask_at(url)[-1].finish is Finish.LENGTH


@given(st.text("ab \n\r", max_size=30), st.lists(st.integers(1, 5), max_size=20), st.integers(1, 4))
def test_lines_are_messages_wherever_the_chunks_are_cut(text, sizes, most):
    parts, rest = [], text
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]

    async def choices():
        for part in [*parts, rest]:
            yield {"delta": {"content": part}}

    async def run() -> list[Piece]:
        return [piece async for piece in Lines(Sampling(max_messages=most)).pieces(choices())]

    expected = [line.strip() for line in text.split("\n") if line.strip()][:most]
    assert messages(asyncio.run(run())) == (expected or [""])


def test_the_scripted_engine_follows_its_script_and_its_limits():
    script = ScriptedEngine([["a b", "", "c"], TalkalikeError("away")])
    assert messages(ask(script)) == ["a b", "c"]
    with pytest.raises(TalkalikeError, match="away"):
        ask(script)
    assert messages(ask(script, Sampling(max_messages=1))) == ["a b"]
    cut = ask(ScriptedEngine(lambda prompt: [prompt.speaker, "x y z"]), Sampling(max_tokens=2))
    assert messages(cut) == ["Bob", "x"]
    assert cut[-1].finish is Finish.LENGTH
    with pytest.raises(TalkalikeError, match="lost"):
        ask(ScriptedEngine([["a b c"]], fail_after=1))
    assert messages(ask(ScriptedEngine([[]]))) == [""]
