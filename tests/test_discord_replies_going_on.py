"""Replies that go wrong or on: budgets, failures, restarts, resets, the waiting line, several connections."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import simcord

from discord_world import SETTLE, World, services, world
from talkalike.chat.permissions import Access, Level, Subject
from talkalike.discord_bot.bot import ShardedDouble
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError
from talkalike.store import replies, scoped, servers, usage
from talkalike.store.replies import ReplyState

HELLO = (("hello there",),)
THERE = "Anton: hello there"


def echo(prompt: Prompt) -> tuple[str, ...]:
    """Answers with the newest words it was shown."""
    return (f"re: {prompt.turns[-1].text}",)


async def test_a_used_up_budget_is_told_once(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, options={"daily_replies_user": 1}) as w:
        for _ in range(3):
            await w.anna.send(w.open, "hi")
            await w.wait()
        assert w.words(w.open) == ["hello there"]
        (told,) = w.notices(w.open)
        assert "midnight" in told
        await w.ben.send(w.open, "hi")
        await w.wait()
        assert len(w.words(w.open)) == 2
        used = w.services.store.call(usage.read_used, w.anna.id, w.guild.id, datetime.now(UTC).date())
        assert (used.replies_user, used.replies_server) == (1, 2)


async def test_a_channels_replies_keep_to_its_rate_and_none_is_lost(tmp_path: Path) -> None:
    async with world(tmp_path, echo, options={"replies_per_minute": 2, "wait_seconds": 0.0}) as w:
        for number in range(4):
            await w.anna.send(w.open, str(number))
            await w.wait(3)
        assert w.words(w.open) == ["re: 0", "re: 1"]
        await w.wait(60)
        assert w.words(w.open) == ["re: 0", "re: 1", "re: 3"]


async def test_a_dead_engine_is_told_once_and_noted(tmp_path: Path) -> None:
    broken: Any = (TalkalikeError("The model's process died at /secret/path.", hint="Look at the log."),)
    async with world(tmp_path, broken) as w:
        for _ in range(3):
            await w.anna.send(w.open, "hi")
            await w.wait()
        (told,) = w.notices(w.open)
        assert "/status" in told and "/secret" not in told
        asked = [one for one in w.open.history() if one.author.id == w.anna.id]
        assert [[str(sign.emoji) for sign in one.reactions] for one in asked] == [[], ["⚠️"], ["⚠️"]]
        assert len(w.services.store.call(replies.problems, w.guild.id)) == 3
        await w.wait(400)
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert len(w.notices(w.open)) == 2


async def test_after_a_failure_the_next_message_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path, (TalkalikeError("It died."), ("well again",))) as w:
        await w.anna.send(w.open, "hi")
        await w.wait()
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert w.words(w.open) == ["well again"]


async def test_silence_posts_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, ((),)) as w:
        before = len(w.env.http_requests)
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert w.words(w.open) == []
        assert [one.method for one in w.env.http_requests[before:] if one.method != "GET"] == []
        (row,) = w.services.store.call(replies.recent, w.open.id, 5)
        assert row.state is ReplyState.SILENT


async def test_losing_the_right_to_write_is_noted_and_hurts_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        w.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=1)
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert w.words(w.open) == []
        (problem,) = w.services.store.call(replies.problems, w.guild.id)
        assert problem.state is ReplyState.FAILED
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert w.words(w.open) == ["hello there"]


async def test_the_first_direct_message_says_what_answers(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send_dm("hi")
        await w.wait()
        await w.anna.send_dm("hi again")
        await w.wait()
        (told,) = w.notices(w.dm(w.anna))
        assert "AI double of Anton" in told
        assert w.prompts()[-1] == ["Anna: hi", "Anton: hello there", "Anna: hi again"]


@pytest.mark.parametrize(("words", "told"), [("are you a bot?", 1), ("is this a bot channel", 0)])
async def test_it_says_what_it_is_when_asked(tmp_path: Path, words: str, told: int) -> None:
    async with world(tmp_path, (("of course I am human",),)) as w:
        await w.anna.send(w.open, words)
        await w.wait()
        assert len([one for one in w.notices(w.open) if "AI double of Anton" in one]) == told


async def test_a_message_is_answered_once_across_replay_and_restart(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        sent = await w.anna.send(w.open, "once")
        await w.wait()
        message = await w.bot.get_channel(w.open.id).fetch_message(sent.id)
        await w.replay(message)
        assert w.words(w.open) == ["re: once"]
        await w.restart()
        message = await w.bot.get_channel(w.open.id).fetch_message(sent.id)
        await w.replay(message)
        assert w.words(w.open) == ["re: once"]


async def test_a_reply_the_last_process_did_not_finish_is_written_after_the_restart(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=20.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "wait for me")
        await w.wait(4)
        assert engine.running == 1
        await w.restart()
        await w.wait(120)
        assert w.words(w.open) == ["re: wait for me"]
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.LOST]


async def test_what_was_left_open_too_long_ago_is_lost(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=20.0)
    async with world(tmp_path, engine=engine, stale_after=0.0) as w:
        await w.anna.send(w.open, "too late")
        await w.wait(4)
        await w.restart()
        await w.wait(120)
        assert w.words(w.open) == []
        (row,) = w.services.store.call(replies.recent, w.open.id, 5)
        assert row.state is ReplyState.LOST


async def test_a_reset_marker_hides_what_came_before_until_it_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.open, "before")
        await w.wait()
        await w.reset(w.open)
        await w.restart()
        await w.anna.send(w.open, "after")
        await w.wait()
        assert w.prompts()[-1] == ["Anna: after"]
        await w.delete_marker(w.open)
        await w.anna.send(w.open, "later")
        await w.wait()
        assert w.prompts()[-1] == [
            "Anna: before",
            "Anton: hello there",
            "Anna: after",
            "Anton: hello there",
            "Anna: later",
        ]


async def test_what_was_dropped_by_hand_is_not_seen(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        dropped = await w.anna.send(w.open, "a")
        await w.anna.send(w.open, "b")
        call = w.services.store.call
        call(scoped.mark, w.open.id, dropped.id, "dropped", by=1, server_id=w.guild.id)
        await w.wait()
        assert w.prompts() == [["Anna: b"]]


async def test_a_warm_channel_is_not_read_again(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.open, "one")
        await w.wait()
        before = len(w.env.http_requests)
        first = await w.anna.send(w.open, "two")
        await w.wait()
        assert [one.method for one in w.env.http_requests[before:] if one.method == "GET"] == []
        await w.anna.delete(first)
        await w.anna.send(w.open, "three")
        await w.wait()
        assert w.prompts()[-1] == ["Anna: one", "Anton: hello there", "Anton: hello there", "Anna: three"]


async def test_leaving_a_server_deletes_what_was_kept_of_it(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert [one.id for one in w.services.store.call(servers.all_servers)] == [w.guild.id]
        await w.leave()
        assert w.services.store.call(replies.recent, w.open.id, 5) == ()


async def test_a_place_in_the_line_is_told_and_can_be_given_up(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=5.0)
    async with world(tmp_path, engine=engine, at_once=1) as w:
        await w.anna.send(w.open, "a b c d e f g h")
        await w.wait(4)
        await w.ben.send(w.mention, f"{w.me} waits")
        await w.wait(4)
        assert w.notices(w.mention) == []
        await w.wait(2)
        assert w.notices(w.mention) == ["You are next in the line."]
        assert w.bot.conversations.queue_length() == 1
        assert [one.asker.id for one in w.bot.conversations.running()] == [w.anna.id]
        (row,) = w.services.store.call(replies.recent, w.mention.id, 5)
        assert w.bot.conversations.position(row.id) == 1
        notice = w.mention.history()[-1]
        await w.ben.click(notice, custom_id=f"talkalike:cancel:{row.id}")
        assert w.notices(w.mention) == []
        assert w.bot.conversations.queue_length() == 0
        await w.ben.send(w.mention, f"{w.me} waits again")
        await w.wait(8)
        assert w.notices(w.mention) == ["You are next in the line."]
        await w.wait(120)
        assert w.notices(w.mention) == []
        assert w.words(w.mention) == ["re: @TestBot waits again"]
        assert w.words(w.open) == ["re: a b c d e f g h"]


async def test_who_is_shut_out_while_waiting_gets_no_reply(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=5.0)
    async with world(tmp_path, engine=engine, at_once=1) as w:
        await w.anna.send(w.open, "a b c d")
        await w.wait(4)
        await w.ben.send(w.mention, f"{w.me} waits")
        await w.wait(4)
        assert w.bot.conversations.queue_length() == 1
        w.rule(Subject.USER, w.ben.id, level=Level.IGNORED)
        await w.wait(120)
        assert w.words(w.mention) == []
        (row,) = w.services.store.call(replies.recent, w.mention.id, 5)
        assert row.state is ReplyState.CANCELLED


async def test_several_connections_are_the_same_double(tmp_path: Path) -> None:
    given = services(tmp_path, ScriptedEngine(echo))
    try:
        async with simcord.run(
            ShardedDouble(given, describe=False, shard_count=2), shard_count=2, settle_timeout=SETTLE
        ) as env:
            w = World(env, given, ScriptedEngine(echo))
            w.rule(Subject.CHANNEL, w.open.id, access=Access.OPEN)
            await w.anna.send(w.open, "hi")
            await w.wait()
            assert w.words(w.open) == ["re: hi"]
    finally:
        given.store.close()
