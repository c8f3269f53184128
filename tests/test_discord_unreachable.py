"""Everything the double reads from Discord, over real sockets, where it hangs, fails, is cut off or answers nonsense.

Whatever is read and however it fails, the message is answered, and what is missing is named.
"""

from __future__ import annotations

import ast
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import discord
import pytest

import talkalike.discord_bot
from bot_server import BotServer, online
from local_discord.faults import Faults
from local_discord.model import Message
from local_discord_bots import open_server
from talkalike.chat.permissions import Level, Rule, Subject
from talkalike.discord_bot import asking
from talkalike.discord_bot.asking import Patience, UnreadError, ask
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import rules
from talkalike.store.store import open_store

HELLO = (("hello there",),)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BotServer]:
    async with open_server() as empty:
        with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            yield BotServer(**vars(empty), store=store)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "EACH", 0.3)
    monkeypatch.setattr(asking, "TOGETHER", 0.6)


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    logged = [one for one in caplog.records if one.exc_info and one.name.startswith("talkalike")]
    logged += [one for one in caplog.records if one.name == "asyncio" and one.levelno >= logging.ERROR]
    assert [one.getMessage() for one in logged] == []


FAULTS: dict[str, Callable[[Faults, str], None]] = {
    "hangs": lambda faults, route: faults.delay(route, 60.0, times=99),
    "fails": lambda faults, route: faults.fail(route, 500, times=99),
    "is cut": lambda faults, route: faults.cut(route, times=99),
    "is nonsense": lambda faults, route: faults.garble(route, times=99),
    "is refused": lambda faults, route: faults.fail(route, 418, times=99),
}


async def _history(server: BotServer) -> None:
    server.send("said before the bot came")


async def _answered(server: BotServer) -> None:
    """A chain of replies, whose beginning is further back than what is read."""
    first = server.send("the very first")
    second = server.world.send(server.ben.id, server.general.id, "an old answer", reply_to=first.id)
    server.kept = second  # type: ignore[attr-defined]
    for number in range(4):
        server.send(f"!{number} aside")


async def _member(server: BotServer) -> None:
    role = server.world.add_role(server.guild, "ghosts")
    rule = Rule(server_id=server.guild.id, subject=Subject.ROLE, subject_id=role.id, level=Level.IGNORED)
    server.store.call(rules.put, rule, by=1)
    server.world.send(server.ben.id, server.general.id, "who am I?")


async def _file(server: BotServer) -> None:
    server.world.send(server.ben.id, server.general.id, "look", attachments=[("notes.txt", b"some notes")])


READINGS: dict[str, tuple[str, Callable[[BotServer], Awaitable[None]], str]] = {
    "history": ("GET /channels/*/messages", _history, "what was said here before could not be read"),
    "what is answered": (
        "GET /channels/*/messages/*",
        _answered,
        "message that this one answers could not be read",
    ),
    "member": ("GET /guilds/*/members/*", _member, ""),
    "file": ("GET /attachments/*", _file, "[file: notes.txt] (could not be read"),
}


def _ask(server: BotServer) -> Message:
    kept = getattr(server, "kept", None)
    more = {"reply_to": kept.id} if kept is not None else {}
    return server.world.send(server.anna.id, server.general.id, "and now?", **more)


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("what", READINGS)
async def test_a_reading_that_fails_is_named_and_the_message_is_answered(
    server: BotServer, what: str, how: str
) -> None:
    route, prepare, note = READINGS[what]
    await prepare(server)
    FAULTS[how](server.world.faults, route)
    engine = ScriptedEngine(HELLO)
    async with online(server, engine, history_limit=3 if what == "what is answered" else 200):
        asked = _ask(server)
        await server.wait_ended(1)
    assert server.words() == ["hello there"]
    shown = "\n".join(f"{turn.speaker}: {turn.text}" for turn in engine.prompts[0].turns)
    assert "Anna:" in shown and shown.endswith("and now?")
    assert asked.content in shown
    if note and not (what == "file" and how == "is nonsense"):  # a file may hold anything
        assert note in shown
    if what == "member":
        assert "who am I?" not in shown  # whose roles are not known may be somebody who is ignored


@pytest.mark.parametrize("how", FAULTS)
async def test_a_thread_whose_first_message_cannot_be_read_is_answered(server: BotServer, how: str) -> None:
    starter = server.send("let us talk about bread")
    thread = server.world.start_thread(server.anna.id, server.general.id, "bread", message=starter)
    FAULTS[how](server.world.faults, f"GET /channels/{server.general.id}/messages/*")
    engine = ScriptedEngine(HELLO)
    async with online(server, engine):
        server.send("rye", thread)
        await server.wait_ended(1, thread)
    shown = [f"{turn.speaker}: {turn.text}" for turn in engine.prompts[0].turns]
    missing = "system: [the message that this thread was opened on could not be read]"
    assert shown == [missing, "thread: bread", "Anna: rye"]


@pytest.mark.parametrize("how", FAULTS)
async def test_a_start_that_cannot_read_anything_hears_what_comes(server: BotServer, how: str) -> None:
    """What was missed is looked for in places with replies; those that cannot be read keep nobody waiting."""
    rooms = server.open_channels(2)
    async with online(server, ScriptedEngine(HELLO)):
        for room in rooms:
            server.send("hi", room)
            await server.wait_ended(1, room)
    server.send("missed", rooms[0])
    FAULTS[how](server.world.faults, "GET /channels/*")
    async with online(server, ScriptedEngine((("again",),))):
        server.send("and now?", rooms[1])
        await server.wait_ended(2, rooms[1])
    assert server.words(rooms[1]) == ["hello there", "again"]


async def test_ten_questions_take_no_longer_than_all_of_them_may() -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    patience = Patience()
    began = asyncio.get_running_loop().time()
    for _ in range(10):
        with pytest.raises(UnreadError, match="no answer in time"):
            await patience.ask(never(), "something")
    assert asyncio.get_running_loop().time() - began < 10


async def test_who_is_cancelled_while_asking_is_cancelled() -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    asking_now = asyncio.create_task(ask(never(), "something"))
    await asyncio.sleep(0)
    asking_now.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking_now


def test_nothing_is_read_from_discord_in_another_way() -> None:
    """discord.py's readings stand only inside a call of `ask`: one that is awaited by itself may wait for ever."""
    names = dir(discord.Client) + dir(discord.Guild) + dir(discord.TextChannel)
    readings = {name for name in names if name.startswith("fetch")} | {"fetch", "pins", "application_info"}
    found, asked = [], 0
    for path in sorted(Path(talkalike.discord_bot.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) == "ask"
            for argument in call.args[:1]
            for part in ast.walk(argument)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            holder = getattr(node.func.value, "attr", getattr(node.func.value, "id", ""))
            history = node.func.attr == "history" and holder != "recent" and path.name != "asking.py"
            if node.func.attr in readings or history or (node.func.attr == "read" and holder == "attachment"):
                asked += id(node) in inside
                found += [] if id(node) in inside else [f"{path.name}:{node.lineno} {node.func.attr}"]
    assert found == []
    assert asked >= 8
