"""What the double did not hear, over real sockets: while it was away, and between a lost session and a new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot_server import BotServer, online
from local_discord_bots import open_server, until
from talkalike.chat.permissions import Access
from talkalike.store.store import open_store

HOUR = 3600.0
PATIENT = {"wait_seconds": 0.2}  # so that what somebody said in one go is one burst


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BotServer]:
    """#other is for those who call the double. It is an hour ago."""
    async with open_server(ago=HOUR) as empty:
        with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            here = BotServer(**vars(empty), store=store)
            here.open(empty.other, Access.MENTION)
            yield here


async def test_what_was_said_while_it_was_away_is_answered_once_and_not_too_late(server: BotServer) -> None:
    world, general, other = server.world, server.general, server.other
    anna, ben, bot = server.anna.id, server.ben.id, server.bot.id
    old, taken_back, unknown = server.open_channels(3)
    dm = world.open_dm(ben, bot)
    async with online(server):
        for place in (general, old, taken_back):
            server.send("hello", place)
        server.send(f"<@{bot}> hello", other)
        world.send(ben, dm.id, "hello")
        for place in (general, old, taken_back, other, dm):
            await server.wait_ended(1, place)
    server.send("too long ago", old)
    world.clock.advance(HOUR)
    server.send("so", general)
    newest = server.send("where are you", general)
    server.send("not for the bot", other)
    server.send(f"<@{bot}> you there", other)
    world.send(ben, other.id, "nor this")
    server.send("at all", other)
    world.send(ben, dm.id, "still there")
    world.react(anna, server.send("never mind", taken_back).id, "❌")
    server.send("never talked here", unknown)
    async with online(server, options=PATIENT):
        for place in (general, other, dm):
            await server.wait_ended(2, place)
    assert server.rows()[0].trigger_id == newest.id
    world.delete(anna, newest.id)  # what came before it was answered with it
    async with online(server, options=PATIENT):
        server.send(f"<@{bot}> last", other)
        await server.wait_ended(3, other)
        await asyncio.sleep(0.4)  # time enough to answer the rest again
    assert server.words() == ["re: hello", "re: where are you"]
    assert server.words(other) == ["re: @double hello", "re: at all", "re: @double last"]
    assert server.words(dm) == ["re: hello", "re: still there"]
    assert server.words(old) == server.words(taken_back) == ["re: hello"]
    assert server.words(unknown) == []


async def test_nothing_is_caught_up_with_where_that_is_switched_off(server: BotServer) -> None:
    async with online(server):
        server.send("hello")
        await server.wait_ended(1)
    server.world.clock.advance(HOUR)
    server.send("while it was away")
    async with online(server, stale_after=0.0):
        server.send("back", server.other)
        server.send(f"<@{server.bot.id}> hello", server.other)
        await server.wait_ended(1, server.other)
    assert server.words() == ["re: hello"]


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_session_that_cannot_be_resumed_loses_and_doubles_nothing(server: BotServer, shards: int) -> None:
    server.world.clock.advance(HOUR)
    general, other, bot_id = server.general, server.other, server.bot.id
    async with online(server, shards=shards, options=PATIENT):
        server.send("before")
        server.send(f"<@{bot_id}> before", other)
        for place in (general, other):
            await server.wait_ended(1, place)
        gateway = server.wire.gateway
        server.send("chatter", other)
        server.send("heard")
        await server.wait_ended(2)
        server.open(other)  # that does not make what was heard before worth an answer
        shard = (server.guild.id >> 22) % shards
        (one,) = [one for one in gateway.connections if one.session and one.session.shard[0] == shard]
        one.disturb("invalidate", 0)
        server.send("lost 0")
        await server.wait_ended(3)
        await until(lambda: len([one for one in gateway.sessions.values() if one.connected]) == shards)
        assert server.world.faults.invalidate_sessions(bot_id) == shards
        server.send("lost 1")
        await server.wait_ended(4)
        await until(lambda: len([one for one in gateway.sessions.values() if one.connected]) == shards)
        server.send("after", other)
        await server.wait_ended(2, other)
    assert server.words() == ["re: before", "re: heard", "re: lost 0", "re: lost 1"]
    assert server.words(other) == ["re: @double before", "re: after"]


async def test_an_edit_that_calls_the_double_is_answered_within_a_minute(server: BotServer) -> None:
    other, anna, me = server.other, server.anna.id, f"<@{server.bot.id}>"
    async with online(server, options=PATIENT):
        sent = server.send("hello all", other)
        server.world.edit(anna, sent.id, f"hello all and {me}")
        await server.wait_ended(1, other)
        first = server.send(f"{me} so", other)
        server.send("what is it", other)
        await server.wait_ended(2, other)
        server.world.edit(anna, first.id, f"{me} so then")  # that was answered, with what came after it
        late = server.send("too late", other)
        server.world.clock.advance(61)
        server.world.edit(anna, late.id, f"too late {me}")
        server.send("now", server.general)
        await server.wait_ended(1)
        server.send(f"{me} after all", other)
        await server.wait_ended(3, other)
    assert server.words(other) == ["re: hello all and @double", "re: what is it", "re: @double after all"]
