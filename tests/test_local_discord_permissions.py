"""Permissions: our computation against discord.py's own, over many random servers; and the pure parts around it."""

from __future__ import annotations

import random

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_discord import files, mentions
from local_discord.clock import Clock, Snowflakes, seconds_of
from local_discord.model import Channel, Overwrite
from local_discord.permissions import Permission
from local_discord_bots import DiscordServer, Probe, open_server, running

_LOOKED_AT = (
    Permission.VIEW_CHANNEL
    | Permission.MANAGE_MESSAGES
    | Permission.MANAGE_CHANNELS
    | Permission.ADD_REACTIONS
    | Permission.READ_MESSAGE_HISTORY
    | Permission.SEND_MESSAGES
    | Permission.ATTACH_FILES
    | Permission.EMBED_LINKS
    | Permission.MENTION_EVERYONE
)


def _shuffle(server: DiscordServer, dice: random.Random, channel: Channel) -> None:
    """Random roles, members' roles and overwrites; some of them administrators."""
    bits = [*_LOOKED_AT, Permission.ADMINISTRATOR]
    world, guild = server.world, server.guild
    roles = [r for r in guild.roles.values() if r.id != guild.id]
    for role in guild.roles.values():
        chosen = [b for b in bits if dice.random() < (0.05 if b == Permission.ADMINISTRATOR else 0.5)]
        world.set_role_permissions(guild, role, sum(chosen))
    for user_id in guild.members:
        world.set_member_roles(guild, world.users[user_id], dice.sample(roles, dice.randint(0, len(roles))))
    channel.overwrites.clear()
    for target, kind in [(i, 0) for i in guild.roles] + [(i, 1) for i in guild.members]:
        if dice.random() < 0.6:
            fates = [(b, dice.choice("ad.")) for b in _LOOKED_AT]
            allow = sum(b for b, fate in fates if fate == "a")
            channel.overwrites[target] = Overwrite(target, kind, allow, sum(b for b, fate in fates if fate == "d"))
    world.channel_changed(channel)


async def test_permissions_are_those_that_discord_py_computes() -> None:
    dice = random.Random(7)
    seen = set()
    async with open_server() as server:
        for name in ("one", "two", "three"):
            server.world.add_role(server.guild, name)
        async with running(Probe(), server.bot.token) as probe:
            for round_number in range(150):
                _shuffle(server, dice, server.general)
                server.general.topic = str(round_number)
                server.world.channel_changed(server.general)
                await probe.hears("guild_channel_update", lambda _, a, n=round_number: a.topic == str(n))
                theirs = probe.get_channel(server.general.id)
                for user_id in server.guild.members:
                    ours = server.world.permissions(user_id, server.general)
                    expected = theirs.permissions_for(theirs.guild.get_member(user_id)).value
                    if not expected & Permission.VIEW_CHANNEL:
                        expected = 0
                    assert ours & _LOOKED_AT == expected & _LOOKED_AT
                    seen.add(ours & _LOOKED_AT)
    assert 0 in seen and len(seen) > 30  # the dice did not always fall the same way


async def test_a_thread_takes_the_rights_of_its_channel() -> None:
    async with open_server() as server:
        thread = server.world.create_thread(server.anna.id, server.general.id, "t")
        everyone = server.guild.roles[server.guild.id]
        assert server.world.may(server.ben.id, thread, Permission.SEND_MESSAGES_IN_THREADS)
        server.world.set_overwrite(server.general, everyone, deny=Permission.SEND_MESSAGES)
        assert server.world.may(server.ben.id, thread, Permission.SEND_MESSAGES_IN_THREADS | Permission.ATTACH_FILES)
        assert not server.world.may(server.ben.id, server.general, Permission.ATTACH_FILES)
        server.world.set_overwrite(server.general, everyone, deny=Permission.VIEW_CHANNEL)
        assert server.world.permissions(server.ben.id, thread) == 0
        assert server.world.permissions(server.anna.id, thread)  # the owner sees everything


@pytest.mark.parametrize(
    ("allowed", "replied_to", "expected"),
    [
        (None, None, mentions.Mentions((1, 2), (3,), True)),
        (None, 9, mentions.Mentions((1, 2, 9), (3,), True)),
        ({"parse": []}, 9, mentions.Mentions()),
        ({"parse": [], "replied_user": True}, 9, mentions.Mentions((9,))),
        ({"parse": ["users"]}, None, mentions.Mentions((1, 2))),
        ({"users": ["2", "5"], "roles": ["3"]}, None, mentions.Mentions((2,), (3,))),
        ({"parse": ["everyone"]}, None, mentions.Mentions((), (), True)),
    ],
)
def test_mentions(allowed: dict | None, replied_to: int | None, expected: mentions.Mentions) -> None:
    text = "<@1> <@!2> <@1> <@&3> @everyone `<@4>` ```\n<@5>\n```"
    assert mentions.find(text, allowed, may_everyone=True, replied_to=replied_to) == expected
    assert not mentions.find(text, allowed, may_everyone=False, replied_to=replied_to).everyone


def test_snowflakes_rise_and_carry_their_time() -> None:
    clock = Clock()
    ids = Snowflakes(clock)
    made = [ids.next() for _ in range(1000)]
    assert made == sorted(set(made)) and abs(seconds_of(made[-1]) - clock.now()) < 5
    assert discord.utils.snowflake_time(made[0]).timestamp() == pytest.approx(seconds_of(made[0]), abs=0.001)
    clock.advance(3600)
    assert seconds_of(ids.next()) - seconds_of(made[-1]) == pytest.approx(3600, abs=5)


@given(st.text(max_size=300), st.binary(max_size=60))
def test_whatever_is_uploaded_gets_a_harmless_name_and_a_type(name: str, data: bytes) -> None:
    safe = files.safe_name(name)
    assert 0 < len(safe) <= 240 and not set(safe) & set('/\\"\r\n<> ') and not safe.startswith(".")
    kind, width, height = files.describe(safe, data)
    assert "/" in kind and (width is None) == (height is None)


def test_a_picture_that_claims_to_be_huge_is_no_picture() -> None:
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    kind, width, _ = files.describe("bomb.png", header + b"\x00" * 100)
    assert (kind, width) == ("image/png", None)


def test_the_file_store_keeps_to_its_total() -> None:
    store = files.FileStore(total=100)
    for number in range(10):
        store.put(number, b"x" * 30, "text/plain")
    assert [n for n in range(10) if store.get(n)] == [7, 8, 9]
    store.drop(8)
    store.put(11, b"x" * 40, "text/plain")
    assert [n for n in range(12) if store.get(n)] == [7, 9, 11]
