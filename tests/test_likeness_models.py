"""Bits per character on a real tiny model against a computation by hand, and generating with a cache."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from talkalike.engine.protocol import Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError
from talkalike.evaluation.bits import (
    BitsSettings,
    compare_bits,
    reply_bits,
    with_wrong_context,
    with_wrong_speaker,
)
from talkalike.evaluation.generate import Generated, GenerationSettings, generate_replies
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.reactions import reaction_turn
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama


def reply(index: int, *, conversation: str = "irc:a", context: tuple[Turn, ...] | None = None) -> ReferenceReply:
    before = (Turn("Ruben", f"hello there {index}"), Turn("Lena", "i am fine"), Turn("Mia", "ok, see you"))
    return ReferenceReply(
        conversation=conversation,
        context=before if context is None else context,
        speaker="Lena",
        messages=("what is the plan?", f"no idea {index} 😂"),
        sent_ms=index,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, LoadedModel]:
    root = tmp_path_factory.mktemp("models")
    folders = [build_tiny_llama(root / f"tiny-{seed}", seed=seed) for seed in (1, 2)]
    first, second = (
        load_for_inference(folder, catalog=Catalog(root), dtype="float32", device="cpu") for folder in folders
    )
    return first, second


def bits_by_hand(loaded: LoadedModel, turns: tuple[Turn, ...], speaker: str, text: str) -> float:
    """One message after `turns`, straight from the definition: one forward pass of the unpacked model."""
    renderer = Renderer(loaded.tokenizer)
    prompt = renderer.prompt(turns, speaker)
    target = [*renderer.encode_text(text), renderer.stop_id]
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([prompt + target])).logits[0].double()
    logprobs = torch.log_softmax(logits, dim=-1)
    return -sum(float(logprobs[len(prompt) + i - 1, token]) for i, token in enumerate(target)) / math.log(2)


def test_bits_equal_the_definition(models: tuple[LoadedModel, LoadedModel]) -> None:
    replies = [reply(1), reply(2, context=(Turn("Ruben", "x"),)), reply(3)]
    scored = reply_bits(models[0], replies, context_tokens=500)
    for case, found in zip(replies, scored, strict=True):
        assert found is not None
        first, second = case.messages
        after = (*case.context, Turn("Lena", first))
        expected = (
            bits_by_hand(models[0], case.context, "Lena", first),
            bits_by_hand(models[0], after, "Lena", second),
        )
        assert found.bits == pytest.approx(expected, rel=1e-4)
        assert found.characters == (len("what is the plan?") + 1, len("no idea 1 😂") + 1)


def test_bits_are_those_of_words_and_reactions_are_only_context(models: tuple[LoadedModel, LoadedModel]) -> None:
    thumb = reaction_turn("Lena", "👍")
    case = replace(reply(1), messages=("what is the plan?", thumb.text, "no idea"))
    (found,) = reply_bits(models[0], [case], context_tokens=500)
    assert found is not None
    after = (*case.context, Turn("Lena", "what is the plan?"), thumb)
    expected = (
        bits_by_hand(models[0], case.context, "Lena", "what is the plan?"),
        bits_by_hand(models[0], after, "Lena", "no idea"),
    )
    assert found.bits == pytest.approx(expected, rel=1e-4)
    assert found.characters == (len("what is the plan?") + 1, len("no idea") + 1)


def test_context_is_cut_to_the_newest_whole_turns(models: tuple[LoadedModel, LoadedModel]) -> None:
    case = reply(1)
    renderer = Renderer(models[0].tokenizer)
    last = case.context[-1]
    room = renderer.turn_cost(last.speaker, len(renderer.encode_text(last.text)))
    for tokens, context in ((room, case.context[-1:]), (room - 1, ()), (0, ())):
        cut = reply_bits(models[0], [case], context_tokens=tokens)
        assert cut == reply_bits(models[0], [replace(case, context=context)], context_tokens=500)
    assert cut != reply_bits(models[0], [case], context_tokens=500)


def test_a_reply_longer_than_the_model_is_counted_as_skipped(models: tuple[LoadedModel, LoadedModel]) -> None:
    endless = replace(reply(9), messages=("no " * 2000,))
    replies = [*(reply(index) for index in range(6)), endless]
    assert reply_bits(models[0], replies, context_tokens=100)[-1] is None
    report = compare_bits(models[0], models[1], replies, replies, BitsSettings(bootstrap=20))
    assert (report.double.skipped, report.messages) == (1, 12)
    assert report.double.bits_per_character.n == 6


def test_lifts_are_differences_over_the_same_replies(models: tuple[LoadedModel, LoadedModel]) -> None:
    alone = reply(7, conversation="irc:b", context=(Turn("Lena", "anyone there?"),))
    replies = [*(reply(index) for index in range(8)), alone]
    settings = BitsSettings(context_tokens=300, bootstrap=50, seed=4)
    seen: list[tuple[int, int]] = []
    report = compare_bits(
        models[0], models[1], replies, replies, settings, lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (50, 50)  # of each model: nine as they are, eight under another name and after another context
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def total(model: LoadedModel, cases: list[ReferenceReply | None]) -> float:
        found = reply_bits(model, cases, context_tokens=300)
        return sum(sum(one.bits) for one in found if one is not None)

    with_others = replies[:8]  # the last one has nobody else in its context and no other context to borrow
    characters = sum(len(text) + 1 for case in with_others for text in case.messages)
    for found, model in ((report.double, models[0]), (report.base, models[1])):
        true = total(model, list(with_others))
        speaker = (total(model, with_wrong_speaker(replies, (), 4)) - true) / characters
        context = (total(model, with_wrong_context(replies, replies, 4)[1]) - true) / characters
        assert found.speaker_lift.value == pytest.approx(speaker) and found.speaker_lift.n == 8
        assert found.context_lift.value == pytest.approx(context) and found.context_lift.n == 8
        assert found.bits_per_character.n == 9
    gain = report.base.bits_per_character.value - report.double.bits_per_character.value  # type: ignore[operator]
    assert report.gain.value == pytest.approx(gain)
    assert report == compare_bits(models[0], models[1], replies, replies, settings)


def test_too_few_replies_have_no_bits(models: tuple[LoadedModel, LoadedModel]) -> None:
    report = compare_bits(models[0], models[1], [reply(1)], [reply(1)], BitsSettings(bootstrap=10))
    assert report.double.bits_per_character.value is None and "only 1 replies" in report.double.bits_per_character.why


def test_wrong_speakers_come_from_the_same_context() -> None:
    cases = [reply(index) for index in range(20)] + [reply(0, context=(Turn("Lena", "hm"),))]
    wrong = with_wrong_speaker(cases, ["Lena"], 0)
    assert wrong[-1] is None
    assert {case.speaker for case in wrong if case is not None} == {"Ruben", "Mia"}
    assert all(case.messages == true.messages for case, true in zip(wrong[:-1], cases, strict=False) if case)


def test_wrong_contexts_come_from_the_same_conversation() -> None:
    cases = [reply(index, conversation=f"irc:{index % 2}") for index in range(10)] + [reply(0, conversation="irc:c")]
    own, moved = with_wrong_context(cases, cases, 3)
    assert moved[-1] is None and own == [*cases[:-1], None]
    for case, true in zip(moved[:-1], cases[:-1], strict=True):
        assert case is not None and case.context != true.context and case.messages == true.messages
        assert int(case.context[0].text.split()[-1]) % 2 == true.sent_ms % 2


REPLIES = [reply(index) for index in range(6)]
SAMPLING = Sampling(seed=5, max_tokens=40)


def answers(prompt: Prompt) -> list[str]:
    return [f"answer to {prompt.turns[0].text}", "and more"]


async def test_every_context_gets_its_own_answer_in_order() -> None:
    engine = ScriptedEngine(answers)
    seen: list[tuple[int, int]] = []
    settings = GenerationSettings(sampling=SAMPLING, concurrency=3)
    found = await generate_replies(
        engine, REPLIES, settings, fingerprint="a", progress=lambda done, total: seen.append((done, total))
    )
    assert [one.messages for one in found] == [(f"answer to hello there {i}", "and more") for i in range(6)]
    assert seen == [(done, 6) for done in range(7)]
    assert not any(one.cut_off for one in found) and all(prompt.speaker == "Lena" for prompt in engine.prompts)


async def test_a_second_run_asks_nothing_and_a_new_model_everything(tmp_path: Path) -> None:
    settings = GenerationSettings(sampling=SAMPLING, cache_folder=tmp_path / "cache")
    first = await generate_replies(ScriptedEngine(answers), REPLIES, settings, fingerprint="weights-1")
    engine = ScriptedEngine([["something else"]])
    assert await generate_replies(engine, REPLIES, settings, fingerprint="weights-1") == first
    assert engine.prompts == []
    await generate_replies(engine, REPLIES, settings, fingerprint="weights-2")
    assert len(engine.prompts) == 6
    warmer = replace(settings, sampling=replace(SAMPLING, temperature=1.2))
    await generate_replies(engine, REPLIES, warmer, fingerprint="weights-1")
    assert len(engine.prompts) == 12


async def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = GenerationSettings(sampling=SAMPLING, cache_folder=tmp_path, concurrency=1)
    breaks = ScriptedEngine([["one"], ["two"], ["three"], TalkalikeError("The model is gone.")])
    with pytest.raises(TalkalikeError, match="gone"):
        await generate_replies(breaks, REPLIES, settings, fingerprint="a")
    (file,) = tmp_path.iterdir()
    lines = file.read_text(encoding="utf-8").split("\n")
    assert len(lines) == 4 and lines[-1] == ""
    file.write_text("\n".join(lines)[:-9], encoding="utf-8")  # the power went while the third line was written
    engine = ScriptedEngine(answers)
    found = await generate_replies(engine, REPLIES, settings, fingerprint="a")
    assert len(engine.prompts) == 4 and len(found) == 6
    unused = ScriptedEngine([])
    assert await generate_replies(unused, REPLIES, settings, fingerprint="a") == found


async def test_the_prompt_keeps_the_newest_turns_that_fit() -> None:
    engine = ScriptedEngine(answers)
    costs = engine.count_tokens(REPLIES[0].context)
    settings = GenerationSettings(sampling=SAMPLING, context_tokens=costs[1] + costs[2])
    await generate_replies(engine, REPLIES[:1], settings, fingerprint="a")
    assert engine.prompts[0].turns == REPLIES[0].context[1:]
    small = ScriptedEngine(answers, context_length=40 + 32 + costs[2])
    await generate_replies(small, REPLIES[:1], GenerationSettings(sampling=SAMPLING), fingerprint="a")
    assert small.prompts[0].turns == REPLIES[0].context[2:]


async def test_a_reply_that_runs_into_the_limit_is_marked() -> None:
    engine = ScriptedEngine([["a very long answer that never comes to an end"]])
    settings = GenerationSettings(sampling=Sampling(max_tokens=3))
    (found,) = await generate_replies(engine, REPLIES[:1], settings, fingerprint="a")
    assert found.cut_off and found.tokens == 3


async def test_the_local_engine_answers_alike_whatever_the_concurrency(
    models: tuple[LoadedModel, LoadedModel],
) -> None:
    from talkalike.engine.local import LocalEngine

    runs: list[list[Generated]] = []
    for concurrency in (1, 4):
        engine = LocalEngine(models[0])
        settings = GenerationSettings(sampling=Sampling(seed=1, max_tokens=12), concurrency=concurrency)
        runs.append(await generate_replies(engine, [REPLIES[0], *REPLIES], settings, fingerprint="a"))
        await engine.close()
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]  # the same context twice: another seed
    assert np.mean([one.tokens for one in runs[0]]) > 1
