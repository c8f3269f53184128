"""The local engine on tiny real models: caching, taking turns, cancelling, seeds, limits, both architectures."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from contextlib import aclosing
from pathlib import Path

import pytest
import torch

from talkalike.engine.cache import CacheStore
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError, Finish, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama, build_tiny_t5

GREEDY = Sampling(temperature=0.0, max_tokens=24)
HISTORY = tuple(
    Turn(["Anna", "Bob", "Cyril"][index % 3], text)
    for index, text in enumerate(["ahoj", "hello there", "jak se máš? 😂", "fine", "see you at eight", "", "ok\nok"])
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> LoadedModel:
    return load(build_tiny_llama(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> LoadedModel:
    return load(build_tiny_t5(tmp_path_factory.mktemp("models") / "tiny-t5"))


def load(folder: Path) -> LoadedModel:
    return load_for_inference(folder, catalog=Catalog(folder.parent), dtype="float32", device="cpu")


def prompt(conversation: str = "", *, turns: tuple[Turn, ...] = HISTORY, speaker: str = "Bob") -> Prompt:
    return Prompt(turns=turns, speaker=speaker, conversation=conversation)


async def collect(engine: LocalEngine, asked: Prompt, sampling: Sampling = GREEDY) -> list[Piece]:
    return [piece async for piece in engine.stream(asked, sampling)]


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def logprobs(pieces: list[Piece]) -> list[float]:
    return [value for piece in pieces for value in piece.logprobs]


def tokens(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.token_ids]


class Counting:
    """Counts the tokens that go through the model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.read: list[int] = []
        first = loaded.model.model.layers[0].self_attn.q_proj  # every way through the network calls it
        self._hook = first.register_forward_pre_hook(self._count)

    def _count(self, _module, arguments) -> None:
        self.read.append(arguments[0].shape[-2])

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_exception) -> None:
        self._hook.remove()


async def test_greedy_reply_equals_transformers_generate(llama):
    engine = LocalEngine(llama)
    ids = Renderer(llama.tokenizer).prompt(HISTORY, "Bob")
    pieces = await collect(engine, prompt(), dataclasses.replace(GREEDY, max_messages=1))
    written = tokens(pieces)
    with torch.inference_mode():
        expected = llama.model.generate(
            torch.tensor([ids]), max_new_tokens=24, do_sample=False, suppress_tokens=[0, 1]
        )[0, len(ids) :].tolist()
        rows = torch.log_softmax(llama.model(torch.tensor([ids + written])).logits[0, len(ids) - 1 : -1], -1)
    assert len(written) > 3
    assert written == expected[: len(written)]
    own = [float(row[token]) for row, token in zip(rows, written, strict=True)]
    assert logprobs(pieces) == pytest.approx(own, abs=1e-4)
    await engine.close()


async def test_a_cached_prefix_changes_nothing_and_saves_the_reading(llama):
    engine, cold = LocalEngine(llama, chunk=16), LocalEngine(llama)
    first = await collect(engine, prompt("c"))
    grown = (*HISTORY, Turn("Bob", text(first)), Turn("Anna", "and then?"))
    with Counting(llama) as counting:
        warm_pieces = await collect(engine, prompt("c", turns=grown))
    warm_read, whole = counting.read[0], len(Renderer(llama.tokenizer).prompt(grown, "Bob"))
    cold_pieces = await collect(cold, prompt("c", turns=grown))
    assert text(warm_pieces) == text(cold_pieces)
    assert tokens(warm_pieces) == tokens(cold_pieces)
    assert logprobs(warm_pieces) == pytest.approx(logprobs(cold_pieces), abs=1e-4)
    assert warm_read < whole / 2
    await engine.close()
    await cold.close()


async def test_a_conversation_that_changed_in_the_middle_is_read_from_there(llama):
    engine, cold = LocalEngine(llama), LocalEngine(llama)
    await collect(engine, prompt("c"))
    edited = (*HISTORY[:4], Turn("Cyril", "something else"), *HISTORY[5:])
    warm_pieces = await collect(engine, prompt("c", turns=edited))
    cold_pieces = await collect(cold, prompt("c", turns=edited))
    assert tokens(warm_pieces) == tokens(cold_pieces)
    assert logprobs(warm_pieces) == pytest.approx(logprobs(cold_pieces), abs=1e-4)
    again = await collect(engine, prompt("c", turns=edited))  # the whole prompt is cached: one token is read again
    assert tokens(again) == tokens(cold_pieces)


@pytest.mark.parametrize("cache_mb", [0, 1024])
async def test_caches_are_kept_within_the_budget(llama, cache_mb):
    engine = LocalEngine(llama, caches=CacheStore(llama.model, max_bytes=cache_mb * 2**20))
    for conversation in ("one", "two"):
        await collect(engine, prompt(conversation))
    with Counting(llama) as counting:
        await collect(engine, prompt("one"))
    assert (counting.read[0] == 1) == (cache_mb > 0)


async def test_replies_that_run_together_equal_each_alone(llama):
    engine = LocalEngine(llama, slots=3, chunk=8)
    asked = [prompt("a"), prompt("b", turns=HISTORY[:3], speaker="Cyril"), prompt("a")]  # the third shares a cache name
    samplings = [GREEDY, Sampling(seed=4, max_tokens=20), Sampling(seed=5, temperature=1.0, max_tokens=20)]
    order: list[int] = []

    async def one(number: int) -> list[Piece]:
        pieces = []
        async for piece in engine.stream(asked[number], samplings[number]):
            order.append(number)
            pieces.append(piece)
        return pieces

    together = await asyncio.gather(*(one(number) for number in range(3)))
    alone = []
    for each, sampling in zip(asked, samplings, strict=True):
        fresh = LocalEngine(llama)
        alone.append(await collect(fresh, each, sampling))
        await fresh.close()
    assert [tokens(pieces) for pieces in together] == [tokens(pieces) for pieces in alone]
    middle = order[len(order) // 4 : len(order) // 2]
    assert len(set(middle)) > 1, f"they did not take turns: {order}"
    await engine.close()


async def test_replies_that_run_together_share_their_passes(llama):
    engine = LocalEngine(llama, slots=8)
    asked = [prompt(str(number), turns=HISTORY[: 2 + number % 4]) for number in range(8)]
    sampling = dataclasses.replace(GREEDY, max_messages=1)
    alone = [await collect(engine, each, sampling) for each in asked]
    with Counting(llama) as counting:
        together = await asyncio.gather(*(collect(engine, each, sampling) for each in asked))
    assert [tokens(pieces) for pieces in together] == [tokens(pieces) for pieces in alone]
    for both in zip(together, alone, strict=True):
        assert logprobs(both[0]) == pytest.approx(logprobs(both[1]), abs=1e-4)
    longest = max(len(tokens(pieces)) for pieces in alone)
    assert len(counting.read) < 2 * longest, "each reply had passes of its own"
    assert max(counting.read) == 8
    await engine.close()


async def test_a_pass_that_fails_is_told_to_all_and_spoils_no_cache(llama):
    engine, cold = LocalEngine(llama), LocalEngine(llama)
    await collect(engine, prompt("a"))

    def fail(*_arguments) -> None:
        raise RuntimeError("out of memory")

    hook = llama.model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(fail)
    for answer in await asyncio.gather(
        collect(engine, prompt("a")), collect(engine, prompt("b")), return_exceptions=True
    ):
        assert isinstance(answer, RuntimeError)
    hook.remove()
    for conversation in ("a", "b"):
        assert tokens(await collect(engine, prompt(conversation))) == tokens(await collect(cold, prompt()))
    await engine.close()
    await cold.close()


async def test_the_seed_decides(llama):
    engine = LocalEngine(llama)
    wild = Sampling(temperature=1.5, top_p=1, max_tokens=16, seed=1)
    first, second = await collect(engine, prompt("c"), wild), await collect(engine, prompt("c"), wild)
    other = await collect(engine, prompt("c"), dataclasses.replace(wild, seed=2))
    assert tokens(first) == tokens(second) != tokens(other)


async def somebody_waits(engine: LocalEngine) -> None:
    while not engine._slots._line:
        await asyncio.sleep(0.001)


async def test_closing_a_reply_frees_its_slot_for_the_next(llama):
    engine = LocalEngine(llama, slots=1, waiting=1)
    running = engine.stream(prompt("a"), GREEDY)
    await anext(running)
    waiting = asyncio.create_task(collect(engine, prompt("b")))
    await somebody_waits(engine)
    with pytest.raises(EngineBusyError):
        await anext(engine.stream(prompt("c"), GREEDY))
    assert not waiting.done()
    await running.aclose()
    assert text(await waiting)
    cancelled = asyncio.create_task(collect(engine, prompt("d")))
    await asyncio.sleep(0)
    in_line = asyncio.create_task(collect(engine, prompt("e")))
    await asyncio.sleep(0)
    in_line.cancel()
    cancelled.cancel()
    for task in (in_line, cancelled):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert text(await collect(engine, prompt("a")))
    await engine.close()


async def test_leaving_the_line_makes_room_in_it(llama):
    engine = LocalEngine(llama, slots=1, waiting=1)
    running = engine.stream(prompt("a"), GREEDY)
    await anext(running)
    for _ in range(3):
        waiting = asyncio.create_task(collect(engine, prompt("b")))
        await somebody_waits(engine)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await running.aclose()
    await engine.close()


async def test_a_cancelled_reply_leaves_a_cache_that_can_be_trusted(llama):
    engine, cold = LocalEngine(llama), LocalEngine(llama)
    async with aclosing(engine.stream(prompt("c"), GREEDY)) as reply:
        for _ in range(3):
            await anext(reply)
    with Counting(llama) as counting:
        pieces = await collect(engine, prompt("c"))
    assert counting.read[0] == 1
    assert tokens(pieces) == tokens(await collect(cold, prompt("c")))


async def test_closing_the_engine_ends_replies_as_cancelled(llama):
    engine = LocalEngine(llama)
    reply = engine.stream(prompt("c"), GREEDY)
    await anext(reply)
    await engine.close()
    await engine.close()
    assert [piece.finish async for piece in reply] == [Finish.CANCELLED]
    with pytest.raises(TalkalikeError, match="closed"):
        await collect(engine, prompt("c"))


def test_one_engine_serves_several_event_loops(llama):
    engine = LocalEngine(llama, slots=1)

    async def two() -> list[str]:
        return [text(pieces) for pieces in await asyncio.gather(collect(engine, prompt()), collect(engine, prompt()))]

    assert asyncio.run(two()) == asyncio.run(two())


async def test_too_long_is_said_and_the_last_token_fits(llama):
    short = dataclasses.replace(llama, context_length=60)
    engine = LocalEngine(short)
    with pytest.raises(ContextTooLongError, match="60"):
        await collect(engine, prompt())
    few = HISTORY[:3]
    length = len(Renderer(llama.tokenizer).prompt(few, "Bob"))
    pieces = await collect(engine, prompt(turns=few), Sampling(temperature=0, max_tokens=500, max_messages=1))
    assert length + len(tokens(pieces)) <= 60
    with pytest.raises(UserError, match="temperature"):
        await collect(engine, prompt(), Sampling(temperature=-1))


async def test_count_tokens_is_what_the_prompt_costs(llama):
    engine = LocalEngine(llama)
    renderer = Renderer(llama.tokenizer)
    assert sum(engine.count_tokens(HISTORY)) + len(renderer.header("Bob")) == len(renderer.prompt(HISTORY, "Bob"))


async def test_scores_of_a_given_text(llama):
    engine = LocalEngine(llama)
    renderer = Renderer(llama.tokenizer)
    said = "see you there 🧀 " * 20  # longer than the rows scored at once
    prefix = renderer.prompt(HISTORY, "Bob")
    target = [*renderer.encode_text(said), renderer.stop_id]
    with torch.inference_mode():
        rows = torch.log_softmax(llama.model(torch.tensor([prefix + target])).logits[0, len(prefix) - 1 : -1], -1)
    expected = [float(row[token]) for row, token in zip(rows, target, strict=True)]
    assert await engine.logprobs(prompt("c"), said) == pytest.approx(expected, abs=1e-4)
    assert await engine.logprobs(prompt("c"), said) == pytest.approx(expected, abs=1e-4)  # from the cache
    assert await engine.logprobs(prompt("c"), "") == pytest.approx(
        [float(torch.log_softmax(rows[0], -1)[renderer.stop_id])], abs=1e-4
    )


async def test_a_soft_prompt_stands_before_everything(llama):
    soft_PD = torch.randn(5, llama.model.config.hidden_size, generator=torch.Generator().manual_seed(3))
    tuned = dataclasses.replace(llama, soft_prompt_PD=soft_PD)
    engine, plain = LocalEngine(tuned, chunk=16), LocalEngine(llama)
    assert engine.context_length == plain.context_length - 5
    pieces = await collect(engine, prompt("c"), dataclasses.replace(GREEDY, max_messages=1))
    ids = Renderer(llama.tokenizer).prompt(HISTORY, "Bob") + tokens(pieces)
    with torch.inference_mode():
        embedded = torch.cat((soft_PD, llama.model.get_input_embeddings()(torch.tensor(ids))))[None]
        rows = torch.log_softmax(llama.model(inputs_embeds=embedded).logits[0, -len(tokens(pieces)) - 1 : -1], -1)
    own = [float(row[token]) for row, token in zip(rows, tokens(pieces), strict=True)]
    assert logprobs(pieces) == pytest.approx(own, abs=1e-4)
    again = await collect(engine, prompt("c"), dataclasses.replace(GREEDY, max_messages=1))
    assert logprobs(again) == pytest.approx(own, abs=1e-4)
    assert tokens(await collect(plain, prompt("c"), dataclasses.replace(GREEDY, max_messages=1))) != tokens(pieces)


async def test_an_encoder_decoder_model_answers(t5):
    engine = LocalEngine(t5)
    turns = (Turn("Anna", "hello there"), Turn("Bob", "how are you"))
    pieces = await collect(engine, prompt("c", turns=turns, speaker="Anna"))
    ids = torch.tensor([Renderer(t5.tokenizer).prompt(turns, "Anna")])
    with torch.inference_mode():
        expected = t5.model.generate(ids, max_new_tokens=24, do_sample=False, suppress_tokens=[0, 2])[0, 1:].tolist()
    assert tokens(pieces) == expected[: len(tokens(pieces))]
    assert tokens(pieces)
    assert text(pieces).strip() == t5.tokenizer.decode(tokens(pieces)).strip()
    assert len(await engine.logprobs(prompt(turns=turns), "ok")) == 1 + len(Renderer(t5.tokenizer).encode_text("ok"))
    again = await collect(engine, prompt("c", turns=turns, speaker="Anna"))
    assert tokens(again) == tokens(pieces)


def test_a_model_whose_memory_cannot_be_shortened_is_refused(llama):
    from talkalike.engine.cache import PrefixCache

    network = copy.copy(llama.model)
    network.config = type(llama.model.config).from_dict({**llama.model.config.to_dict(), "num_hidden_layers": 2})
    network.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(UserError, match="linear_attention"):
        PrefixCache(network)
