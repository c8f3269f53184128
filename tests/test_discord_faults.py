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
from pathlib import Path
from typing import Any

import psutil
import pytest

from fault_town import CHILD, VOICE, Home, child, echo, online
from local_discord import payloads
from local_discord.permissions import Permission
from local_discord_bots import town_open, until
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
async def home(url: str) -> AsyncIterator[Home]:
    async with town_open() as town:
        with open_store(url) as store:
            yield Home(town, store)


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Trouble is told in words: nothing that went wrong is worth a traceback of ours."""
    yield
    logged = [one for one in caplog.records if one.exc_info and one.name.startswith("talkalike")]
    logged += [one for one in caplog.records if one.name == "asyncio" and one.levelno >= logging.ERROR]
    assert [one.getMessage() for one in logged] == []


# ------------------------------------------------------------------------------------------------------------- REST
async def test_limits_and_failures_in_mid_reply_change_nothing(home: Home) -> None:
    script = (("one two three four five six seven eight", "second", "third"),)
    faults = home.world.faults
    async with online(home, ScriptedEngine(script, delay=0.15)):
        faults.rate_limit("POST /channels/*/typing", retry_after=0.1)
        faults.rate_limit(POST, times=2, retry_after=0.1)
        faults.fail(PATCH, 502)
        home.send("go")
        await until(home.words)
        faults.rate_limit(PATCH, retry_after=0.1)
        faults.fail(POST, 502, after=True)  # posted, and only the answer is lost
        faults.rate_limit(POST, retry_after=0.1, everywhere=True)
        (row,) = await home.ended(1)
    assert home.words() == list(script[0])
    assert row.state is ReplyState.DONE and row.problem == ""
    assert [one.message_id for one in row.messages] == [one.id for one in home.by_bot()]


async def test_a_503_ends_a_reply_in_words_and_not_the_next(home: Home) -> None:
    async with online(home):
        home.world.faults.fail(POST, 503)
        home.send("first")
        (row,) = await home.ended(1)
        assert row.state is ReplyState.FAILED and "503" in row.problem
        home.send("second")
        await home.ended(2)
    assert home.words() == ["re: second"]


async def test_rights_lost_in_mid_reply_are_noted(home: Home) -> None:
    everyone = home.town.server.roles[home.town.server.id]
    elsewhere = home.rooms(1)[0]
    async with online(home, ScriptedEngine((("posted", "never seen"),), delay=0.3)):
        home.send("go")
        await until(home.words)
        home.world.set_overwrite(home.town.general, everyone, deny=Permission.SEND_MESSAGES)
        (row,) = await home.ended(1)
        assert home.words() == ["posted"]
        assert row.state is ReplyState.FAILED and "does not let me write" in row.problem
        assert [one.text for one in row.messages] == ["posted"]
        home.send("here you may", elsewhere)
        await home.ended(1, elsewhere)
        assert home.words(elsewhere) == ["posted", "never seen"]
        home.world.set_overwrite(home.town.general, everyone)
        home.send("and here again")
        await home.ended(2)
    assert home.words() == ["posted", "posted", "never seen"]


async def test_a_channel_deleted_in_mid_reply_ends_it(home: Home) -> None:
    gone = home.rooms(1)[0]
    engine = ScriptedEngine((("one", "two three four five"),), delay=0.2)
    async with online(home, engine) as bot:
        home.send("go", gone)
        await until(lambda: home.words(gone))
        home.world.delete_channel(gone.id)
        (row,) = await home.ended(1, gone)
        assert row.state in (ReplyState.FAILED, ReplyState.CANCELLED)
        assert bot.converser.running() == () and engine.running == 0
        home.send("still there?")
        await home.ended(1)
    assert home.words() == ["one", "two three four five"]


async def test_a_file_over_the_cap_becomes_messages(home: Home) -> None:
    long = "\n".join(f"line-{number}-" + "x" * 90 for number in range(200))
    async with online(home, ScriptedEngine(((long,),)), options={"max_tokens": 500}):
        home.send("as a file")
        await home.ended(1)
        (attachment,) = [file for one in home.by_bot() for file in one.attachments]
        assert home.world.files.get(attachment.id).data.decode() == long  # type: ignore[union-attr]  # it is kept
        home.world.faults.upload_cap = 1000
        home.send("refused")
        row, _ = await home.ended(2)
    posted = [one for one in home.by_bot() if one.id > row.trigger_id]
    assert row.state is ReplyState.DONE
    assert not any(one.attachments for one in posted)
    assert "".join(one.content for one in posted).startswith("line-0-")
    assert any("too long" in one.content for one in posted)


# ---------------------------------------------------------------------------------------------------------- gateway
@pytest.mark.parametrize("how", ["closed", "cut", "asked"])
async def test_a_dropped_gateway_loses_and_doubles_nothing(home: Home, how: str) -> None:
    rooms = home.rooms(6)
    faults, bot_id = home.world.faults, home.town.bot.id
    async with online(home, ScriptedEngine(echo, delay=0.1), at_once=6) as bot:
        for number, room in enumerate(rooms[:3]):
            home.send(f"before {number}", room)
        await until(lambda: len(bot.converser.running()) == 3)
        drop = faults.ask_to_reconnect if how == "asked" else faults.drop_gateway
        assert drop(bot_id, **({"abrupt": True} if how == "cut" else {})) == 1
        for number, room in enumerate(rooms[3:]):
            home.send(f"during {number}", room)
        for room in rooms:
            await home.ended(1, room)
    said = [home.words(room) for room in rooms]
    assert said == [[f"re: before {n}"] for n in range(3)] + [[f"re: during {n}"] for n in range(3)]


async def test_events_told_twice_are_answered_once(home: Home) -> None:
    """A new session, and Discord tells an old message again."""
    (room,) = home.rooms(1)
    async with online(home):
        sent = home.send("once")
        await home.ended(1)
        home.world.faults.invalidate_sessions(home.town.bot.id)
        sessions = home.town.wire.gateway.sessions
        await until(lambda: [one for one in sessions.values() if one.connected and one.seq > 1])
        (session,) = sessions.values()
        session.dispatch("MESSAGE_CREATE", payloads.message(home.world, sent))
        home.send("next", room)
        await home.ended(1, room)
        await asyncio.sleep(0.3)  # time enough to answer it again
    assert home.words() == ["re: once"]
    assert home.words(room) == ["re: next"]


# ---------------------------------------------------------------------------------------------------------- restart
async def test_a_killed_process_leaves_one_reply_to_each_message(home: Home, url: str) -> None:
    """Killed without a word while one reply has been read in part and another one has not begun to show."""
    shown, unseen = home.rooms(2)
    token = home.town.bot.token
    async with child(home, url, token=token, delay=0.4) as process:
        home.send("a b c d e f g h", shown)
        await until(lambda: home.words(shown))
        home.send("z", unseen)
        await until(lambda: home.rows(unseen))
        process.kill()
        await process.wait()
    left = home.words(shown)
    async with child(home, url, token=token) as process:
        await home.ended(2, unseen)
        await until(lambda: all(row.state is not ReplyState.WRITING for row in home.rows(shown)))
        home.send("next", shown)
        await home.ended(2, shown)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert home.words(unseen) == ["re: z"]
    assert home.words(shown) == [*left, "re: next"]
    assert [row.state for row in home.rows(unseen)] == [ReplyState.DONE, ReplyState.LOST]
    assert [row.state for row in home.rows(shown)] == [ReplyState.DONE, ReplyState.LOST]


async def test_a_restart_in_order_takes_up_what_nobody_has_seen(home: Home) -> None:
    async with online(home, ScriptedEngine(echo, delay=30.0)) as bot:
        home.send("wait for me")
        await until(lambda: bot.converser.running())
    async with online(home):
        rows = await home.ended(2)
    assert home.words() == ["re: wait for me"]
    assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.LOST]


# ---------------------------------------------------------------------------------------------------------- trigger
async def test_a_trigger_edited_in_mid_reply_and_after_it(home: Home) -> None:
    def script(prompt: Prompt) -> Any:
        return (*echo(prompt), "and more")

    async with online(home, ScriptedEngine(script, delay=0.15)):
        sent = home.send("a b c d e")
        await until(home.words)
        home.world.edit(home.town.anna.id, sent.id, "changed while written")
        await until(lambda: home.words() == ["re: changed while written", "and more"])
        await home.ended(2)
        home.world.edit(home.town.anna.id, sent.id, "changed again")
        await until(lambda: home.words() == ["re: changed again", "and more"])
        rows = await home.ended(3)
    assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.DONE, ReplyState.STALE]


async def test_a_trigger_deleted_before_and_while_the_reply_shows(home: Home) -> None:
    engine = ScriptedEngine(echo, delay=0.2)
    async with online(home, engine) as bot:
        sent = home.send("a b c d")
        await until(lambda: bot.converser.running())
        home.world.delete(home.town.anna.id, sent.id)
        (row,) = await home.ended(1)
        assert row.state is ReplyState.CANCELLED and home.words() == []
        sent = home.send("e f g h")
        await until(home.words)
        home.world.delete(home.town.anna.id, sent.id)
        row, _ = await home.ended(2)
    assert home.words() == ["re: e f g h"]
    assert row.state is ReplyState.DONE


# ------------------------------------------------------------------------------------------------------------ model
async def test_a_model_that_computes_for_a_minute_keeps_nobody_waiting(home: Home, tmp_path: Path) -> None:
    """Its process gives way to nobody; the bot's heart beats on all the same, and commands are answered."""
    home.town.wire.gateway.heartbeat_seconds = 0.4  # a client that is silent for 0.6 s is thrown out

    def command(listening: int) -> list[str]:
        return [sys.executable, str(CHILD), "model", str(listening), VOICE.model, "60"]

    engine = ProcessEngine(VOICE.model, command=command, log=tmp_path / "model.log")
    await engine.start()
    engines = OpenEngines(engines={VOICE.model: engine}, described=(VOICE,))
    try:
        async with online(home, engines=engines) as bot:
            home.send("think hard")
            await until(lambda: bot.converser.running())
            session = next(iter(home.town.wire.gateway.sessions.values()))
            longest, until_when = 0.0, time.monotonic() + 2.5
            while (before := time.monotonic()) < until_when:
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)
            status = await home.told(await home.command("status"))
            assert "1 reply being written" in status
            assert session.connected and [session] == list(home.town.wire.gateway.sessions.values())
            assert longest < 1.0
            (row,) = home.rows()
            assert await bot.converser.cancel(row.id, by=1)
            (hog,) = [one for one in psutil.Process().children() if str(CHILD) in one.cmdline()]
            hog.kill()  # it would not hear anything else for a minute
    finally:
        await engine.close()
    assert home.words() == []


async def test_a_dead_model_gives_one_line_and_a_mark_in_the_status(home: Home) -> None:
    def script(prompt: Prompt) -> Any:
        return TalkalikeError("The model's process died.", hint="Read /var/log/secret.")

    async with online(home, ScriptedEngine(script)):
        asked = []
        for number in range(5):
            asked.append(home.send(f"hello {number}"))
            await home.ended(number + 1)
        status = await home.told(await home.command("status"))
    (told,) = home.notices()
    assert "/status" in told and "secret" not in told
    assert home.words() == []
    assert [list(one.reactions) for one in asked] == [[]] + [["⚠️"]] * 4
    assert "The model's process died." in status
    assert len(home.store.call(replies.problems, home.town.server.id)) == 5


# ------------------------------------------------------------------------------------------------------------- line
async def test_a_reply_that_waits_can_be_cancelled(home: Home) -> None:
    """By a sign under the message, and by the button under the place in the line."""
    by_sign, by_button = home.rooms(2)
    anna = home.town.anna.id
    engine = ScriptedEngine(echo, delay=60.0)
    async with online(home, engine, at_once=1) as bot:
        home.send("slow")
        await until(lambda: bot.converser.running())
        sent = home.send("one", by_sign)
        home.send("two", by_button)
        await until(lambda: bot.converser.queue_length() == 2)
        home.world.react(anna, sent.id, "❌")
        (row,) = await home.ended(1, by_sign)
        assert row.state is ReplyState.CANCELLED
        (notice,) = await until(lambda: home.by_bot(by_button))
        assert "next in the line" in notice.content
        (row,) = home.rows(by_button)
        home.world.click(anna, notice.id, f"talkalike:cancel:{row.id}")
        (row,) = await home.ended(1, by_button)
        assert row.state is ReplyState.CANCELLED
        await until(lambda: not home.by_bot(by_button))
        assert bot.converser.queue_length() == 0 and engine.running == 1
        home.send("slow no more")
    assert home.words(by_sign) == [] and len(engine.prompts) == 1


async def test_what_is_too_much_is_turned_away_before_it_is_written_down(home: Home) -> None:
    """One line for each channel, however many messages; nothing in the store; and then it goes on as before."""
    rooms = home.rooms(8)
    engine = ScriptedEngine(echo, delay=60.0)
    async with online(home, engine, at_once=1, max_waiting=2) as bot:
        home.send("slow")
        await until(lambda: bot.converser.running())
        for room in rooms[:2]:
            home.send("waits", room)
        await until(lambda: bot.converser.queue_length() == 2)
        asked = [home.send(f"too much {number}", room) for room in rooms[2:] for number in range(3)]
        await until(lambda: all(home.notices(room) for room in rooms[2:]) and bot.converser.turned_away >= 6)
        status = await home.told(await home.command("status"))
        assert f"2 waiting, {bot.converser.turned_away} turned away" in status
        assert [len(home.notices(room)) for room in rooms[2:]] == [1] * 6
        assert "2 replies are waiting already" in home.notices(rooms[2])[0]
        assert [home.rows(room) for room in rooms[2:]] == [()] * 6 and not any(one.reactions for one in asked)
        for room in rooms[:2]:
            (row,) = home.rows(room)
            assert await bot.converser.cancel(row.id, by=1)
        home.send("again", rooms[2])
        await until(lambda: bot.converser.queue_length() == 1)
    assert len(home.rows(rooms[2])) == 1


# --------------------------------------------------------------------------------------------------------- two bots
async def test_two_doubles_in_two_processes_answer_people_and_not_each_other(
    home: Home, url: str, tmp_path: Path
) -> None:
    second = home.world.add_bot("second", owner=home.town.anna)
    home.world.invite(home.town.server, second)
    other_url = f"sqlite:///{tmp_path / 'second.db'}"
    with open_store(other_url) as own:
        second_home = Home(home.town, own)
        async with child(home, url, token=home.town.bot.token), child(second_home, other_url, token=second.token):
            for number in range(3):
                home.send(f"hi {number}")
                await home.ended(number + 1)
                await second_home.ended(number + 1)
            home.send(f"<@{second.id}> you?")
            await second_home.ended(4)
            await home.ended(4)
            await asyncio.sleep(0.3)  # time enough to answer an answer
        asked = {one.id for one in home.town.general.messages.values() if one.author_id == home.town.anna.id}
        assert {row.trigger_id for row in home.rows()} == asked == {row.trigger_id for row in second_home.rows()}
    assert home.words()[:3] == home.words(bot=second)[:3] == ["re: hi 0", "re: hi 1", "re: hi 2"]
    assert len(home.words()) == len(home.words(bot=second)) == 4
