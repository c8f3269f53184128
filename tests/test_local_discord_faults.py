"""Real discord.py on our own Discord, in trouble: limits, failures, lost connections, lost rights."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp
import discord
import pytest

from local_discord.permissions import EVERYONE_DEFAULT, Permission
from local_discord_bots import Probe, Town, running, town_open, until

POST = "POST /channels/*/messages"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with town_open() as opened:
        yield opened


@pytest.fixture
async def probe(town: Town) -> AsyncIterator[Probe]:
    async with running(Probe(), town.bot.token) as client:
        yield client


def said(town: Town) -> list[str]:
    return [m.content for m in town.general.messages.values()]


# ------------------------------------------------------------------------------------------------------------- REST
async def test_rate_limits_are_survived(town: Town, probe: Probe) -> None:
    town.world.faults.rate_limit(POST, times=2, retry_after=0.05)
    await probe.get_channel(town.general.id).send("through")
    town.world.faults.rate_limit(POST, retry_after=0.05, everywhere=True)
    await asyncio.gather(*(probe.get_channel(c.id).send("all") for c in (town.general, town.other)))
    assert said(town) == ["through", "all"]


async def test_the_limit_of_a_channel_is_told_and_kept(town: Town, probe: Probe) -> None:
    """discord.py minds the headers, so that it never sees a 429; a client that does not, sees one."""
    town.world.faults.message_limit = (2, 0.3)
    await asyncio.gather(*(probe.get_channel(town.general.id).send(str(n)) for n in range(5)))
    assert sorted(said(town)) == list("01234")
    await asyncio.sleep(0.3)
    url = f"{town.wire.api_base}/channels/{town.general.id}/messages"
    answers = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bot {town.bot.token}"}) as session:
        for _ in range(3):
            async with session.post(url, json={"content": "x"}) as response:
                answers.append((response.status, response.headers["X-RateLimit-Remaining"], await response.json()))
                via = response.headers.get("Via")
    assert [a[:2] for a in answers] == [(200, "1"), (200, "0"), (429, "0")]
    assert via and 0 < answers[-1][2]["retry_after"] <= 0.3 and answers[-1][2]["global"] is False


async def test_a_502_is_tried_again_and_a_503_is_not(town: Town, probe: Probe) -> None:
    town.world.faults.fail(POST, 502)
    await probe.get_channel(town.general.id).send("second try")
    assert said(town) == ["second try"]
    town.world.faults.fail(POST, 503)
    with pytest.raises(discord.DiscordServerError):
        await probe.get_channel(town.general.id).send("never")
    assert said(town) == ["second try"]


async def test_an_answer_lost_on_the_way_doubles_nothing(town: Town, probe: Probe) -> None:
    """The message is posted, and only its answer fails: the nonce of the second try finds the first one's message."""
    town.world.faults.fail(POST, 502, after=True)
    sent = await probe.get_channel(town.general.id).send("once")
    assert said(town) == ["once"] and sent.id in town.general.messages


async def test_faults_strike_only_what_they_name(town: Town, probe: Probe) -> None:
    town.world.faults.fail(f"PATCH /channels/{town.other.id}/messages/*", 503)
    message = await probe.get_channel(town.general.id).send("a")
    await message.edit(content="b")
    elsewhere = await probe.get_channel(town.other.id).send("a")
    with pytest.raises(discord.DiscordServerError):
        await elsewhere.edit(content="b")


async def test_a_file_above_the_cap_is_refused(town: Town, probe: Probe) -> None:
    town.world.faults.upload_cap = 1000
    channel = probe.get_channel(town.general.id)
    await channel.send(file=discord.File(io.BytesIO(b"x" * 1000), "fits.txt"))
    for size in (1001, 3_000_000):
        with pytest.raises(discord.HTTPException) as refused:
            await channel.send(file=discord.File(io.BytesIO(b"x" * size), "big.txt"))
        assert (refused.value.status, refused.value.code) == (413, 40005)
    assert [m.attachments[0].filename for m in town.general.messages.values()] == ["fits.txt"]


async def test_lost_rights_are_told_in_discords_numbers(town: Town, probe: Probe) -> None:
    channel = probe.get_channel(town.general.id)
    everyone = town.server.roles[town.server.id]
    town.world.faults.message_limit = None
    await channel.send("before")
    town.world.set_overwrite(town.general, everyone, deny=Permission.SEND_MESSAGES)
    await probe.hears("guild_channel_update")
    assert not channel.permissions_for(channel.guild.me).send_messages
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("x")
    assert refused.value.code == 50013
    town.world.set_overwrite(town.general, everyone, deny=Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("x")
    assert refused.value.code == 50001
    town.world.set_overwrite(town.general, everyone)
    for right, extra in ((Permission.EMBED_LINKS, "embed"), (Permission.ATTACH_FILES, "file")):
        town.world.set_role_permissions(town.server, everyone, EVERYONE_DEFAULT & ~right)
        things = {"embed": discord.Embed(title="t"), "file": discord.File(io.BytesIO(b"x"), "x")}
        with pytest.raises(discord.Forbidden) as refused:
            await channel.send("x", **{extra: things[extra]})
        assert refused.value.code == 50013
    await channel.send("after")
    assert said(town) == ["before", "after"]


async def test_a_channel_not_seen_is_not_heard(town: Town, probe: Probe) -> None:
    hidden = town.world.add_channel(town.server, "hidden", private_for=[town.ben])
    town.world.send(town.ben.id, hidden.id, "secret")
    town.world.send(town.ben.id, town.general.id, "open")
    await probe.hears("message", lambda m: m.content == "open")
    assert [m.content for m in probe.heard("message")] == ["open"]


async def test_a_deleted_channel_is_gone(town: Town, probe: Probe) -> None:
    channel = probe.get_channel(town.general.id)
    message = await channel.send("x")
    thread = await message.create_thread(name="t")
    town.world.delete_channel(town.general.id)
    assert (await probe.hears("guild_channel_delete")).id == town.general.id
    for action in (channel.send("y"), message.edit(content="y"), thread.send("y"), channel.fetch_message(message.id)):
        with pytest.raises(discord.NotFound) as refused:
            await action
        assert refused.value.code == 10003
    assert town.general.id not in town.world.channels and thread.id not in town.world.channels


# ---------------------------------------------------------------------------------------------------------- gateway
async def test_a_wrong_token_is_refused(town: Town) -> None:
    client = Probe()
    with pytest.raises(discord.LoginFailure):
        async with running(client, "wrong"):
            pass


async def test_a_privileged_intent_that_is_not_switched_on_is_refused(town: Town) -> None:
    town.bot.privileged = frozenset({"members", "presences"})
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(Probe(), town.bot.token):
            pass


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "cut"])
async def test_a_dropped_gateway_is_resumed_without_loss_or_doubling(town: Town, probe: Probe, abrupt: bool) -> None:
    sent = [town.world.send(town.anna.id, town.general.id, "before").id]
    await probe.hears("message")
    for round_number in range(3):
        told = len(probe.told)
        assert town.world.faults.drop_gateway(town.bot.id, abrupt=abrupt) == 1
        sent += [town.world.send(town.anna.id, town.general.id, f"{round_number}.{n}").id for n in range(20)]
        await probe.hears("resumed", after=told)
        sent.append(town.world.send(town.anna.id, town.general.id, "after").id)
    await probe.hears("message", lambda m: m.id == sent[-1])
    assert [m.id for m in probe.heard("message")] == sent
    assert len(probe.heard("ready")) == 1


async def test_op_7_makes_the_client_resume(town: Town, probe: Probe) -> None:
    assert town.world.faults.ask_to_reconnect() == 1
    town.world.send(town.anna.id, town.general.id, "meanwhile")
    await probe.hears("resumed")
    await probe.hears("message", lambda m: m.content == "meanwhile")
    assert len(probe.heard("message")) == 1


async def test_an_invalid_session_starts_anew(town: Town, probe: Probe) -> None:
    assert town.world.faults.invalidate_sessions() == 1
    await until(lambda: len(probe.heard("ready")) == 2)
    town.world.send(town.anna.id, town.general.id, "again")
    await probe.hears("message", lambda m: m.content == "again")


async def test_events_beyond_what_is_kept_cannot_be_resumed(town: Town, probe: Probe) -> None:
    """Rather than telling half of it, the server says that the session is invalid."""
    session = next(iter(town.wire.gateway.sessions.values()))
    town.world.faults.drop_gateway()
    for _ in range(session.kept.maxlen + 1):
        session.dispatch("NOTHING", {})
    await until(lambda: len(probe.heard("ready")) == 2)
    assert probe.heard("resumed") == []


async def test_a_zombie_connection_is_noticed_and_resumed(town: Town) -> None:
    await town.wire.close()
    town.wire._heartbeat_seconds = 0.2
    town.wire.port = 0
    await town.wire.start()
    discord.http.Route.BASE = town.wire.api_base
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = discord.gateway.yarl.URL(town.wire.gateway_url)
    async with running(Probe(heartbeat_timeout=0.3), town.bot.token) as probe:
        await asyncio.sleep(0.5)
        assert probe.heard("resumed") == []  # the heartbeats are answered
        town.world.faults.mute_heartbeats = True
        await until(lambda: probe.heard("disconnect"))
        town.world.faults.mute_heartbeats = False
        await probe.hears("resumed")


async def test_a_silent_client_is_dropped(town: Town) -> None:
    town.wire.gateway.heartbeat_seconds = 0.05
    async with aiohttp.ClientSession() as session, session.ws_connect(town.wire.gateway_url) as socket:
        hello = await socket.receive_json()
        assert hello["op"] == 10 and hello["d"]["heartbeat_interval"] == 50
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4009


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", 4002),
        ('{"op": 8, "d": {}}', 4003),
        ('{"op": 2, "d": {"token": "wrong"}}', 4004),
        ('{"op": 99, "d": {}}', 4001),
    ],
)
async def test_wrong_frames_close_with_discords_codes(town: Town, frame: str, code: int) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(town.wire.gateway_url) as socket:
        await socket.receive_json()
        await socket.send_str(frame)
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == code


async def test_shards_share_the_servers(town: Town) -> None:
    while len({(s.id >> 22) % 2 for s in town.world.servers.values()}) < 2:
        town.world.clock.advance(0.001)
        town.world.add_server("More", town.ben)
    for server in town.world.servers.values():
        if town.bot.id not in server.members:
            town.world.invite(server, town.bot)
    clients = [Probe(shard_id=n, shard_count=2) for n in range(2)]
    async with running(clients[0], town.bot.token), running(clients[1], town.bot.token):
        for number, client in enumerate(clients):
            assert {g.id for g in client.guilds} == {i for i in town.world.servers if (i >> 22) % 2 == number}
        dm = town.world.open_dm(town.ben.id, town.bot.id)
        town.world.send(town.ben.id, dm.id, "to shard 0")
        town.world.send(town.anna.id, town.general.id, "to its own")
        await clients[0].hears("message", lambda m: m.content == "to shard 0")
        home = clients[(town.server.id >> 22) % 2]
        await home.hears("message", lambda m: m.content == "to its own")
        assert len([m for c in clients for m in c.heard("message")]) == 2
