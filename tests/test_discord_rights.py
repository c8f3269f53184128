"""Rights that Discord withholds, over real sockets: what could not be shown is not written, and people learn why."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import pytest

from bot_server import BotServer, echo, online
from discord_commands import stage
from local_discord.permissions import Permission
from local_discord_bots import open_server, until
from talkalike.chat.options import Used
from talkalike.chat.permissions import Access, Rule, Subject
from talkalike.discord_bot.rights import RIGHTS, missing
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.examples.reactions import SIGN
from talkalike.store import rules, usage
from talkalike.store.replies import ReplyState
from talkalike.store.store import open_store


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BotServer]:
    async with open_server() as empty:
        with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            yield BotServer(**vars(empty), store=store)


def deny(server: BotServer, channel: Any, right: Permission) -> None:
    server.world.set_overwrite(channel, server.guild.roles[server.guild.id], deny=right)


def used(server: BotServer) -> Used:
    return server.store.call(usage.read_used, server.anna.id, server.guild.id, datetime.now(UTC).date())


# --------------------------------------------------------------------------------------------------- before the model
@pytest.mark.parametrize("where", ["channel", "thread", "locked thread"])
async def test_where_it_may_not_write_no_model_runs(
    server: BotServer, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(echo)
    place = quiet = server.open_channels(1)[0]
    if where != "channel":
        place = server.world.start_thread(server.anna.id, quiet.id, "a thread")
    if where == "locked thread":
        place.locked = True
        server.world.channel_changed(place)
    else:
        deny(server, quiet, Permission.SEND_MESSAGES if where == "channel" else Permission.SEND_MESSAGES_IN_THREADS)
    async with online(server, engine):
        for _ in range(2):
            server.send("anybody?", place)
        server.send("and here?")
        await server.wait_ended(1)
    assert [prompt.turns[-1].text for prompt in engine.prompts] == ["and here?"]
    assert server.rows(place) == () and server.words() == ["re: and here?"]
    assert used(server).replies_user == 1
    logged = [one for one in caplog.records if f"in the channel {place.id}" in one.getMessage()]
    assert len(logged) == 1 and logged[0].levelno == logging.WARNING


async def test_without_the_history_it_answers_without_pointing_at_the_message(server: BotServer) -> None:
    deny(server, server.general, Permission.READ_MESSAGE_HISTORY)
    async with online(server, ScriptedEngine(((SIGN + "👍", "hello", "there"),))):
        server.send("hi")
        (row,) = await server.wait_ended(1)
    assert server.words() == ["hello", "there"] and row.state is ReplyState.DONE
    assert [one.reference for one in server.by_bot()] == [None, None]


async def test_without_embeds_the_budget_and_what_it_is_are_told_all_the_same(server: BotServer) -> None:
    deny(server, server.general, Permission.EMBED_LINKS)
    async with online(server, options={"daily_replies_user": 1}):
        server.send("are you a bot?")
        await server.wait_ended(1)
        await until(lambda: len(server.notices()) == 1)
        server.send("are you an AI?")
        await until(lambda: len(server.notices()) == 3)
    first, again, budget = server.notices()
    assert "I am an AI double of Anton" in first and "I am an AI double of Anton" in again
    assert "1 reply" in budget or "used up" in budget
    assert server.words() == ["re: are you a bot?"]


async def test_what_it_is_is_told_also_where_the_model_is_dead_or_says_nothing(server: BotServer) -> None:
    def script(prompt: Prompt) -> Any:
        return () if "silent" in prompt.turns[-1].text else discord.ClientException("no model")

    async with online(server, ScriptedEngine(script)):
        server.send("you are a bot, right? be silent")
        await until(lambda: [one for one in server.notices() if "AI double" in one])


async def test_without_reactions_the_model_is_not_heard_reacting(server: BotServer) -> None:
    deny(server, server.general, Permission.ADD_REACTIONS)
    async with online(server, ScriptedEngine(((SIGN + "👍",), (SIGN + "👍", "words")))):
        server.send("first")
        await server.wait_ended(1)
        server.send("second")
        row, first = await server.wait_ended(2)
    assert first.state is ReplyState.SILENT and row.state is ReplyState.DONE
    assert server.words() == ["words"] and row.reactions == ()
    assert used(server).replies_user == 1


async def test_what_was_not_shown_is_not_charged(server: BotServer) -> None:
    elsewhere = server.open_channels(1)[0]
    engine = ScriptedEngine((("one two three", "four five six seven eight"), ("never shown",)), delay=0.2)
    async with online(server, engine):
        server.send("go")
        await until(server.words)
        deny(server, server.general, Permission.SEND_MESSAGES)
        (row,) = await server.wait_ended(1)
        assert row.state is ReplyState.FAILED and server.words() == ["one two three"]
        assert (used(server).replies_user, used(server).tokens_user) == (1, 3)
        server.world.faults.fail("POST /channels/*/messages", 503)
        server.send("go", elsewhere)
        (row,) = await server.wait_ended(1, elsewhere)
    assert row.state is ReplyState.FAILED and server.words(elsewhere) == []
    assert (used(server).replies_user, used(server).tokens_user) == (1, 3)


async def test_somebody_who_takes_no_direct_messages_is_not_told_about_servers(server: BotServer) -> None:
    dm = server.world.open_dm(server.anna.id, server.bot.id)
    async with online(server, ScriptedEngine((("one", "two three four"),), delay=0.2)):
        server.send("hi", dm)
        await until(lambda: server.words(dm))
        server.anna.accepts_dms = False
        (row,) = await server.wait_ended(1, dm)
    assert row.state is ReplyState.FAILED
    assert "takes no direct messages" in row.problem and "permission" not in row.problem


# ---------------------------------------------------------------------------------------------------- told to people
async def test_check_and_status_name_the_missing_rights_of_each_channel_and_the_rules_here(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        everyone = play.guild.default_role
        denied = {"mute": {"send_messages": False}, "plain": {"embed_links": False, "attach_files": False}}
        made = {}
        for name, rights in denied.items():
            overwrites = {everyone: discord.PermissionOverwrite(**rights)}
            made[name] = play.guild.create_text_channel(name, overwrites=overwrites)
            play.put(Subject.CHANNEL, made[name].id, access=Access.OPEN)
        hidden = play.guild.create_text_channel(
            "hidden", overwrites={everyone: discord.PermissionOverwrite(view_channel=False)}
        )
        told = play.text(await play.vic.slash(play.general, "permissions check"))
        lines = {line.split(" ")[1]: line for line in told.splitlines() if line.startswith("- <#")}
        assert "mention" in lines[f"<#{play.general.id}>"] and "✅" in lines[f"<#{play.general.id}>"]
        assert "closed" in lines[f"<#{play.closed.id}>"]
        assert "❌ Send Messages: I can't write here" in lines[f"<#{made['mute'].id}>"]
        assert "❌ Embed Links" in lines[f"<#{made['plain'].id}>"] and "Attach Files" in lines[f"<#{made['plain'].id}>"]
        assert str(hidden.id) not in told  # vic does not see it
        assert "I answer only when I am mentioned" in told
        status = play.text(await play.vic.slash(play.general, "status"))
        assert "some are missing in 2 channels" in status and f"<#{made['mute'].id}>" in status
        assert f"<#{play.closed.id}>" not in status  # nobody is answered there anyway
        ignored = play.text(await play.iggy.slash(play.general, "permissions check"))
        assert "the level is ignored" in ignored and "<#" not in ignored.replace(f"<#{play.general.id}>", "")
        closed = play.text(await play.vic.slash(play.closed, "permissions check"))
        assert "this place is closed (the default on servers)" in closed
        private = play.text(await play.vic.user.slash("permissions check"))
        assert "Only the bot's owner can open direct messages" in private and "server" not in private


async def test_a_command_that_is_refused_names_the_right(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        overwrites = {play.guild.default_role: discord.PermissionOverwrite(embed_links=False)}
        plain = play.guild.create_text_channel("plain", overwrites=overwrites)
        play.put(Subject.CHANNEL, plain.id, access=Access.OPEN)
        told = play.text(await play.vic.slash(plain, "reset"))
        assert told.startswith("Done")  # a marker is text
        mute = {play.guild.default_role: discord.PermissionOverwrite(send_messages=False)}
        quiet = play.guild.create_text_channel("quiet", overwrites=mute)
        play.put(Subject.CHANNEL, quiet.id, access=Access.OPEN)
        for command, options in (("chat", {"prompt": "hi"}), ("reset", {})):
            told = play.text(await play.vic.slash(quiet, command, **options))
            assert "Send Messages" in told
        assert play.engines["ada-2"].prompts == []


async def test_the_log_tells_at_the_start_what_keeps_it_silent(
    server: BotServer, caplog: pytest.LogCaptureFixture
) -> None:
    (mute,) = server.open_channels(1)
    deny(server, mute, Permission.SEND_MESSAGES)
    other, server_id = server.other, server.guild.id
    closed = Rule(server_id=server_id, subject=Subject.CHANNEL, subject_id=other.id, access=Access.CLOSED)
    server.store.call(rules.put, closed, by=1)
    server.world.add_channel(server.guild, "forgotten")
    caplog.set_level(logging.WARNING, "talkalike.discord_bot.bot")
    async with online(server, dm_access="closed"):
        await until(lambda: len(caplog.records) >= 4)
    told = [one.getMessage() for one in caplog.records if one.name == "talkalike.discord_bot.bot"]
    assert sorted(told) == [
        "Direct messages are closed to all but the bot's owner (the default in direct messages).",
        f"On 'Town' nobody is answered in 1 of 4 channels (server rule for <#{other.id}>: closed): #other.",
        "On 'Town' nobody is answered in 1 of 4 channels (the default on servers): #forgotten.",
        "On 'Town' nobody is answered in 1 of 4 channels, for the right Send Messages is missing: #room-0.",
    ]


def test_each_right_is_named_where_it_matters() -> None:
    every = discord.Permissions(**{right.flag: True for right in RIGHTS})
    assert missing(every) == () == missing(every, thread=True)
    assert [right.flag for right in missing(every, thread=True, locked=True)] == ["manage_threads"]
    for right in RIGHTS:
        without = discord.Permissions(every.value)
        without.update(**{right.flag: False})
        assert right in missing(without) + missing(without, thread=True)
    assert [right.flag for right in missing(discord.Permissions.none())] == ["view_channel"]


# ------------------------------------------------------------------------------------------------------- its own rate
async def test_edits_and_again_keep_to_the_rate_of_their_channel(server: BotServer) -> None:
    async with online(server, options={"replies_per_minute": 2}) as bot:
        sent = server.send("one")
        await server.wait_ended(1)
        server.world.edit(server.anna.id, sent.id, "two")
        row, _ = await server.wait_ended(2)
        server.world.edit(server.anna.id, sent.id, "three")
        button = server.by_bot()[-1]
        server.world.click(server.anna.id, button.id, f"talkalike:again:{row.id}")
        elsewhere = server.open_channels(1)[0]
        server.send("not slowed down", elsewhere)
        await server.wait_ended(1, elsewhere)
        assert server.words() == ["re: two"]
        assert len(server.rows()) == 2
        assert bot.conversations.running() == ()
