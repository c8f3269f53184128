"""The API's edges: long requests, texts that go on, keys, addresses and the web pages that may use it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_script import ScriptedWords
from loopback_server import serving
from talkalike.cli.serving import api
from talkalike.cli.workspace import open_workspace
from talkalike.engine import server
from talkalike.engine.local import LocalEngine
from talkalike.engine.offer import Offered
from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.server import create_app
from talkalike.errors import UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import load_for_inference
from talkalike.settings import load_settings
from talkalike.workspace.cards import Catalog
from tiny_model import MARKERS, SENTENCES, build_tiny_llama, byte_level_tokenizer, unigram_tokenizer

HELLO = [{"role": "user", "content": "hey"}]
RENDERED = "<|im_start|>user\nhey<|im_end|>\n<|im_start|>Bob\n"
ONE = {"max_messages": 1, "max_tokens": 12, "seed": 5, "temperature": 0.9}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> LocalEngine:
    folder = build_tiny_llama(tmp_path_factory.mktemp("models") / "tiny")
    return LocalEngine(load_for_inference(folder, catalog=Catalog(folder.parent), dtype="float32", device="cpu"))


@pytest.fixture(scope="module")
def local(tiny) -> Iterator[str]:
    with serving(create_app(tiny, speaker="Bob", api_key="right")) as url:
        yield url


@pytest.fixture
def client(local) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=local, api_key="right", max_retries=0, timeout=60) as made:
        yield made


# ------------------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize("work", ["reading the request", "encoding the prompt"])
def test_the_server_answers_others_while_it_works_on_a_request(tiny, local, monkeypatch, work):
    begun, others_answered = threading.Event(), threading.Event()

    def slowly(function):
        def held(*args):
            begun.set()
            assert others_answered.wait(60), "the loop waited for this"
            return function(*args)

        return held

    if work == "reading the request":
        monkeypatch.setattr(server, "_json", slowly(server._json))
    else:
        monkeypatch.setattr(tiny._renderer, "encode_texts", slowly(tiny._renderer.encode_texts))
    with (
        httpx.Client(base_url=local, headers={"authorization": "Bearer right"}, timeout=60) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(http.post, "chat/completions", json={"model": "tiny", "messages": HELLO, "max_tokens": 2})
        try:
            assert begun.wait(60)
            assert http.get(local.removesuffix("v1") + "health", timeout=10).json()["status"] == "ok"
        finally:
            others_answered.set()
        assert asked.result(60).status_code == 200


def test_what_is_far_too_long_is_refused_by_its_length(tiny, client, monkeypatch):
    def never(*args: object) -> Any:
        raise AssertionError("it was encoded")

    monkeypatch.setattr(Renderer, "encode_texts", never)
    long = "hey " * 250_000
    for call in (
        lambda: client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": long}]),
        lambda: client.chat.completions.create(model="tiny", messages=HELLO * 5000),
        lambda: client.completions.create(model="tiny", prompt=long),
        lambda: client.completions.create(model="tiny", prompt=[5] * 5000),
    ):
        with pytest.raises(openai.APIStatusError, match="at least") as refused:
            call()
        assert (refused.value.status_code, refused.value.code) == (413, "context_length_exceeded")


@given(st.lists(st.text(max_size=40) | st.sampled_from(SENTENCES + MARKERS) | st.text("日本語 e\u0301", min_size=30)))
def test_no_text_has_fewer_tokens_than_its_length_says(texts):
    for tokenizer in (byte_level_tokenizer(), unigram_tokenizer()):
        renderer = Renderer(tokenizer)
        cost = sum(len(ids) + len(renderer.closing_ids) for ids in renderer.encode_texts(texts))
        assert renderer.fewest_tokens(texts) <= cost


def test_no_number_is_no_json(local):
    body = '{"model": "tiny", "messages": [{"role": "user", "content": "hey"}], "temperature": %s}'
    for number in ("NaN", "Infinity", "1e999", "1" + "0" * 400):
        headers = {"content-type": "application/json", "authorization": "Bearer right"}
        answer = httpx.post(f"{local}/chat/completions", content=body % number, headers=headers)
        assert answer.status_code == 400, number


def test_top_p_0_is_the_narrowest_nucleus(client):
    def said(**options: Any) -> set[str | None]:
        return {
            client.chat.completions.create(
                model="tiny", messages=HELLO, max_tokens=6, temperature=1, seed=seed, **options
            ).choices[0].message.content
            for seed in range(5)
        }  # fmt: skip

    likeliest = said(top_p=0, extra_body={"max_messages": 1})
    assert len(likeliest) == 1
    assert likeliest == said(extra_body={"top_k": 1, "max_messages": 1})
    assert len(said(top_p=1, extra_body={"max_messages": 1})) > 1


# ------------------------------------------------------------------------------------------------- text completions


def test_a_text_goes_on_as_the_same_chat_would(tiny, client, local):
    ids = tiny._renderer.prompt([Turn("user", "hey")], "Bob")
    of_a_chat = client.chat.completions.create(model="tiny", messages=HELLO, logprobs=True, extra_body=ONE)
    asked = {key: value for key, value in ONE.items() if key != "max_messages"}
    for prompt in (RENDERED, ids, [RENDERED], [ids]):
        whole = client.completions.create(model="tiny", prompt=prompt, logprobs=0, **asked)  # type: ignore[call-overload]
        chunks = list(client.completions.create(  # type: ignore[call-overload]
            model="tiny", prompt=prompt, stream=True, stream_options={"include_usage": True}, logprobs=0, **asked
        ))  # fmt: skip
        choice, expected = whole.choices[0], of_a_chat.choices[0]
        assert (choice.text, choice.finish_reason) == (expected.message.content, expected.finish_reason)
        assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == choice.text
        assert whole.usage == of_a_chat.usage == chunks[-1].usage
        assert whole.usage.prompt_tokens == len(ids)
        assert whole.object == chunks[0].object == "text_completion"
        own = [token.logprob for token in expected.logprobs.content]
        assert choice.logprobs.token_logprobs == pytest.approx(own, abs=1e-4)
        assert "".join(choice.logprobs.tokens) == choice.text
        for offset, token in zip(choice.logprobs.text_offset, choice.logprobs.tokens, strict=True):
            assert choice.text[offset:].startswith(token)
        streamed = [place for chunk in chunks if chunk.choices and chunk.choices[0].logprobs
                    for place in chunk.choices[0].logprobs.text_offset]  # fmt: skip
        assert streamed == choice.logprobs.text_offset

    async def through_the_remote_engine() -> list[Piece]:
        engine = await RemoteEngine.connect(local, api_key="right")
        sampling = Sampling(seed=5, temperature=0.9, max_tokens=12)
        pieces = [piece async for piece in engine.stream(Prompt(raw=tuple(ids)), sampling)]
        await engine.close()
        return pieces

    pieces = asyncio.run(through_the_remote_engine())
    assert "".join(piece.text for piece in pieces) == of_a_chat.choices[0].message.content
    assert [value for piece in pieces for value in piece.logprobs] == pytest.approx(own, abs=1e-4)
    assert sum(piece.prompt_tokens for piece in pieces) == len(ids)


def test_a_text_ends_before_a_stop_and_may_begin_with_nothing(client):
    asked = {key: value for key, value in ONE.items() if key != "max_messages"}
    said = client.completions.create(model="tiny", prompt=RENDERED, **asked)  # type: ignore[call-overload]
    whole = said.choices[0].text
    stop = whole[3:5]
    short = client.completions.create(model="tiny", prompt=RENDERED, stop=stop, **asked)  # type: ignore[call-overload]
    assert (short.choices[0].text, short.choices[0].finish_reason) == (whole[: whole.index(stop)], "stop")
    assert short.usage.prompt_tokens == said.usage.prompt_tokens
    for nothing in ({"prompt": ""}, {}):
        new = client.post("/completions", body={"model": "tiny", "max_tokens": 3, **nothing}, cast_to=object)
        assert new["usage"]["prompt_tokens"] == 1  # type: ignore[index]
    for wrong, words in (
        ([5, 100_000], "no token 100000"),
        ([-1], "token ids"),
        ([True], "token ids"),
        ([], "token ids"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            client.completions.create(model="tiny", prompt=wrong)


# ------------------------------------------------------------------------------------------- keys, addresses, pages


def test_the_scheme_of_a_key_is_read_in_any_case(local):
    for value, status in (
        ("Bearer right", 200), ("bearer right", 200), ("BEARER  right", 200),
        ("Bearer Right", 401), ("Basic right", 401), ("right", 401), ("Bearer", 401), ("", 401),
    ):  # fmt: skip
        assert httpx.get(f"{local}/models", headers={"authorization": value}).status_code == status, value


def test_what_is_not_offered_says_so(client, local):
    with pytest.raises(openai.NotFoundError, match="makes no embeddings") as caught:
        client.embeddings.create(model="tiny", input="hey")
    assert "/v1/chat/completions" in caught.value.message
    with pytest.raises(openai.NotFoundError, match="chat completions do the same"):
        client.responses.create(model="tiny", input="hey")
    assert httpx.post(f"{local}/embeddings", json={}).status_code == 401
    told = httpx.get(f"{local}/nothing").json()["error"]["message"]
    assert "nothing at this address" in told
    assert "/v1/completions" in told


PAGE, OTHER = "http://localhost:3000", "https://elsewhere.example"


def preflight(url: str, page: str) -> httpx.Response:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    return httpx.options(f"{url}/chat/completions", headers={"origin": page, **asked})


def test_named_pages_may_use_the_api_and_no_others(tmp_path):
    (tmp_path / "talkalike.toml").write_text(f'[serve]\norigins = "https://chat.example.org, {PAGE}"\n')
    app = api(open_workspace(tmp_path), Offered(engine=ScriptedWords(("hey",)), speaker="Bob"), key="k")
    with serving(app) as url:
        allowed, refused = preflight(url, PAGE), preflight(url, OTHER)
        assert (allowed.status_code, refused.status_code) == (200, 400)
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert allowed.headers["access-control-allow-headers"] == "authorization,content-type"
        for page, named in ((PAGE, PAGE), ("https://chat.example.org", "https://chat.example.org"), (OTHER, None)):
            for key, status in (("k", 200), ("wrong", 401)):
                headers = {"origin": page, "authorization": f"Bearer {key}"}
                answer = httpx.get(f"{url}/models", headers=headers)
                assert answer.status_code == status
                assert answer.headers.get("access-control-allow-origin") == named
                assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in refused.headers
    with serving(create_app(ScriptedWords(("hey",)), speaker="Bob")) as url:
        assert preflight(url, PAGE).status_code == 405
        assert "access-control-allow-origin" not in httpx.get(f"{url}/models", headers={"origin": PAGE}).headers


@pytest.mark.parametrize(
    "value", ["*", "https://*", "chat.example.org", "https://a.example/", f"{PAGE} {OTHER}", "null"]
)
def test_pages_are_named_whole_and_one_by_one(value):
    with pytest.raises(UserError, match="ORIGINS cannot be"):
        load_settings(None, {"TALKALIKE_SERVE_ORIGINS": value})


def test_what_a_request_leaves_open_is_as_the_settings_say(tmp_path):
    (tmp_path / "talkalike.toml").write_text("[chat]\nmax_tokens = 70\nseed = 3\nbest_of = 2\n")
    engine = ScriptedWords(("hey",))
    with serving(api(open_workspace(tmp_path), Offered(engine=engine, speaker="Bob"), key="")) as url:
        httpx.post(f"{url}/chat/completions", json={"model": "scripted", "messages": HELLO, "max_tokens": 5})
        httpx.post(f"{url}/completions", json={"model": "scripted", "prompt": "hey"})
    expected = Sampling(max_tokens=5, seed=3, best_of=2)
    assert engine.samplings == [expected, dataclasses.replace(expected, max_tokens=70, best_of=1, max_messages=1)]
    assert json.dumps(engine.prompts[1].raw) == '"hey"'
