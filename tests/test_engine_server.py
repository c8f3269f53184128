"""The API through the official client, over uvicorn on a loopback port."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopback_server import serving
from talkalike.engine.api_fields import ApiError
from talkalike.engine.api_request import parse_chat_request
from talkalike.engine.listening import open_socket
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app, listen
from talkalike.engine.stops import StopStrings
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.models.load import load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama

ASKED = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "name": "Žofie", "content": "ahoj"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": [{"type": "text", "text": "how "}, {"type": "text", "text": "are you?"}]},
]


def client(url: str, key: str = "right") -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=30)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> LocalEngine:
    folder = build_tiny_llama(tmp_path_factory.mktemp("models") / "tiny")
    return LocalEngine(load_for_inference(folder, catalog=Catalog(folder.parent), dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def local(tiny) -> Iterator[str]:
    with serving(create_app(tiny, speaker="Bob", api_key="right")) as url:
        yield url


def test_whole_and_streamed_answers_agree_with_the_engine(tiny, local):
    turns = (Turn("system", "be brief"), Turn("Žofie", "ahoj"), Turn("Bob", "hi"), Turn("user", "how are you?"))

    async def direct() -> list[Piece]:
        sampling = Sampling(temperature=0.0, top_p=0.95, max_tokens=24)
        return [piece async for piece in tiny.stream(Prompt(turns=turns, speaker="Bob"), sampling)]

    pieces = asyncio.run(direct())
    with client(local) as api:
        settings = {"model": "tiny", "messages": ASKED, "temperature": 0, "max_completion_tokens": 24}
        whole = api.chat.completions.create(**settings, logprobs=True)
        chunks = list(api.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    choice = whole.choices[0]
    assert choice.message.content == "".join(piece.text for piece in pieces)
    assert choice.finish_reason == "length"
    own = [value for piece in pieces for value in piece.logprobs]
    assert [token.logprob for token in choice.logprobs.content] == pytest.approx(own, abs=1e-4)
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == choice.message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage == whole.usage
    assert whole.usage.prompt_tokens == len(tiny._renderer.prompt(turns, "Bob"))
    assert whole.usage.completion_tokens == len(own)


def test_models_health_and_refusals(local):
    with client(local) as api:
        assert [model.id for model in api.models.list()] == ["tiny"]
        assert api.models.retrieve("tiny").owned_by == "talkalike"
        with pytest.raises(openai.NotFoundError, match="tiny"):
            api.chat.completions.create(model="other", messages=ASKED)
        with pytest.raises(openai.BadRequestError, match="temperature"):
            api.chat.completions.create(model="tiny", messages=ASKED, temperature=-1)
        with pytest.raises(openai.APIStatusError, match="tokens") as too_long:
            api.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "word " * 2000}])
        assert (too_long.value.status_code, too_long.value.code) == (413, "context_length_exceeded")
    for key in ("wrong", "righ", "rightx"):
        with client(local, key) as api, pytest.raises(openai.AuthenticationError):
            api.models.list()
    assert httpx.get(f"{local}/models").status_code == 401
    with httpx.Client(base_url=local.removesuffix("v1"), headers={"authorization": "Bearer right"}) as http:
        assert http.get("health").json() == {"status": "ok", "model": "tiny"}
        assert http.post("v1/chat/completions", content=b"{").status_code == 415
        json_type = {"content-type": "application/json"}
        broken = http.post("v1/chat/completions", content=b"{", headers=json_type)
        assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")
        huge = http.post("v1/chat/completions", content=b" " * (5 * 2**20), headers=json_type)
        assert huge.status_code == 413
        halves = b'{"role": "user", "name": "\\ud800", "content": "\\udc00"}'  # of surrogate pairs
        torn = b'{"model": "tiny", "max_tokens": 2, "messages": [' + halves + b"]}"
        assert http.post("v1/chat/completions", content=torn, headers=json_type).status_code == 200
        assert http.get("v1/nothing").json()["error"]["message"]
        assert http.get("v1/chat/completions").status_code == 405


def test_many_clients_at_once_each_get_their_own_answer(local):
    async def ask(api: openai.AsyncOpenAI, number: int) -> str:
        answer = await api.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": f"hello {number}"}], seed=number, max_tokens=10
        )
        return answer.choices[0].message.content

    async def run(numbers: list[int]) -> list[str]:
        async with openai.AsyncOpenAI(base_url=local, api_key="right", max_retries=0) as api:
            return await asyncio.gather(*(ask(api, number) for number in numbers))

    together = asyncio.run(run([1, 2, 3, 4, 5, 6]))
    alone = [asyncio.run(run([number]))[0] for number in (1, 6)]
    assert [together[0], together[5]] == alone
    assert len(set(together)) > 1


def test_bursts_are_joined_by_newlines_and_marked():
    engine = ScriptedEngine([["one two", "three\nlines", "four"]])
    with serving(create_app(engine, speaker="Bob")) as url, client(url) as api:
        whole = api.chat.completions.create(model="scripted", messages=ASKED).choices[0]
        chunks = list(api.chat.completions.create(model="scripted", messages=ASKED, stream=True))
        stopped = api.chat.completions.create(model="scripted", messages=ASKED, stop=["ee\nli", "zz"]).choices[0]
        first_line = api.chat.completions.create(model="scripted", messages=ASKED, stop="\n").choices[0]
    assert whole.message.content == "one two\nthree\nlines\nfour"
    assert whole.talkalike["messages"] == ["one two", "three\nlines", "four"]
    marked = [(chunk.choices[0].delta.content, chunk.choices[0].talkalike["message"]) for chunk in chunks[1:-1]]
    assert marked == [("one", 0), (" two", 0), ("\nthree", 1), ("\nlines", 1), ("\nfour", 2)]
    assert (stopped.message.content, stopped.finish_reason) == ("one two\nthr", "stop")
    assert first_line.message.content == "one two"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_ends_the_reply(streaming):
    engine = ScriptedEngine([["word " * 5000]], delay=0.01)

    async def leave(url: str) -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as api:
            asked = api.chat.completions.create(
                model="scripted", messages=ASKED, stream=streaming, max_tokens=4000, extra_body={"speaker": "Bob"}
            )
            if streaming:
                stream = await asked
                await anext(aiter(stream))
                assert engine.running == 1
                await stream.close()
                return
            task = asyncio.create_task(asked)
            while not engine.running:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(create_app(engine, speaker="Bob")) as url:
        asyncio.run(leave(url))
        deadline = time.monotonic() + 10
        while engine.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert engine.running == 0


def test_a_full_line_and_a_failing_engine_have_their_status(tiny):
    narrow = LocalEngine(tiny._loaded, slots=1, waiting=0)
    with (
        serving(create_app(narrow, speaker="Bob")) as url,
        client(url) as api,
        api.chat.completions.create(model="tiny", messages=ASKED, stream=True, max_tokens=900) as running,
    ):
        next(iter(running))
        with pytest.raises(openai.RateLimitError) as busy:
            api.chat.completions.create(model="tiny", messages=ASKED)
        assert busy.value.response.headers["retry-after"] == "1"
    failing = ScriptedEngine([TalkalikeError("The model is away.")])
    with serving(create_app(failing, speaker="Bob")) as url, client(url) as api:
        for streaming in (True, False):
            with pytest.raises(openai.InternalServerError, match="away") as failure:
                api.chat.completions.create(model="scripted", messages=ASKED, stream=streaming)
            assert failure.value.status_code == 503
    breaking = ScriptedEngine([["one two three"]], fail_after=2)
    with serving(create_app(breaking, speaker="Bob")) as url, client(url) as api:
        stream = api.chat.completions.create(model="scripted", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError, match="connection was lost"):
            list(stream)


def request(**fields) -> dict:
    return {"model": "m", "messages": ASKED, **fields}


def parse(body: object):
    return parse_chat_request(body, model="m", speaker="Bob", defaults=Sampling())


def test_requests_become_prompts():
    asked = parse(request(top_k=5, min_p=0.1, repetition_penalty=1.2, seed=3, frequency_penalty=0, stop="x", user="u"))
    assert asked.sampling == Sampling(top_k=5, min_p=0.1, repetition_penalty=1.2, seed=3)
    assert (asked.prompt.conversation, asked.prompt.speaker, asked.stop) == ("u", "Bob", ("x",))
    assert [turn.speaker for turn in asked.prompt.turns] == ["system", "Žofie", "Bob", "user"]
    assert [turn.speaker for turn in parse(request(speaker="Eva")).prompt.turns][2] == "Eva"
    grown = request(messages=[*ASKED, {"role": "assistant", "content": "fine"}, {"role": "user", "content": "ok"}])
    other = request(messages=[ASKED[0], {"role": "user", "name": "Žofi", "content": "eahoj"}, *ASKED[2:]])
    keys = [parse(body).prompt.conversation for body in (request(messages=ASKED[:2]), request(), grown, other)]
    assert keys[0] == keys[1] == keys[2] != keys[3]


@pytest.mark.parametrize(
    "bad",
    [
        [],
        {},
        request(model=3),
        request(messages=[]),
        request(messages="hello"),
        request(messages=[3]),
        request(messages=[{"role": "tool", "content": "x"}]),
        request(messages=[{"role": ["user"], "content": "x"}]),
        request(messages=[{"role": "user", "content": None}]),
        request(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
        request(n=2),
        request(max_tokens=True),
        request(temperature="hot"),
        request(stop=[1]),
        request(tools=[{}]),
        request(stream="yes"),
        request(top_logprobs=3, logprobs=True),
    ],
    ids=lambda body: json.dumps(body)[-40:],
)
def test_bad_requests_are_refused(bad):
    with pytest.raises(ApiError) as refusal:
        parse(bad)
    assert refusal.value.status == 400
    assert refusal.value.message


@given(st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=8), st.lists(st.text("ab\n", max_size=3), max_size=3))
def test_stop_strings_cut_where_the_whole_text_would_be_cut(parts, stop_list):
    filter_ = StopStrings(stop_list)
    shown = ""
    for part in parts:
        shown += "".join(piece.text for piece in filter_.push(Piece(text=part, token_ids=(1,), logprobs=(0.0,))))
        if filter_.found:
            break
    else:
        shown += "".join(piece.text for piece in filter_.rest())
    text = "".join(parts)
    places = [place for place in (text.find(stop) for stop in stop_list if stop) if place >= 0]
    assert filter_.found == bool(places)
    assert shown == (text[: min(places)] if places else text) or (
        # a stop string that begins later may end in an earlier piece
        places and text.startswith(shown) and any(text[len(shown) :].startswith(stop) for stop in stop_list if stop)
    )


def test_serving_others_needs_a_key_and_a_free_port():
    engine = ScriptedEngine([["hi"]])
    with pytest.raises(UserError, match=r"anyone in the network"):
        listen("0.0.0.0", 0, api_key="")
    with serving(create_app(engine, speaker="Bob")) as url, pytest.raises(UserError, match="in use"):
        listen("127.0.0.1", int(url.split(":")[2].split("/")[0]), api_key="")
    with pytest.raises(UserError, match="Ports go from 1 to 65535"):
        open_socket("127.0.0.1", 99999)


def test_what_is_streamed_does_not_wait_for_the_reader():
    with open_socket("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
