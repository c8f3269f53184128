"""Real discord.py on our own Discord, in trouble: limits, failures, lost connections, lost rights."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp
import discord
import pytest

from local_discord.permissions import EVERYONE_DEFAULT, Permission
from local_discord_bots import DiscordServer, Probe, open_server, running, until

POST = "POST /channels/*/messages"


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with open_server() as opened:
        yield opened


@pytest.fixture
async def probe(server: DiscordServer) -> AsyncIterator[Probe]:
    async with running(Probe(), server.bot.token) as client:
        yield client


def said(server: DiscordServer) -> list[str]:
    return [m.content for m in server.general.messages.values()]


# ------------------------------------------------------------------------------------------------------------- REST
async def test_rate_limits_are_survived(server: DiscordServer, probe: Probe) -> None:
    server.world.faults.rate_limit(POST, times=2, retry_after=0.05)
    await probe.get_channel(server.general.id).send("through")
    server.world.faults.rate_limit(POST, retry_after=0.05, everywhere=True)
    await asyncio.gather(*(probe.get_channel(c.id).send("all") for c in (server.general, server.other)))
    assert said(server) == ["through", "all"]


async def test_the_limit_of_a_channel_is_told_and_kept(server: DiscordServer, probe: Probe) -> None:
    """discord.py minds the headers, so that it never sees a 429; a client that does not, sees one."""
    server.world.faults.message_limit = (2, 0.3)
    await asyncio.gather(*(probe.get_channel(server.general.id).send(str(n)) for n in range(5)))
    assert sorted(said(server)) == list("01234")
    await asyncio.sleep(0.3)
    url = f"{server.wire.api_base}/channels/{server.general.id}/messages"
    answers = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bot {server.bot.token}"}) as session:
        for _ in range(3):
            async with session.post(url, json={"content": "x"}) as response:
                answers.append((response.status, response.headers["X-RateLimit-Remaining"], await response.json()))
                via = response.headers.get("Via")
    assert [a[:2] for a in answers] == [(200, "1"), (200, "0"), (429, "0")]
    assert via and 0 < answers[-1][2]["retry_after"] <= 0.3 and answers[-1][2]["global"] is False


async def test_a_502_is_tried_again_and_a_503_is_not(server: DiscordServer, probe: Probe) -> None:
    server.world.faults.fail(POST, 502)
    await probe.get_channel(server.general.id).send("second try")
    assert said(server) == ["second try"]
    server.world.faults.fail(POST, 503)
    with pytest.raises(discord.DiscordServerError):
        await probe.get_channel(server.general.id).send("never")
    assert said(server) == ["second try"]


async def test_an_answer_lost_on_the_way_doubles_nothing(server: DiscordServer, probe: Probe) -> None:
    """The message is posted, and only its answer fails: the nonce of the second try finds the first one's message."""
    server.world.faults.fail(POST, 502, after=True)
    sent = await probe.get_channel(server.general.id).send("once")
    assert said(server) == ["once"] and sent.id in server.general.messages


async def test_faults_strike_only_what_they_name(server: DiscordServer, probe: Probe) -> None:
    server.world.faults.fail(f"PATCH /channels/{server.other.id}/messages/*", 503)
    message = await probe.get_channel(server.general.id).send("a")
    await message.edit(content="b")
    elsewhere = await probe.get_channel(server.other.id).send("a")
    with pytest.raises(discord.DiscordServerError):
        await elsewhere.edit(content="b")


async def test_a_file_above_the_cap_is_refused(server: DiscordServer, probe: Probe) -> None:
    server.world.faults.upload_cap = 1000
    channel = probe.get_channel(server.general.id)
    await channel.send(file=discord.File(io.BytesIO(b"x" * 1000), "fits.txt"))
    for size in (1001, 3_000_000):
        with pytest.raises(discord.HTTPException) as refused:
            await channel.send(file=discord.File(io.BytesIO(b"x" * size), "big.txt"))
        assert (refused.value.status, refused.value.code) == (413, 40005)
    assert [m.attachments[0].filename for m in server.general.messages.values()] == ["fits.txt"]


async def test_lost_rights_are_told_in_discords_numbers(server: DiscordServer, probe: Probe) -> None:
    channel = probe.get_channel(server.general.id)
    everyone = server.guild.roles[server.guild.id]
    server.world.faults.message_limit = None
    await channel.send("before")
    server.world.set_overwrite(server.general, everyone, deny=Permission.SEND_MESSAGES)
    await probe.hears("guild_channel_update")
    assert not channel.permissions_for(channel.guild.me).send_messages
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("x")
    assert refused.value.code == 50013
    server.world.set_overwrite(server.general, everyone, deny=Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("x")
    assert refused.value.code == 50001
    server.world.set_overwrite(server.general, everyone)
    for right, extra in ((Permission.EMBED_LINKS, "embed"), (Permission.ATTACH_FILES, "file")):
        server.world.set_role_permissions(server.guild, everyone, EVERYONE_DEFAULT & ~right)
        things = {"embed": discord.Embed(title="t"), "file": discord.File(io.BytesIO(b"x"), "x")}
        with pytest.raises(discord.Forbidden) as refused:
            await channel.send("x", **{extra: things[extra]})
        assert refused.value.code == 50013
    await channel.send("after")
    assert said(server) == ["before", "after"]


async def test_a_channel_not_seen_is_not_heard(server: DiscordServer, probe: Probe) -> None:
    hidden = server.world.add_channel(server.guild, "hidden", private_for=[server.ben])
    server.world.send(server.ben.id, hidden.id, "secret")
    server.world.send(server.ben.id, server.general.id, "open")
    await probe.hears("message", lambda m: m.content == "open")
    assert [m.content for m in probe.heard("message")] == ["open"]


async def test_a_deleted_channel_is_gone(server: DiscordServer, probe: Probe) -> None:
    channel = probe.get_channel(server.general.id)
    message = await channel.send("x")
    thread = await message.create_thread(name="t")
    server.world.delete_channel(server.general.id)
    assert (await probe.hears("guild_channel_delete")).id == server.general.id
    for action in (channel.send("y"), message.edit(content="y"), thread.send("y"), channel.fetch_message(message.id)):
        with pytest.raises(discord.NotFound) as refused:
            await action
        assert refused.value.code == 10003
    assert server.general.id not in server.world.channels and thread.id not in server.world.channels


# ---------------------------------------------------------------------------------------------------------- gateway
async def test_a_wrong_token_is_refused(server: DiscordServer) -> None:
    client = Probe()
    with pytest.raises(discord.LoginFailure):
        async with running(client, "wrong"):
            pass


async def test_a_privileged_intent_that_is_not_switched_on_is_refused(server: DiscordServer) -> None:
    server.bot.privileged = frozenset({"members", "presences"})
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(Probe(), server.bot.token):
            pass


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "cut"])
async def test_a_dropped_gateway_is_resumed_without_loss_or_doubling(
    server: DiscordServer, probe: Probe, abrupt: bool
) -> None:
    sent = [server.world.send(server.anna.id, server.general.id, "before").id]
    await probe.hears("message")
    for round_number in range(3):
        told = len(probe.events)
        assert server.world.faults.drop_gateway(server.bot.id, abrupt=abrupt) == 1
        sent += [server.world.send(server.anna.id, server.general.id, f"{round_number}.{n}").id for n in range(20)]
        await probe.hears("resumed", after=told)
        sent.append(server.world.send(server.anna.id, server.general.id, "after").id)
    await probe.hears("message", lambda m: m.id == sent[-1])
    assert [m.id for m in probe.heard("message")] == sent
    assert len(probe.heard("ready")) == 1


async def test_op_7_makes_the_client_resume(server: DiscordServer, probe: Probe) -> None:
    assert server.world.faults.ask_to_reconnect() == 1
    server.world.send(server.anna.id, server.general.id, "meanwhile")
    await probe.hears("resumed")
    await probe.hears("message", lambda m: m.content == "meanwhile")
    assert len(probe.heard("message")) == 1


async def test_an_invalid_session_starts_anew(server: DiscordServer, probe: Probe) -> None:
    assert server.world.faults.invalidate_sessions() == 1
    await until(lambda: len(probe.heard("ready")) == 2)
    server.world.send(server.anna.id, server.general.id, "again")
    await probe.hears("message", lambda m: m.content == "again")


async def test_events_beyond_what_is_kept_cannot_be_resumed(server: DiscordServer, probe: Probe) -> None:
    """Rather than telling half of it, the server says that the session is invalid."""
    session = next(iter(server.wire.gateway.sessions.values()))
    server.world.faults.drop_gateway()
    for _ in range(session.kept.maxlen + 1):
        session.dispatch("NOTHING", {})
    await until(lambda: len(probe.heard("ready")) == 2)
    assert probe.heard("resumed") == []


async def test_a_zombie_connection_is_noticed_and_resumed(server: DiscordServer) -> None:
    await server.wire.close()
    server.wire._heartbeat_seconds = 0.2
    server.wire.port = 0
    await server.wire.start()
    discord.http.Route.BASE = server.wire.api_base
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = discord.gateway.yarl.URL(server.wire.gateway_url)
    async with running(Probe(heartbeat_timeout=0.3), server.bot.token) as probe:
        await asyncio.sleep(0.5)
        assert probe.heard("resumed") == []  # the heartbeats are answered
        server.world.faults.mute_heartbeats = True
        await until(lambda: probe.heard("disconnect"))
        server.world.faults.mute_heartbeats = False
        await probe.hears("resumed")


async def test_a_silent_client_is_dropped(server: DiscordServer) -> None:
    server.wire.gateway.heartbeat_seconds = 0.05
    async with aiohttp.ClientSession() as session, session.ws_connect(server.wire.gateway_url) as socket:
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
async def test_wrong_frames_close_with_discords_codes(server: DiscordServer, frame: str, code: int) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(server.wire.gateway_url) as socket:
        await socket.receive_json()
        await socket.send_str(frame)
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == code


async def test_shards_share_the_servers(server: DiscordServer) -> None:
    while len({(s.id >> 22) % 2 for s in server.world.servers.values()}) < 2:
        server.world.clock.advance(0.001)
        server.world.add_server("More", server.ben)
    for guild in server.world.servers.values():
        if server.bot.id not in guild.members:
            server.world.invite(guild, server.bot)
    clients = [Probe(shard_id=n, shard_count=2) for n in range(2)]
    async with running(clients[0], server.bot.token), running(clients[1], server.bot.token):
        for number, client in enumerate(clients):
            assert {g.id for g in client.guilds} == {i for i in server.world.servers if (i >> 22) % 2 == number}
        dm = server.world.open_dm(server.ben.id, server.bot.id)
        server.world.send(server.ben.id, dm.id, "to shard 0")
        server.world.send(server.anna.id, server.general.id, "to its own")
        await clients[0].hears("message", lambda m: m.content == "to shard 0")
        owning = clients[(server.guild.id >> 22) % 2]
        await owning.hears("message", lambda m: m.content == "to its own")
        assert len([m for c in clients for m in c.heard("message")]) == 2
