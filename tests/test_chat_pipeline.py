"""A reply as events: bursts, silence, errors, cancellation, and one reply at a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from itertools import pairwise

import pytest

from chat_script import DROP, HANG, ScriptedWords
from talkalike.chat.conversation import InMemoryConversation
from talkalike.chat.pipeline import MessageDone, Pipeline, ReplyFinished, ReplyStarted, Silence, Text
from talkalike.engine.protocol import Finish, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn


def make(engine: ScriptedWords, *, budget: int = 100) -> tuple[Pipeline, InMemoryConversation]:
    conversation = InMemoryConversation(id="room-1", double="anna")
    return Pipeline(engine, sampling=Sampling(max_tokens=50), budget=budget), conversation


async def events_of(pipeline: Pipeline, conversation: InMemoryConversation, *, whole_messages: bool = False) -> list:
    async with aclosing(pipeline.reply(conversation, whole_messages=whole_messages)) as events:
        return [event async for event in events]


async def test_a_burst_becomes_separate_turns() -> None:
    engine = ScriptedWords(("hey you", "how are you"), ("fine",))
    pipeline, conversation = make(engine)
    conversation.say("ben", "hi")
    conversation.say("cleo", "yo")
    events = await events_of(pipeline, conversation)
    assert isinstance(events[0], ReplyStarted)
    assert events[0].seen.turns == (Turn("ben", "hi"), Turn("cleo", "yo"))
    assert [(event.index, event.text) for event in events if isinstance(event, Text)] == [
        (0, "hey"), (0, " you"), (1, "how"), (1, " are"), (1, " you"),
    ]  # fmt: skip
    done = [event for event in events if isinstance(event, MessageDone)]
    assert [(event.index, event.text, event.message_id) for event in done] == [
        (0, "hey you", "3"), (1, "how are you", "4"),
    ]  # fmt: skip
    assert events.index(done[0]) < events.index(Text(index=1, text="how"))
    assert isinstance(events[-1], ReplyFinished)
    assert (events[-1].reason, events[-1].tokens) == (Finish.STOP, 5)
    said = (Turn("ben", "hi"), Turn("cleo", "yo"), Turn("anna", "hey you"), Turn("anna", "how are you"))
    assert conversation.turns == said
    conversation.say("ben", "and?")
    await events_of(pipeline, conversation)
    assert engine.prompts[1].turns == (*said, Turn("ben", "and?"))
    assert engine.prompts[1].speaker == "anna"
    assert engine.prompts[1].conversation == "room-1"


async def test_whole_messages_come_without_bits() -> None:
    pipeline, conversation = make(ScriptedWords(("hey you", "how are you")))
    events = await events_of(pipeline, conversation, whole_messages=True)
    assert [type(event) for event in events] == [ReplyStarted, MessageDone, MessageDone, ReplyFinished]


@pytest.mark.parametrize("burst", [(), ("",), ("  ", "\n")])
async def test_silence(burst) -> None:
    pipeline, conversation = make(ScriptedWords(burst))
    conversation.say("ben", "hi")
    events = await events_of(pipeline, conversation)
    assert isinstance(events[-1], Silence)
    assert not any(isinstance(event, ReplyFinished | MessageDone) for event in events)
    assert conversation.turns == (Turn("ben", "hi"),)


async def test_blank_message_in_a_burst_is_left_out() -> None:
    pipeline, conversation = make(ScriptedWords(("one", " ", "two")))
    await events_of(pipeline, conversation)
    assert [turn.text for turn in conversation.turns] == ["one", "two"]


async def test_reply_at_its_longest_length() -> None:
    pipeline, conversation = make(ScriptedWords(("so it was", "word " * 60)))
    events = await events_of(pipeline, conversation)
    assert (events[-1].reason, events[-1].tokens) == (Finish.LENGTH, 50)
    assert [turn.text for turn in conversation.turns] == ["so it was", "word" + " word" * 46]


@pytest.mark.parametrize(("whole", "expected"), [(False, ["first one", "second begins"]), (True, ["first one"])])
async def test_a_cancelled_reply_leaves_what_was_shown(whole, expected) -> None:
    engine = ScriptedWords(("first one", f"second begins {HANG} never"), ("again",))
    pipeline, conversation = make(engine)
    task = asyncio.create_task(events_of(pipeline, conversation, whole_messages=whole))
    await engine.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [turn.text for turn in conversation.turns] == expected
    assert engine.running == 0, "the engine's slot is free"
    await events_of(pipeline, conversation)  # the lock is free
    assert [turn.text for turn in conversation.turns] == [*expected, "again"]


async def test_closing_the_events_keeps_only_the_text_handed_out() -> None:
    engine = ScriptedWords(("one two three four",))
    pipeline, conversation = make(engine)
    async with aclosing(pipeline.reply(conversation)) as events:
        async for event in events:
            if event == Text(index=0, text=" two"):
                break
    assert [turn.text for turn in conversation.turns] == ["one two"]
    assert engine.running == 0
    assert not conversation.lock.locked()


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (ScriptedWords(("done", "half a word"), fail_after=3), "connection was lost"),
        (ScriptedWords(("done", f"half a {DROP} word")), "broke off"),
    ],
)
async def test_a_failing_engine_leaves_what_was_shown(engine, message) -> None:
    pipeline, conversation = make(engine)
    with pytest.raises(TalkalikeError, match=message):
        await events_of(pipeline, conversation)
    assert [turn.text for turn in conversation.turns] == ["done", "half a"]
    assert not conversation.lock.locked()


async def test_replies_of_one_conversation_take_turns() -> None:
    engine = ScriptedWords(*[(f"reply {number}", "and more") for number in range(4)])
    pipeline, conversation = make(engine)
    conversation.say("ben", "hi")
    await asyncio.gather(*[events_of(pipeline, conversation) for _ in range(4)])
    assert engine.most_running == 1
    for number, prompt in enumerate(engine.prompts):
        assert len(prompt.turns) == 1 + 2 * number, "each saw the whole reply before it"


async def test_conversations_do_not_wait_for_each_other() -> None:
    engine = ScriptedWords((f"a b {HANG}",), ("quick",))
    pipeline, slow = make(engine)
    other = InMemoryConversation(id="room-2", double="cleo")
    task = asyncio.create_task(events_of(pipeline, slow))
    await engine.hanging.wait()
    events = await events_of(pipeline, other)
    assert isinstance(events[-1], ReplyFinished)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [turn.speaker for turn in other.turns] == ["cleo"]


async def test_messages_said_during_a_reply_are_for_the_next_one() -> None:
    engine = ScriptedWords(("one two",), ("three",))
    pipeline, conversation = make(engine)
    conversation.say("ben", "hi")
    async with aclosing(pipeline.reply(conversation)) as events:
        async for event in events:
            if isinstance(event, ReplyStarted):
                conversation.say("ben", "wait")
    await events_of(pipeline, conversation)
    assert engine.prompts[0].turns == (Turn("ben", "hi"),)
    assert engine.prompts[1].turns == (Turn("ben", "hi"), Turn("ben", "wait"), Turn("anna", "one two"))


async def test_reset_and_a_new_voice() -> None:
    engine = ScriptedWords(("hello",))
    pipeline, conversation = make(engine)
    conversation.say("ben", "old")
    await events_of(pipeline, conversation)
    conversation.reset()
    conversation.double = "cleo"
    conversation.say("ben", "new")
    await events_of(pipeline, conversation)
    assert engine.prompts[1].turns == (Turn("ben", "new"),)
    assert engine.prompts[1].speaker == "cleo"
    assert [one.why for one in conversation.seen.left_out] == ["before the last reset"] * 2


async def test_prompt_and_reply_share_the_context() -> None:
    engine = ScriptedWords(("ok",), context_length=60)
    pipeline, conversation = make(engine, budget=1000)
    for _ in range(20):
        conversation.say("ben", "a b c d e")
    await events_of(pipeline, conversation)
    assert engine.samplings[0].max_tokens == 30, "half of the context at most"
    opening = engine.count_tokens((Turn("anna", ""),))[0]
    assert 0 < sum(engine.count_tokens(engine.prompts[0].turns)) + opening + 30 <= 60
    tiny, conversation = make(ScriptedWords(("ok",), context_length=10))
    with pytest.raises(UserError, match="context of 10 tokens"):
        await events_of(tiny, conversation)


async def test_prompts_share_their_beginning_so_that_a_cache_helps() -> None:
    engine = ScriptedWords(("a short answer",))
    pipeline, conversation = make(engine, budget=100)
    for number in range(30):
        conversation.say("ben", f"message number {number}")
        await events_of(pipeline, conversation)
    assert len(engine.prompts[-1].turns) < 60
    shared = sum(one.turns[0] == other.turns[0] for one, other in pairwise(engine.prompts))
    assert shared >= 20, "the beginning moves once in a few replies, not with every reply"


async def test_sampling_of_one_reply() -> None:
    engine = ScriptedWords(("ok",))
    pipeline, conversation = make(engine)
    async with aclosing(pipeline.reply(conversation, sampling=Sampling(seed=7, max_tokens=9))) as events:
        async for _ in events:
            pass
    assert engine.samplings == [Sampling(seed=7, max_tokens=9)]


def test_budget_must_be_positive() -> None:
    with pytest.raises(UserError, match="budget is 0"):
        Pipeline(ScriptedWords(("x",)), sampling=Sampling(), budget=0)


def test_the_room_loads_no_deep_learning() -> None:
    code = "import sys, talkalike.chat.pipeline; print({'torch', 'transformers', 'rich'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
