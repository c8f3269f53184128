"""What the model is shown of Discord: names, files, quotes, threads; and the parts around it by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest

from discord_world import world
from talkalike.chat.permissions import Access, Level, Subject
from talkalike.discord_bot.disclosure import asks_what_it_is, disclosure
from talkalike.discord_bot.running import point_at
from talkalike.replying.queue import LineFullError, WaitingLine

HELLO = (("hello there",),)


async def test_mentions_channels_roles_and_emoji_have_names_and_secret_channels_do_not(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        role = w.guild.create_role("Bakers")
        hidden = discord.PermissionOverwrite(view_channel=False)
        secret = w.guild.create_text_channel("surprise-party", overwrites={w.guild.default_role: hidden})
        text = f"{w.ben.mention} <@&{role.id}> <#{w.closed.id}> <#{secret.id}> <:wave:99> https://example.org/a_b <t:0>"
        await w.anna.send(w.open, text)
        await w.wait()
        (shown,) = w.prompts()[0]
        assert shown == "Anna: @Ben @Bakers #closed #some channel :wave: https://example.org/a_b 1970-01-01 00:00 UTC"


async def test_text_files_are_read_up_to_the_cap_and_images_are_noted(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, text_file_cap=10) as w:
        files = [("short.txt", b"abc"), ("long.md", b"0123456789tail"), ("cat.png", b"\x89PNG"), ("a.bin", b"\x00\x01")]
        await w.anna.send(w.open, "look", attachments=files)
        await w.wait()
        (shown,) = w.prompts()[0]
        assert "[file: short.txt]\n```\nabc\n```" in shown
        assert "0123456789" in shown and "tail" not in shown and "first 10 of 14 bytes" in shown
        assert "[picture, not seen: cat.png]" in shown
        assert "[file: a.bin] (not a text file)" in shown


async def test_a_file_that_is_too_large_is_not_downloaded(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.open, "look", attachments=[("big.txt", b"x" * (1024 * 1024 + 1))])
        await w.wait()
        (shown,) = w.prompts()[0]
        assert "too large to be read" in shown and "xxx" not in shown


async def test_a_reply_to_a_message_out_of_sight_brings_that_message(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, history_limit=3, options={"wait_seconds": 0.0}) as w:
        first = await w.anna.send(w.closed, "the very first")
        w.rule(Subject.CHANNEL, w.closed.id, access=Access.OPEN)
        old = await w.ben.send(w.closed, "an old answer", reply_to=first)
        for number in range(4):
            await w.anna.send(w.closed, f"!{number} aside")
        await w.anna.send(w.closed, "about that", reply_to=old)
        await w.wait()
        shown = w.prompts()[-1]
        assert any(one.endswith("the very first") for one in shown)
        assert any(one.endswith("an old answer") for one in shown)


async def test_the_words_of_an_ignored_person_are_not_seen_by_being_quoted(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, history_limit=2) as w:
        w.rule(Subject.USER, w.ben.id, level=Level.IGNORED)
        said = await w.ben.send(w.open, "forbidden words")
        for number in range(3):
            await w.anna.send(w.open, f"!{number} aside")
        await w.anna.send(w.open, "what he said", reply_to=said)
        await w.wait()
        assert w.prompts() == [["Anna: what he said"]]


async def test_somebody_whose_role_is_ignored_is_not_seen_after_a_restart_either(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        role = w.guild.create_role("Ghosts")
        ghost = w.guild.add_member(w.env.create_user("Ghost"), roles=[role])
        w.rule(Subject.ROLE, role.id, level=Level.IGNORED)
        await ghost.send(w.open, "boo")
        await w.restart()
        await w.anna.send(w.open, "who was that?")
        await w.wait()
        assert w.prompts() == [["Anna: who was that?"]]


async def test_a_thread_begins_with_the_message_it_was_opened_on(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        starter = await w.anna.send(w.mention, "let us talk about bread")
        channel = w.bot.get_channel(w.mention.id)
        assert isinstance(channel, discord.TextChannel)
        await channel.create_thread(name="bread", message=discord.Object(starter.id))
        await w.env.settle()
        (thread,) = w.mention.threads
        await w.ben.send(thread, "rye")
        await w.wait()
        assert w.words(thread) == ["hello there"]
        assert w.prompts() == [["thread: bread", "Anna: let us talk about bread", "Ben: rye"]]
        await w.anna.edit(starter, "let us talk about cake")
        await w.ben.send(thread, "no")
        await w.wait()
        assert w.prompts()[-1][1] == "Anna: let us talk about cake"


async def test_forwarded_words_are_seen_as_such(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        said = await w.ben.send(w.closed, "look at this")
        await w.anna.forward(said, w.open)
        await w.wait()
        assert w.prompts() == [["Anna: Forwarded: look at this"]]


async def test_control_signs_do_not_reach_the_model(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.open, "a\x07b\u202ec\td")
        await w.wait()
        assert w.prompts() == [["Anna: abc\td"]]


async def test_preview_and_context_tell_what_a_reply_would_see(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO) as w:
        await w.anna.send(w.closed, "one")
        await w.anna.send(w.closed, "!two")
        channel = w.bot.get_channel(w.closed.id)
        assert channel is not None
        seen = await w.bot.contexts.preview(channel)
        assert [placed.turn.text for placed in seen.kept] == ["one"]
        items = await w.bot.contexts.context(channel)
        assert [bool(item.barred) for item in items] == [False, True]
        assert w.engine.prompts == []


@pytest.mark.parametrize(
    "words",
    [
        "are you a bot?",
        "hey Anton, are you actually a real person",
        "wait, am I talking to an AI?",
        "you’re a bot, right?",
        "bist du ein Mensch?",
        "jsi robot?",
        "es-tu humain ?",
        "ты бот?",
        "is this a real person?",
    ],
)
def test_sincere_questions_are_recognised(words: str) -> None:
    assert asks_what_it_is(words)


@pytest.mark.parametrize(
    "words", ["hi", "the bot is down", "are you coming?", "I hate bots", "are you human-resources or sales" * 20]
)
def test_other_words_are_not(words: str) -> None:
    assert not asks_what_it_is(words)


def test_the_disclosure_names_the_owner() -> None:
    assert "AI double of Anton" in disclosure("Anton")
    assert "AI double" in disclosure("")


async def test_channels_take_turns_and_a_noisy_one_does_not_keep_others_waiting() -> None:
    line = WaitingLine(at_once=1, max_waiting=10)
    order: list[int] = []
    done = asyncio.Event()

    async def reply(channel: int, number: int) -> None:
        async with line.turn(channel, number):
            order.append(number)
            await done.wait()

    tasks = []
    for channel, number in ((1, 10), (1, 11), (1, 12), (2, 20), (3, 30)):
        tasks.append(asyncio.create_task(reply(channel, number)))
        await asyncio.sleep(0)
    assert [line.position(number) for number in (10, 11, 20, 30, 12)] == [0, 1, 2, 3, 4]
    done.set()
    await asyncio.gather(*tasks)
    assert order == [10, 11, 20, 30, 12]
    assert len(line) == 0 and line.position(10) is None


async def test_one_channel_has_one_reply_at_a_time_whatever_is_free() -> None:
    line = WaitingLine(at_once=4, max_waiting=10)
    async with line.turn(1, 10):
        waiting = asyncio.create_task(_enter(line, 1, 11))
        await asyncio.sleep(0)
        async with line.turn(2, 20):
            assert [line.position(number) for number in (10, 11, 20)] == [0, 1, 0]
        waiting.cancel()
        await asyncio.wait({waiting})
        assert len(line) == 0
    async with line.turn(1, 12):
        assert line.position(12) == 0


async def test_a_full_line_says_so_and_every_way_out_frees_the_place() -> None:
    line = WaitingLine(at_once=1, max_waiting=1)
    with pytest.raises(ZeroDivisionError):
        async with line.turn(1, 10):
            waiting = asyncio.create_task(_enter(line, 2, 20))
            await asyncio.sleep(0)
            with pytest.raises(LineFullError):
                await _enter(line, 3, 30)
            raise ZeroDivisionError
    await waiting
    assert line.free(1) and line.free(2) and len(line) == 0


async def _enter(line: WaitingLine, channel: int, number: int) -> None:
    async with line.turn(channel, number):
        await asyncio.sleep(0)


def test_the_wire_points_at_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)
    socket: Any = discord.gateway.DiscordWebSocket
    monkeypatch.setattr(socket, "DEFAULT_GATEWAY", socket.DEFAULT_GATEWAY)
    point_at("http://127.0.0.1:1/api/v10", "ws://127.0.0.1:1/gateway")
    assert discord.http.Route("GET", "/users/@me").url == "http://127.0.0.1:1/api/v10/users/@me"
    assert str(socket.DEFAULT_GATEWAY) == "ws://127.0.0.1:1/gateway"
