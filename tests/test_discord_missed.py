"""What the double did not hear, over real sockets: while it was away, and between a lost session and a new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fault_town import Home, online
from local_discord_bots import town_open, until
from talkalike.chat.permissions import Access
from talkalike.store.store import open_store

HOUR = 3600.0
PATIENT = {"wait_seconds": 0.2}  # so that what somebody said in one go is one burst


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """#other is for those who call the double. It is an hour ago."""
    async with town_open(ago=HOUR) as town:
        with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            here = Home(town, store)
            here.open(town.other, Access.MENTION)
            yield here


async def test_what_was_said_while_it_was_away_is_answered_once_and_not_too_late(home: Home) -> None:
    world, general, other = home.world, home.town.general, home.town.other
    anna, ben, bot = home.town.anna.id, home.town.ben.id, home.town.bot.id
    old, taken_back, unknown = home.rooms(3)
    dm = world.open_dm(ben, bot)
    async with online(home):
        for place in (general, old, taken_back):
            home.send("hello", place)
        home.send(f"<@{bot}> hello", other)
        world.send(ben, dm.id, "hello")
        for place in (general, old, taken_back, other, dm):
            await home.ended(1, place)
    home.send("too long ago", old)
    world.clock.advance(HOUR)
    home.send("so", general)
    newest = home.send("where are you", general)
    home.send("not for the bot", other)
    home.send(f"<@{bot}> you there", other)
    world.send(ben, other.id, "nor this")
    home.send("at all", other)
    world.send(ben, dm.id, "still there")
    world.react(anna, home.send("never mind", taken_back).id, "❌")
    home.send("never talked here", unknown)
    async with online(home, options=PATIENT):
        for place in (general, other, dm):
            await home.ended(2, place)
    assert home.rows()[0].trigger_id == newest.id
    world.delete(anna, newest.id)  # what came before it was answered with it
    async with online(home, options=PATIENT):
        home.send(f"<@{bot}> last", other)
        await home.ended(3, other)
        await asyncio.sleep(0.4)  # time enough to answer the rest again
    assert home.words() == ["re: hello", "re: where are you"]
    assert home.words(other) == ["re: @double hello", "re: at all", "re: @double last"]
    assert home.words(dm) == ["re: hello", "re: still there"]
    assert home.words(old) == home.words(taken_back) == ["re: hello"]
    assert home.words(unknown) == []


async def test_nothing_is_caught_up_with_where_that_is_switched_off(home: Home) -> None:
    async with online(home):
        home.send("hello")
        await home.ended(1)
    home.world.clock.advance(HOUR)
    home.send("while it was away")
    async with online(home, stale_after=0.0):
        home.send("back", home.town.other)
        home.send(f"<@{home.town.bot.id}> hello", home.town.other)
        await home.ended(1, home.town.other)
    assert home.words() == ["re: hello"]


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_session_that_cannot_be_resumed_loses_and_doubles_nothing(home: Home, shards: int) -> None:
    home.world.clock.advance(HOUR)
    general, other, bot_id = home.town.general, home.town.other, home.town.bot.id
    async with online(home, shards=shards, options=PATIENT):
        home.send("before")
        home.send(f"<@{bot_id}> before", other)
        for place in (general, other):
            await home.ended(1, place)
        gateway = home.town.wire.gateway
        home.send("chatter", other)
        home.send("heard")
        await home.ended(2)
        home.open(other)  # that does not make what was heard before worth an answer
        shard = (home.town.server.id >> 22) % shards
        (one,) = [one for one in gateway.connections if one.session and one.session.shard[0] == shard]
        one.disturb("invalidate", 0)
        home.send("lost 0")
        await home.ended(3)
        await until(lambda: len([one for one in gateway.sessions.values() if one.connected]) == shards)
        assert home.world.faults.invalidate_sessions(bot_id) == shards
        home.send("lost 1")
        await home.ended(4)
        await until(lambda: len([one for one in gateway.sessions.values() if one.connected]) == shards)
        home.send("after", other)
        await home.ended(2, other)
    assert home.words() == ["re: before", "re: heard", "re: lost 0", "re: lost 1"]
    assert home.words(other) == ["re: @double before", "re: after"]


async def test_an_edit_that_calls_the_double_is_answered_within_a_minute(home: Home) -> None:
    other, anna, me = home.town.other, home.town.anna.id, f"<@{home.town.bot.id}>"
    async with online(home, options=PATIENT):
        sent = home.send("hello all", other)
        home.world.edit(anna, sent.id, f"hello all and {me}")
        await home.ended(1, other)
        first = home.send(f"{me} so", other)
        home.send("what is it", other)
        await home.ended(2, other)
        home.world.edit(anna, first.id, f"{me} so then")  # that was answered, with what came after it
        late = home.send("too late", other)
        home.world.clock.advance(61)
        home.world.edit(anna, late.id, f"too late {me}")
        home.send("now", home.town.general)
        await home.ended(1)
        home.send(f"{me} after all", other)
        await home.ended(3, other)
    assert home.words(other) == ["re: hello all and @double", "re: what is it", "re: @double after all"]
