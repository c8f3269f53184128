"""A double behind a foreign server: the ids that are sent, what is made of the answer, and servers that fall short.

llama.cpp is the real one, at the port that it opens. vLLM is a small server that answers as vLLM does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import xllamacpp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from loopback_server import serving
from talkalike.engine.collecting import Collected, collect
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import ContextTooLongError, Engine, Finish, Prompt, Sampling
from talkalike.engine.reading import special_ids
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.remote_double import connect_double
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.engine.token_engine import DoubleText, TokenEngine
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import load_for_inference
from talkalike.workspace.cards import Catalog
from taught_model import ANNA, BOB, CUT, GREEDY, WORDS, asked, facts
from tiny_model import byte_level_tokenizer

pytest_plugins = ("taught_site",)
KEY = "secret-key"


@dataclass(kw_only=True)
class Vllm:
    """Answers as vLLM does, from a network's likeliest tokens. The switches are its shortcomings."""

    network: Any
    tells_ids: bool = True
    names_ids: bool = True  # the older way: in the log-probabilities
    tells_logprobs: bool = True
    heeds_stops: bool = True
    heeds_special: bool = True  # else special tokens are cut from the text
    takes_ids: bool = True
    reads: str = "as sent"  # "more": with a token of its own before the prompt
    together: int = 1  # tokens in each chunk
    vanishes_after: int | None = None
    shift: int = 0  # of another vocabulary
    odd: Any = None  # answered in place of a completion
    asked: list[dict[str, Any]] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        routes = [
            Route("/v1/models", self.models),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def models(self, _request: Request) -> Response:
        listed = [{"id": name, "owned_by": "vllm", "max_model_len": 300} for name in ("other", "tiny")]
        return JSONResponse({"object": "list", "data": listed})

    async def tokenize(self, request: Request) -> Response:
        body = await request.json()
        tokenizer = byte_level_tokenizer()
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"]).ids
        return JSONResponse({"count": len(ids), "max_model_len": 300, "tokens": [one + self.shift for one in ids]})

    async def chat(self, request: Request) -> Response:
        self.chats.append(await request.json())
        lines = [
            {"choices": [{"delta": {"content": "hi\nthere"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        ]
        return Response("".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n")

    async def completions(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        if not self.takes_ids or not all(isinstance(one, int) for one in body["prompt"]):
            return JSONResponse({"error": {"message": "prompt must be a string", "code": 400}}, 400)
        if self.odd is not None:
            return JSONResponse(self.odd)
        chunks = list(self.chunks(body))
        if body.get("stream"):
            return StreamingResponse(self.events(chunks), media_type="text/event-stream")
        return JSONResponse({"choices": [self.whole(chunks)], "usage": {"prompt_tokens": len(self.read(body))}})

    def read(self, body: dict[str, Any]) -> list[int]:
        return [*([1] if self.reads == "more" else []), *body["prompt"]]

    async def events(self, chunks: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
        for place, chunk in enumerate(chunks):
            if place == self.vanishes_after:
                raise ConnectionAbortedError
            yield f"data: {json.dumps({'choices': [chunk]})}\n\n"
        yield "data: [DONE]\n\n"

    def whole(self, chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answer: dict[str, Any] = {"text": "".join(chunk["text"] for chunk in chunks), "finish_reason": "length"}
        if self.tells_ids:
            answer["token_ids"] = [one for chunk in chunks for one in chunk["token_ids"]]
        if self.tells_logprobs:
            parts = [chunk["logprobs"] for chunk in chunks]
            answer["logprobs"] = {key: [one for part in parts for one in part[key]] for key in parts[0]}
        return answer

    def chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The answer, a chunk for every `together` tokens; text that ends in half a character waits for the rest."""
        tokenizer, ids = byte_level_tokenizer(), self.read(body)
        stops = set(body["stop_token_ids"]) if self.heeds_stops else set()
        written: list[int] = []
        values: list[float] = []
        shown = ""
        for left in range(body["max_tokens"] - 1, -1, -1):
            with torch.no_grad():
                logits_V = self.network(torch.tensor([ids + written])).logits[0, -1]
            raw_V = logits_V.log_softmax(-1)
            for token, bias in body["logit_bias"].items():
                logits_V[int(token)] += bias
            written.append(int(logits_V.argmax()))
            values.append(float(raw_V[written[-1]]))
            stopped = written[-1] in stops
            kept = written[:-1] if stopped else written
            text = tokenizer.decode(kept, skip_special_tokens=body["skip_special_tokens"] or not self.heeds_special)
            if not (stopped or left == 0) and len(values) < self.together:
                continue
            new = text[len(shown) :] if not text.endswith("\ufffd") or stopped or left == 0 else ""
            shown += new
            finish = "stop" if stopped else "length" if left == 0 else None
            yield self.chunk(new, written[-len(values) :], values, finish)
            values = []
            if stopped:
                return

    def chunk(self, text: str, ids: list[int], values: list[float], finish: str | None) -> dict[str, Any]:
        chunk: dict[str, Any] = {"index": 0, "text": text, "finish_reason": finish}
        if self.tells_ids:
            chunk["token_ids"] = ids
        if self.tells_logprobs:
            names = [f"token_id:{one}" for one in ids] if self.names_ids else ["?"] * len(ids)
            chunk["logprobs"] = {"tokens": names, "token_logprobs": values}
        return chunk


@pytest.fixture
def vllm(taught: Catalog) -> Vllm:
    return Vllm(network=load_for_inference(taught.path("tiny"), catalog=taught, dtype="float32").model)


@pytest.fixture
def double(taught: Catalog) -> DoubleText:
    return DoubleText.of("tiny", (ANNA,), taught.path("tiny"), context_length=512)


async def ask_all(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Collected]:
    try:
        return [await collect(engine, prompt, sampling) for prompt in prompts]
    finally:
        await engine.close()


def ask(url: str, double: DoubleText, *prompts: Prompt, sampling: Sampling = GREEDY) -> tuple[Engine, list[Collected]]:
    engine = connect_double(double, url)
    return engine, asyncio.run(ask_all(engine, prompts, sampling))


@contextmanager
def llama_server(file: Path) -> Iterator[str]:
    """llama.cpp's own server over HTTP."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.n_parallel = str(file), 1024, 2
    parameters.warmup, parameters.verbosity, parameters.cpuparams.n_threads = False, 0, 1
    parameters.api_keys = [KEY]
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server


PROMPTS = [asked(WORDS[0]), asked(WORDS[2]), asked(WORDS[3]), asked(WORDS[1], "two", "hello there")]


def test_llama_cpp_over_http_writes_what_the_local_engine_writes(
    taught_file: Path, double: DoubleText, ours: LocalEngine
) -> None:
    with llama_server(taught_file) as url:
        with pytest.raises(UserError, match="refused the API key"):
            connect_double(double, url, api_key="wrong")
        engine = connect_double(double, url, api_key=KEY)
        assert isinstance(engine, TokenEngine) and engine.notes == ()
        assert engine.context_length == 512, "what one slot of it can hold"
        there = asyncio.run(ask_all(engine, PROMPTS))
    here = asyncio.run(ask_all(ours, PROMPTS))
    assert [facts(reply) for reply in there] == [facts(reply) for reply in here]
    assert any(len(reply.messages) > 1 for reply in here)


@pytest.mark.parametrize("older", [False, True], ids=["ids", "older: ids in the log-probabilities"])
def test_vllm_is_sent_our_ids_and_writes_what_the_local_engine_writes(
    older: bool, vllm: Vllm, double: DoubleText, ours: LocalEngine
) -> None:
    vllm.tells_ids, vllm.together = not older, 1 if older else 3
    with serving(vllm.app) as url:
        engine, there = ask(url, double, *PROMPTS)
        _, cut = ask(url, double, PROMPTS[0], sampling=CUT)
    here = asyncio.run(ask_all(ours, [*PROMPTS]))
    assert isinstance(engine, TokenEngine) and (engine.notes, engine.context_length) == ((), 300)
    assert [facts(reply) for reply in there] == [facts(reply) for reply in here]
    for one, other in zip(there, here, strict=True):
        values = [value for piece in one.pieces for value in piece.logprobs]
        assert values == pytest.approx([value for piece in other.pieces for value in piece.logprobs], abs=1e-3)
    assert cut[0].finish is Finish.LENGTH and cut[0].tokens == 4

    renderer = Renderer(byte_level_tokenizer())
    streamed = [body for body in vllm.asked if body.get("stream")]
    sent = [body["prompt"] for body in streamed]
    for prompt in PROMPTS:
        assert renderer.prompt(prompt.turns, ANNA) in sent
    first, burst = here[0].messages[0], renderer.prompt([*PROMPTS[0].turns, Turn(ANNA, here[0].messages[0])], ANNA)
    assert burst[: -len(renderer.header(ANNA))] in sent, f"whether it goes on after {first!r}"
    assert {body["model"] for body in vllm.asked} == {"tiny"}
    writing, deciding = streamed[0], streamed[1]
    assert (writing["stop_token_ids"], writing["skip_special_tokens"]) == ([renderer.stop_id], False)
    assert {int(token) for token in writing["logit_bias"]} == special_ids(renderer)
    assert (deciding["stop_token_ids"], deciding["logit_bias"], deciding["top_p"]) == ([], {}, 1.0)
    names = {headers.get("x-talkalike-conversation") for headers in vllm.headers if headers}
    assert len(names - {None}) == 1, "all of one conversation, under a name that says nothing"


def test_what_narrows_the_choice_is_sent_for_texts_only(vllm: Vllm, double: DoubleText) -> None:
    wishes = Sampling(temperature=0.7, top_p=0.5, top_k=9, min_p=0.1, repetition_penalty=1.3, seed=4, max_tokens=30)
    with serving(vllm.app) as url:
        ask(url, double, asked(WORDS[0]), sampling=wishes)
        ask(url, double, asked(WORDS[0]), sampling=wishes)
    writing, deciding, *_ = [body for body in vllm.asked if body.get("stream")]
    keys = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "repeat_penalty")
    assert [writing[key] for key in keys] == [0.7, 0.5, 9, 0.1, 1.3, 1.3]
    assert [deciding[key] for key in keys] == [0.7, 1.0, -1, 0.0, 1.0, 1.0]
    seeds = [body["seed"] for body in vllm.asked if "seed" in body]
    half = len(seeds) // 2
    assert len(set(seeds[:half])) == half and seeds[:half] == seeds[half:], "one for each request, the same again"


@pytest.mark.parametrize(
    ("lacks", "note"),
    [
        ({"heeds_stops": False}, ""),
        ({"tells_logprobs": False}, "no log-probabilities"),
        ({"tells_ids": False, "tells_logprobs": False}, "does not tell which tokens"),
        ({"tells_ids": False, "names_ids": False, "heeds_stops": False}, "does not tell which tokens"),
        ({"tells_ids": False, "tells_logprobs": False, "heeds_special": False}, "does not tell which tokens"),
    ],
    ids=["ignores stop ids", "no logprobs", "text only", "text only, ignores stop ids", "text only, without specials"],
)
def test_a_server_that_falls_short_loses_nothing(
    lacks: dict[str, bool], note: str, vllm: Vllm, double: DoubleText, ours: LocalEngine
) -> None:
    for name, value in lacks.items():
        setattr(vllm, name, value)
    with serving(vllm.app) as url:
        engine, there = ask(url, double, *PROMPTS)
    here = asyncio.run(ask_all(ours, PROMPTS))
    assert [(reply.messages, reply.finish) for reply in there] == [(reply.messages, reply.finish) for reply in here]
    assert isinstance(engine, TokenEngine) and (note in " ".join(engine.notes)) and bool(engine.notes) is bool(note)


@pytest.mark.parametrize("lacks", [{"takes_ids": False}, {"reads": "more"}], ids=["takes no ids", "adds a token"])
def test_a_server_that_takes_only_messages_gets_them_with_names(
    lacks: dict[str, Any], vllm: Vllm, double: DoubleText
) -> None:
    for name, value in lacks.items():
        setattr(vllm, name, value)
    turns = (Turn("system", "be kind"), Turn("Žofie  Nová", "ahoj"), Turn(ANNA, "hi"), Turn(BOB, "\x10❤"))
    with serving(vllm.app) as url:
        engine, replies = ask(url, double, Prompt(turns=turns, speaker=ANNA))
    assert isinstance(engine, RemoteEngine)
    assert "talkalike export tiny" in engine.notes[0] and "chat template" in engine.notes[0]
    assert [(one["role"], one["name"], one["content"]) for one in vllm.chats[0]["messages"]] == [
        ("user", "system", "be kind"),
        ("user", "Žofie Nová", "ahoj"),
        ("assistant", ANNA, "hi"),
        ("user", BOB, "\x10❤"),
    ]
    assert replies[0].messages == ("hi\nthere",), "one message: its turn ended there"


def test_a_server_that_vanishes_in_the_middle(vllm: Vllm, double: DoubleText) -> None:
    vllm.vanishes_after = 1
    shown: list[str] = []

    async def read(engine: Engine) -> None:
        try:
            async for piece in engine.stream(asked(WORDS[0]), GREEDY):
                shown.append(piece.text)
        finally:
            await engine.close()

    with serving(vllm.app) as url, pytest.raises(TalkalikeError, match=r"broke off|was lost"):
        asyncio.run(read(connect_double(double, url)))
    assert shown, "what had arrived was shown"
    assert len([body for body in vllm.asked if body.get("stream")]) == 1, "and nothing is written twice"


@pytest.mark.parametrize("answer", [{"choices": [{}], "usage": [1]}, {"choices": [{"prompt_token_ids": 5}]}, [1]])
def test_an_answer_of_another_shape_is_named(answer: Any, vllm: Vllm, double: DoubleText) -> None:
    vllm.odd = answer
    with serving(vllm.app) as url, pytest.raises(TalkalikeError, match="no completion"):
        connect_double(double, url)


def test_what_is_wrong_is_said_before_the_first_reply(vllm: Vllm, double: DoubleText) -> None:
    vllm.shift = 1
    with serving(vllm.app) as url:
        with pytest.raises(UserError, match="another vocabulary than 'tiny'"):
            connect_double(double, url)
        vllm.shift = 0
        with pytest.raises(ContextTooLongError, match="reads 300"):
            ask(url, double, asked("long " * 400))
        stranger = DoubleText(name="else", speakers=(), renderer=double.renderer, context_length=double.context_length)
        with pytest.raises(UserError, match="Which model"):
            connect_double(stranger, url)
        assert connect_double(stranger, url, model="tiny").name == "else"
        loaded = connect_double(stranger, url, model="loaded-when-asked-for")
        assert isinstance(loaded, TokenEngine) and vllm.asked[-1]["model"] == "loaded-when-asked-for"
        vllm.takes_ids = False
        with pytest.raises(UserError, match="has no model 'nobody'"):
            connect_double(stranger, url, model="nobody")
    with pytest.raises(TalkalikeError, match="No server answers"):
        connect_double(double, url)
    with pytest.raises(UserError, match="not an address"):
        connect_double(double, "localhost:80")


def test_our_own_server_is_spoken_to_in_its_own_words(double: DoubleText) -> None:
    script = ScriptedEngine([["one", "two"]], name="tiny")
    with serving(create_app(script, speaker=ANNA)) as url:
        engine, replies = ask(url, double, asked("hello"))
    assert isinstance(engine, RemoteEngine) and replies[0].messages == ("one", "two")
    assert script.prompts[0].turns == asked("hello").turns
