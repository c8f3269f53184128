"""The whole double in trouble, over real sockets: Discord's refusals, lost connections, restarts, slow and dead models.

Whatever happens, a message has one reply, no traceback is logged, and the next message is answered.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from bot_server import CHILD, VOICE, BotServer, child, echo, online
from local_discord import payloads
from local_discord.permissions import Permission
from local_discord_bots import open_server, until
from talkalike.chat.engines import OpenEngines
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError
from talkalike.store import replies
from talkalike.store.replies import ReplyState
from talkalike.store.store import open_store

POST, PATCH = "POST /channels/*/messages", "PATCH /channels/*/messages/*"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
async def server(url: str) -> AsyncIterator[BotServer]:
    async with open_server() as empty:
        with open_store(url) as store:
            yield BotServer(**vars(empty), store=store)


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Trouble is told in words: nothing that went wrong is worth a traceback of ours."""
    yield
    logged = [one for one in caplog.records if one.exc_info and one.name.startswith("talkalike")]
    logged += [one for one in caplog.records if one.name == "asyncio" and one.levelno >= logging.ERROR]
    assert [one.getMessage() for one in logged] == []


# ------------------------------------------------------------------------------------------------------------- REST
async def test_limits_and_failures_in_mid_reply_change_nothing(server: BotServer) -> None:
    script = (("one two three four five six seven eight", "second", "third"),)
    faults = server.world.faults
    async with online(server, ScriptedEngine(script, delay=0.15)):
        faults.rate_limit("POST /channels/*/typing", retry_after=0.1)
        faults.rate_limit(POST, times=2, retry_after=0.1)
        faults.fail(PATCH, 502)
        server.send("go")
        await until(server.words)
        faults.rate_limit(PATCH, retry_after=0.1)
        faults.fail(POST, 502, after=True)  # posted, and only the answer is lost
        faults.rate_limit(POST, retry_after=0.1, everywhere=True)
        (row,) = await server.wait_ended(1)
    assert server.words() == list(script[0])
    assert row.state is ReplyState.DONE and row.problem == ""
    assert [one.message_id for one in row.messages] == [one.id for one in server.by_bot()]


async def test_a_503_ends_a_reply_in_words_and_not_the_next(server: BotServer) -> None:
    async with online(server):
        server.world.faults.fail(POST, 503)
        server.send("first")
        (row,) = await server.wait_ended(1)
        assert row.state is ReplyState.FAILED and "503" in row.problem
        server.send("second")
        await server.wait_ended(2)
    assert server.words() == ["re: second"]


async def test_rights_lost_in_mid_reply_are_noted(server: BotServer) -> None:
    everyone = server.guild.roles[server.guild.id]
    elsewhere = server.open_channels(1)[0]
    async with online(server, ScriptedEngine((("posted", "never seen"),), delay=0.3)):
        server.send("go")
        await until(server.words)
        server.world.set_overwrite(server.general, everyone, deny=Permission.SEND_MESSAGES)
        (row,) = await server.wait_ended(1)
        assert server.words() == ["posted"]
        assert row.state is ReplyState.FAILED and "does not let me write" in row.problem
        assert [one.text for one in row.messages] == ["posted"]
        server.send("here you may", elsewhere)
        await server.wait_ended(1, elsewhere)
        assert server.words(elsewhere) == ["posted", "never seen"]
        server.world.set_overwrite(server.general, everyone)
        server.send("and here again")
        await server.wait_ended(2)
    assert server.words() == ["posted", "posted", "never seen"]


async def test_a_channel_deleted_in_mid_reply_ends_it(server: BotServer) -> None:
    gone = server.open_channels(1)[0]
    engine = ScriptedEngine((("one", "two three four five"),), delay=0.2)
    async with online(server, engine) as bot:
        server.send("go", gone)
        await until(lambda: server.words(gone))
        server.world.delete_channel(gone.id)
        (row,) = await server.wait_ended(1, gone)
        assert row.state in (ReplyState.FAILED, ReplyState.CANCELLED)
        assert bot.conversations.running() == () and engine.running == 0
        await until(lambda: bot.contexts._engines.forgotten == [(f"discord:{gone.id}",)])
        server.send("still there?")
        await server.wait_ended(1)
    assert server.words() == ["one", "two three four five"]


async def test_a_file_over_the_cap_becomes_messages(server: BotServer) -> None:
    long = "\n".join(f"line-{number}-" + "x" * 90 for number in range(200))
    async with online(server, ScriptedEngine(((long,),)), options={"max_tokens": 500}):
        server.send("as a file")
        await server.wait_ended(1)
        (attachment,) = [file for one in server.by_bot() for file in one.attachments]
        assert server.world.files.get(attachment.id).data.decode() == long  # type: ignore[union-attr]  # it is kept
        server.world.faults.upload_cap = 1000
        server.send("refused")
        row, _ = await server.wait_ended(2)
    posted = [one for one in server.by_bot() if one.id > row.trigger_id]
    assert row.state is ReplyState.DONE
    assert not any(one.attachments for one in posted)
    assert "".join(one.content for one in posted).startswith("line-0-")
    assert any("too long" in one.content for one in posted)


# ---------------------------------------------------------------------------------------------------------- gateway
@pytest.mark.parametrize("how", ["closed", "cut", "asked"])
async def test_a_dropped_gateway_loses_and_doubles_nothing(server: BotServer, how: str) -> None:
    rooms = server.open_channels(6)
    faults, bot_id = server.world.faults, server.bot.id
    async with online(server, ScriptedEngine(echo, delay=0.1), at_once=6) as bot:
        for number, room in enumerate(rooms[:3]):
            server.send(f"before {number}", room)
        await until(lambda: len(bot.conversations.running()) == 3)
        drop = faults.ask_to_reconnect if how == "asked" else faults.drop_gateway
        assert drop(bot_id, **({"abrupt": True} if how == "cut" else {})) == 1
        for number, room in enumerate(rooms[3:]):
            server.send(f"during {number}", room)
        for room in rooms:
            await server.wait_ended(1, room)
    said = [server.words(room) for room in rooms]
    assert said == [[f"re: before {n}"] for n in range(3)] + [[f"re: during {n}"] for n in range(3)]


async def test_events_told_twice_are_answered_once(server: BotServer) -> None:
    """A new session, and Discord tells an old message again."""
    (room,) = server.open_channels(1)
    async with online(server):
        sent = server.send("once")
        await server.wait_ended(1)
        server.world.faults.invalidate_sessions(server.bot.id)
        sessions = server.wire.gateway.sessions
        await until(lambda: [one for one in sessions.values() if one.connected and one.seq > 1])
        (session,) = sessions.values()
        session.dispatch("MESSAGE_CREATE", payloads.message(server.world, sent))
        server.send("next", room)
        await server.wait_ended(1, room)
        await asyncio.sleep(0.3)  # time enough to answer it again
    assert server.words() == ["re: once"]
    assert server.words(room) == ["re: next"]


# ---------------------------------------------------------------------------------------------------------- restart
async def test_a_killed_process_leaves_one_reply_to_each_message(server: BotServer, url: str) -> None:
    """Killed without a word while one reply has been read in part and another one has not begun to show."""
    shown, unseen = server.open_channels(2)
    token = server.bot.token
    async with child(server, url, token=token, delay=0.4) as process:
        server.send("a b c d e f g h", shown)
        await until(lambda: server.words(shown))
        server.send("z", unseen)
        await until(lambda: server.rows(unseen))
        process.kill()
        await process.wait()
    left = server.words(shown)
    async with child(server, url, token=token) as process:
        await server.wait_ended(2, unseen)
        await until(lambda: all(row.state is not ReplyState.WRITING for row in server.rows(shown)))
        server.send("next", shown)
        await server.wait_ended(2, shown)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert server.words(unseen) == ["re: z"]
    assert server.words(shown) == [*left, "re: next"]
    assert [row.state for row in server.rows(unseen)] == [ReplyState.DONE, ReplyState.LOST]
    assert [row.state for row in server.rows(shown)] == [ReplyState.DONE, ReplyState.LOST]


async def test_a_restart_in_order_takes_up_what_nobody_has_seen(server: BotServer) -> None:
    async with online(server, ScriptedEngine(echo, delay=30.0)) as bot:
        server.send("wait for me")
        await until(lambda: bot.conversations.running())
    async with online(server):
        rows = await server.wait_ended(2)
    assert server.words() == ["re: wait for me"]
    assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.LOST]


# ---------------------------------------------------------------------------------------------------------- trigger
async def test_a_trigger_edited_in_mid_reply_and_after_it(server: BotServer) -> None:
    def script(prompt: Prompt) -> Any:
        return (*echo(prompt), "and more")

    async with online(server, ScriptedEngine(script, delay=0.15)) as bot:
        sent = server.send("a b c d e")
        await until(server.words)
        server.world.edit(server.anna.id, sent.id, "changed while written")
        await until(lambda: bot.contexts._engines.forgotten == [(f"discord:{server.general.id}",)])
        await until(lambda: server.words() == ["re: changed while written", "and more"])
        await server.wait_ended(2)
        server.world.edit(server.anna.id, sent.id, "changed again")
        await until(lambda: server.words() == ["re: changed again", "and more"])
        rows = await server.wait_ended(3)
    assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.DONE, ReplyState.STALE]


async def test_a_trigger_deleted_before_and_while_the_reply_shows(server: BotServer) -> None:
    engine = ScriptedEngine(echo, delay=0.2)
    async with online(server, engine) as bot:
        sent = server.send("a b c d")
        await until(lambda: bot.conversations.running())
        server.world.delete(server.anna.id, sent.id)
        (row,) = await server.wait_ended(1)
        assert row.state is ReplyState.CANCELLED and server.words() == []
        sent = server.send("e f g h")
        await until(server.words)
        server.world.delete(server.anna.id, sent.id)
        row, _ = await server.wait_ended(2)
    assert server.words() == ["re: e f g h"]
    assert row.state is ReplyState.DONE


# ------------------------------------------------------------------------------------------------------------ model
async def test_a_model_that_computes_for_a_minute_keeps_nobody_waiting(server: BotServer, tmp_path: Path) -> None:
    """Its process gives way to nobody; the bot's heart beats on all the same, and commands are answered."""
    server.wire.gateway.heartbeat_seconds = 0.4  # a client that is silent for 0.6 s is thrown out

    def command(listening: int) -> list[str]:
        return [sys.executable, str(CHILD), "model", str(listening), VOICE.model, "60"]

    engine = ProcessEngine(VOICE.model, command=command, log=tmp_path / "model.log")
    await engine.start()
    engines = OpenEngines(engines={VOICE.model: engine}, described=(VOICE,))
    try:
        async with online(server, engines=engines) as bot:
            server.send("think hard")
            await until(lambda: bot.conversations.running())
            session = next(iter(server.wire.gateway.sessions.values()))
            longest, until_when = 0.0, time.monotonic() + 2.5
            while (before := time.monotonic()) < until_when:
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)
            status = await server.read_answer(await server.use_command("status"))
            assert "1 reply being written" in status
            assert session.connected and [session] == list(server.wire.gateway.sessions.values())
            assert longest < 1.0
            (row,) = server.rows()
            assert await bot.conversations.cancel(row.id, by=1)
            (hog,) = [one for one in psutil.Process().children() if str(CHILD) in one.cmdline()]
            hog.kill()  # it would not hear anything else for a minute
    finally:
        await engine.close()
    assert server.words() == []


async def test_a_dead_model_gives_one_line_and_a_mark_in_the_status(server: BotServer) -> None:
    def script(prompt: Prompt) -> Any:
        return TalkalikeError("The model's process died.", hint="Read /var/log/secret.")

    async with online(server, ScriptedEngine(script)):
        asked = []
        for number in range(5):
            asked.append(server.send(f"hello {number}"))
            await server.wait_ended(number + 1)
        status = await server.read_answer(await server.use_command("status"))
    (told,) = server.notices()
    assert "/status" in told and "secret" not in told
    assert server.words() == []
    assert [list(one.reactions) for one in asked] == [[]] + [["⚠️"]] * 4
    assert "The model's process died." in status
    assert len(server.store.call(replies.problems, server.guild.id)) == 5


# ------------------------------------------------------------------------------------------------------------- line
async def test_a_reply_that_waits_can_be_cancelled(server: BotServer) -> None:
    """By a sign under the message, and by the button under the place in the line."""
    by_sign, by_button = server.open_channels(2)
    anna = server.anna.id
    engine = ScriptedEngine(echo, delay=60.0)
    async with online(server, engine, at_once=1) as bot:
        server.send("slow")
        await until(lambda: bot.conversations.running())
        sent = server.send("one", by_sign)
        server.send("two", by_button)
        await until(lambda: bot.conversations.queue_length() == 2)
        server.world.react(anna, sent.id, "❌")
        (row,) = await server.wait_ended(1, by_sign)
        assert row.state is ReplyState.CANCELLED
        (notice,) = await until(lambda: server.by_bot(by_button))
        assert "next in the line" in notice.content
        (row,) = server.rows(by_button)
        server.world.click(anna, notice.id, f"talkalike:cancel:{row.id}")
        (row,) = await server.wait_ended(1, by_button)
        assert row.state is ReplyState.CANCELLED
        await until(lambda: not server.by_bot(by_button))
        assert bot.conversations.queue_length() == 0 and engine.running == 1
        server.send("slow no more")
    assert server.words(by_sign) == [] and len(engine.prompts) == 1


async def test_what_is_too_much_is_turned_away_before_it_is_written_down(server: BotServer) -> None:
    """One line for each channel, however many messages; nothing in the store; and then it goes on as before."""
    rooms = server.open_channels(8)
    engine = ScriptedEngine(echo, delay=60.0)
    async with online(server, engine, at_once=1, max_waiting=2) as bot:
        server.send("slow")
        await until(lambda: bot.conversations.running())
        for room in rooms[:2]:
            server.send("waits", room)
        await until(lambda: bot.conversations.queue_length() == 2)
        asked = [server.send(f"too much {number}", room) for room in rooms[2:] for number in range(3)]
        await until(lambda: all(server.notices(room) for room in rooms[2:]) and bot.conversations.turned_away >= 6)
        status = await server.read_answer(await server.use_command("status"))
        assert f"2 waiting, {bot.conversations.turned_away} turned away" in status
        assert [len(server.notices(room)) for room in rooms[2:]] == [1] * 6
        assert "2 replies are waiting already" in server.notices(rooms[2])[0]
        assert [server.rows(room) for room in rooms[2:]] == [()] * 6 and not any(one.reactions for one in asked)
        for room in rooms[:2]:
            (row,) = server.rows(room)
            assert await bot.conversations.cancel(row.id, by=1)
        server.send("again", rooms[2])
        await until(lambda: bot.conversations.queue_length() == 1)
    assert len(server.rows(rooms[2])) == 1


# --------------------------------------------------------------------------------------------------------- two bots
async def test_two_doubles_in_two_processes_answer_people_and_not_each_other(
    server: BotServer, url: str, tmp_path: Path
) -> None:
    second = server.world.add_bot("second", owner=server.anna)
    server.world.invite(server.guild, second)
    other_url = f"sqlite:///{tmp_path / 'second.db'}"
    with open_store(other_url) as own:
        for_second = replace(server, store=own)
        async with child(server, url, token=server.bot.token), child(for_second, other_url, token=second.token):
            for number in range(3):
                server.send(f"hi {number}")
                await server.wait_ended(number + 1)
                await for_second.wait_ended(number + 1)
            server.send(f"<@{second.id}> you?")
            await for_second.wait_ended(4)
            await server.wait_ended(4)
            await asyncio.sleep(0.3)  # time enough to answer an answer
        asked = {one.id for one in server.general.messages.values() if one.author_id == server.anna.id}
        assert {row.trigger_id for row in server.rows()} == asked == {row.trigger_id for row in for_second.rows()}
    assert server.words()[:3] == server.words(bot=second)[:3] == ["re: hi 0", "re: hi 1", "re: hi 2"]
    assert len(server.words()) == len(server.words(bot=second)) == 4
