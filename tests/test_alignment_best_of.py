"""Best of n: which reply is sent, what it costs, and what happens when something fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chat_script import HANG, ScriptedWords
from talkalike.alignment.best_of import AT_ONCE, BestOfEngine
from talkalike.alignment.sentiment import SentimentReward
from talkalike.alignment.values import ReplySample
from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.options import resolve
from talkalike.chat.pipeline import MessageDone, Pipeline, ReplyFinished
from talkalike.engine.protocol import Finish, Piece, Prompt, Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn

PROMPT = Prompt(turns=(Turn("ben", "how was it?"),), speaker="anna", conversation="c")
BURSTS = (("it was awful",), ("i loved it", "so great"), ("fine",), ("i loved it", "so great"))


@dataclass
class Length:
    """The longest text wins; remembers what it was asked about."""

    asked: list[list[ReplySample]] = field(default_factory=list)

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        self.asked.append(list(samples))
        return [float(len(sample.text)) for sample in samples]


async def said(engine: BestOfEngine | RemoteEngine, sampling: Sampling) -> tuple[list[str], list[Piece]]:
    async with aclosing(engine.stream(PROMPT, sampling)) as stream:
        pieces = [piece async for piece in stream]
    texts = [""] * (pieces[-1].message + 1)
    for piece in pieces:
        texts[piece.message] += piece.text
    return texts, pieces


async def test_the_best_reply_is_sent_whole_and_its_cost_is_told() -> None:
    inner, reward = ScriptedWords(*BURSTS), Length()
    texts, pieces = await said(BestOfEngine(inner, reward), Sampling(best_of=4, seed=5))
    assert texts == ["i loved it", "so great"]
    assert pieces[-1].finish is Finish.STOP
    assert pieces[-1].discarded == 3 + 1 + 5  # the losers' words, its double among them
    assert [sampling.seed for sampling in inner.samplings] == [5, 6, 7, 8]
    assert {sampling.best_of for sampling in inner.samplings} == {1}
    (samples,) = reward.asked
    assert [sample.text for sample in samples] == ["it was awful", "i loved it\nso great", "fine"]
    assert samples[0].prompt_turns == PROMPT.turns and samples[0].speaker == "anna"
    assert [prompt.conversation for prompt in inner.prompts] == ["c", "", "", ""], "one memory serves one at a time"


async def test_sentiment_chooses() -> None:
    texts, _ = await said(BestOfEngine(ScriptedWords(*BURSTS), SentimentReward()), Sampling(best_of=3))
    assert texts == ["i loved it", "so great"]


async def test_of_equals_the_first_and_one_is_just_the_engine() -> None:
    class Same:
        def score(self, samples: Sequence[ReplySample]) -> list[float]:
            return [1.0] * len(samples)

    assert (await said(BestOfEngine(ScriptedWords(*BURSTS), Same()), Sampling(best_of=4)))[0] == ["it was awful"]
    inner, reward = ScriptedWords(*BURSTS), Length()
    for sampling in (Sampling(), Sampling(best_of=8, temperature=0)):
        texts, pieces = await said(BestOfEngine(inner, reward), sampling)
        assert pieces[-1].discarded == 0
    assert len(inner.samplings) == 2 and not reward.asked and texts == ["i loved it", "so great"]
    assert (await said(BestOfEngine(ScriptedWords(("hm",)), reward), Sampling(best_of=5)))[0] == ["hm"]
    assert not reward.asked, "all replies were the same: nothing to judge"


async def test_without_a_reward_it_is_refused_and_nothing_is_written() -> None:
    inner = ScriptedWords(*BURSTS)
    engine = BestOfEngine(inner, None)
    with pytest.raises(UserError, match="which of several replies"):
        await said(engine, Sampling(best_of=2))
    assert not inner.samplings
    assert (await said(engine, Sampling()))[0] == ["it was awful"]
    with pytest.raises(UserError, match="'best_of' is a whole number, 1 to 32 replies, but was 33"):
        await said(engine, Sampling(best_of=33))


async def test_a_reward_that_fails_names_the_reply() -> None:
    class Broken:
        def score(self, samples: Sequence[ReplySample]) -> list[float]:
            return [float("nan") if "fine" in sample.text else 0.0 for sample in samples]

    with pytest.raises(UserError, match="'fine' is nan"):
        await said(BestOfEngine(ScriptedWords(*BURSTS), Broken()), Sampling(best_of=3))


async def test_a_failing_reply_ends_the_others() -> None:
    inner = ScriptedEngine([("a b c d",), TalkalikeError("The model is gone."), ("e",)])
    with pytest.raises(TalkalikeError, match="gone"):
        await said(BestOfEngine(inner, Length()), Sampling(best_of=3))
    assert inner.running == 0


async def test_closing_it_ends_every_reply() -> None:
    inner = ScriptedWords(("a",), (f"b {HANG}",), ("c",))
    task = asyncio.create_task(said(BestOfEngine(inner, Length()), Sampling(best_of=3)))
    await inner.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.running == 0


async def test_not_more_replies_at_once_than_others_can_bear() -> None:
    inner = ScriptedWords(*[(f"word {number}",) for number in range(20)])
    texts, _ = await said(BestOfEngine(inner, Length()), Sampling(best_of=20))
    assert texts == ["word 10"]
    assert 1 < inner.most_running <= AT_ONCE


async def test_the_pipeline_counts_what_was_thrown_away() -> None:
    pipeline = Pipeline(BestOfEngine(ScriptedWords(*BURSTS), Length()), sampling=Sampling(best_of=4), budget=500)
    conversation = InMemoryConversation(id="c", double="anna")
    conversation.say("ben", "how was it?")
    async with aclosing(pipeline.reply(conversation)) as events:
        seen = [event async for event in events]
    assert [event.text for event in seen if isinstance(event, MessageDone)] == ["i loved it", "so great"]
    assert isinstance(seen[-1], ReplyFinished) and seen[-1].tokens == 3 + 5 + 1 + 5


def test_it_is_an_option_with_its_cost_told() -> None:
    resolved = resolve([("bot", {"best_of": 4}), ("channel", {"best_of": 2})])
    assert resolved.sampling() == Sampling(best_of=2)
    assert resolve([("bot", {"best_of": 33})]).problems


async def test_through_the_api() -> None:
    """As Discord and the website reach a model's process: number there, tokens back."""
    app = create_app(BestOfEngine(ScriptedWords(*BURSTS), Length()), speaker="anna")
    server = RemoteServer(base_url="http://model/v1", model="scripted", is_ours=True, retries=0)
    engine = RemoteEngine(server)
    await engine.close()
    client = engine._connection._client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://model/v1/"
    )
    texts, pieces = await said(engine, Sampling(best_of=4))
    assert texts == ["i loved it", "so great"] and pieces[-1].discarded == 9
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "best_of": 4}
    answer = await client.post("chat/completions", json=body)
    assert json.loads(answer.content)["usage"]["completion_tokens"] == 14
    refused = await client.post("chat/completions", json=body | {"best_of": 1000})
    assert refused.status_code == 400 and "best_of" in refused.text
    await engine.close()
    foreign = RemoteEngine(RemoteServer(base_url="http://other/v1", model="m"))
    with pytest.raises(UserError, match="does not choose the best"):
        await said(foreign, Sampling(best_of=2))
    await foreign.close()


async def test_a_tiny_model_with_a_reward(tmp_path: Path) -> None:
    """The real engine: the first candidate is the reply without best of n, and the best is no worse by the reward."""
    from talkalike.engine.local import LocalEngine
    from talkalike.models.load import load_for_inference
    from talkalike.workspace.cards import Catalog
    from tiny_model import build_tiny_llama

    loaded = load_for_inference(build_tiny_llama(tmp_path / "tiny"), catalog=Catalog(tmp_path), dtype="float32")
    engine, reward = BestOfEngine(LocalEngine(loaded), Length()), Length()
    try:
        one, _ = await said(engine, Sampling(seed=3, max_tokens=12))
        engine = BestOfEngine(engine._engine, reward)
        best, pieces = await said(engine, Sampling(seed=3, max_tokens=12, best_of=6))
        again, _ = await said(engine, Sampling(seed=3, max_tokens=12, best_of=6))
    finally:
        await engine.close()
    candidates = [sample.text for sample in reward.asked[0]]
    assert candidates[0] == "\n".join(one) and len(candidates) > 1
    assert len("\n".join(best)) == max(map(len, candidates)) and best == again
    assert pieces[-1].discarded > 0
