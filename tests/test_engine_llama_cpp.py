"""llama.cpp in this process: it writes what the local engine writes, bursts and reactions included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from talkalike.engine.collecting import collect
from talkalike.engine.llama_cpp import LlamaCpp, LlamaSettings
from talkalike.engine.llama_files import gguf_path, write_gguf
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import ContextTooLongError, Finish, Prompt, Sampling
from talkalike.engine.token_engine import DoubleText, TokenEngine
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import SIGN
from talkalike.examples.render import Turn
from talkalike.workspace.cards import Card, Catalog
from taught_model import ANNA, BOB, CUT, GREEDY, WORDS, asked, facts
from tiny_model import build_tiny_llama

pytest_plugins = ("taught_site",)


@asynccontextmanager
async def in_llama_cpp(file: Path, slots: int = 2) -> AsyncIterator[tuple[TokenEngine, LlamaCpp]]:
    server = LlamaCpp(file, LlamaSettings(context=512, slots=slots, threads=1, exact=True))
    double = DoubleText.of("tiny", (ANNA,), file.parent, context_length=512)
    engine = TokenEngine(double, server, slots=slots)
    try:
        yield engine, server
    finally:
        await engine.close()
        await engine.close()


async def test_greedy_replies_are_the_local_engines(taught_file: Path, ours: LocalEngine) -> None:
    """Bursts, reactions, characters of several tokens, replies that are cut off, and texts that are continued."""
    prompts = [asked(text, *before) for text in WORDS for before in ((), ("two", "hello there"))]
    prompts.append(Prompt(raw="<|im_start|>Bob\nfo"))
    found = []
    async with in_llama_cpp(taught_file) as (engine, _):
        for prompt in prompts:
            for sampling in (GREEDY, CUT) if len(prompt.turns) == 1 else (GREEDY,):
                here, there = await collect(ours, prompt, sampling), await collect(engine, prompt, sampling)
                assert facts(here) == facts(there), prompt
                found.append(here)
        assert engine.count_tokens(asked("one").turns) == ours.count_tokens(asked("one").turns)
    assert any(len(reply.messages) > 2 for reply in found) and any(reply.finish is Finish.LENGTH for reply in found)
    assert any(SIGN in message for reply in found for message in reply.messages)
    assert any("🎉" in message for reply in found for message in reply.messages)


async def test_logprobs_are_the_models_own(taught_file: Path, ours: LocalEngine) -> None:
    async with in_llama_cpp(taught_file) as (engine, _):
        here, there = await collect(ours, asked("one"), GREEDY), await collect(engine, asked("one"), GREEDY)
    told = [piece for piece in there.pieces if piece.logprobs]
    known = dict(zip([p.text for p in here.pieces], [p.logprobs for p in here.pieces], strict=True))
    assert told and all(len(piece.logprobs) == len(piece.token_ids) for piece in told)
    for piece in told:
        assert piece.logprobs == pytest.approx(known[piece.text], abs=0.02)


async def test_a_conversation_that_goes_on_is_not_read_again(taught_file: Path) -> None:
    async with in_llama_cpp(taught_file) as (engine, server):
        long = asked("one", *["two and three and four"] * 10)
        first = await collect(engine, long, Sampling(temperature=0.0, max_messages=1))
        before = server.reused
        again = Prompt(turns=(*long.turns, Turn(BOB, "next")), speaker=ANNA, conversation="c")
        await collect(engine, again, Sampling(temperature=0.0, max_messages=1))
        assert server.reused - before > 0.8 * first.pieces[0].prompt_tokens


async def test_the_same_seed_gives_the_same_reply(taught_file: Path) -> None:
    free = Sampling(temperature=4.0, top_p=1.0, seed=5, max_tokens=30)
    async with in_llama_cpp(taught_file) as (engine, _):
        replies = [facts(await collect(engine, asked("one"), free)) for _ in range(2)]
        other = facts(await collect(engine, asked("one"), replace(free, seed=6)))
    assert replies[0] == replies[1] != other


async def test_who_leaves_frees_the_slot_and_replies_run_side_by_side(taught_file: Path) -> None:
    endless = Sampling(temperature=3.0, top_p=1.0, max_tokens=400, max_messages=64)
    async with in_llama_cpp(taught_file, slots=1) as (engine, server):
        for _ in range(3):
            async with aclosing(engine.stream(asked("one"), endless)) as pieces:
                await anext(pieces)
        assert (await collect(engine, asked("two"), GREEDY)).messages
        for _ in range(200):
            if not server.running:
                break
            await asyncio.sleep(0.01)
        assert not server.running
    async with in_llama_cpp(taught_file, slots=2) as (engine, _):
        alone = [facts(await collect(engine, asked(text), GREEDY))[:3] for text in WORDS[:3]]
        together = await asyncio.gather(*(collect(engine, asked(text), GREEDY) for text in WORDS[:3]))
    assert [facts(reply)[:3] for reply in together] == alone


async def test_closing_ends_what_is_written(taught_file: Path) -> None:
    endless = Sampling(temperature=3.0, top_p=1.0, max_tokens=400, max_messages=64)
    async with in_llama_cpp(taught_file) as (engine, _):
        pieces = engine.stream(asked("one"), endless)
        await anext(pieces)
        await engine.close()
        rest = [piece async for piece in pieces]
        assert rest[-1].finish is Finish.CANCELLED
        with pytest.raises(TalkalikeError, match="closed"):
            await collect(engine, asked("one"), GREEDY)
    assert not [thread for thread in threading.enumerate() if thread.name == "llama.cpp reply"]


async def test_what_it_cannot_do_is_said(taught_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_llama_cpp(taught_file) as (engine, _):
        with pytest.raises(ContextTooLongError, match="reads 512"):
            await collect(engine, asked("long " * 600), GREEDY)
        with pytest.raises(UserError, match="temperature"):
            await collect(engine, asked("one"), Sampling(temperature=-1.0))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(taught_file.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cannot load .*broken\.gguf"):
        LlamaCpp(broken, LlamaSettings(context=64))
    monkeypatch.setattr("talkalike.engine.llama_cpp.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed") as missing:
        LlamaCpp(taught_file, LlamaSettings(context=64))
    assert "talkalike[llama-cpp]" in str(missing.value.hint)


def test_the_file_is_named_by_what_it_is_made_of(tmp_path: Path) -> None:
    again = Catalog(tmp_path)
    build_tiny_llama(again.path("tiny"), layers=1)
    card = Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00")
    again.save_card(card)
    first = gguf_path(again, card, quant="q8_0")
    assert first == gguf_path(again, card, quant="q8_0") != gguf_path(again, card, quant="f32")
    write_gguf(again, card, first, quant="q8_0")
    build_tiny_llama(again.path("tiny"), layers=1, seed=1)  # trained anew under the same name
    second = gguf_path(again, card, quant="q8_0")
    assert second != first
    write_gguf(again, card, second, quant="q8_0")
    assert sorted(again.path("tiny").glob("*.gguf")) == [second], "the old one is deleted"
