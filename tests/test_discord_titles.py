"""What the model is told of the place: a thread's or post's title, and nothing of a title whose author hides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot_server import BotServer, online
from discord_world import world
from local_discord_bots import open_server
from talkalike.chat.permissions import Access, Subject
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import people, replies
from talkalike.store.store import open_store

HELLO = (("hello there",),)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BotServer]:
    async with open_server() as empty:
        with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            yield BotServer(**vars(empty), store=store)


async def test_a_post_of_a_forum_has_its_title_before_its_words_also_after_a_reset(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, options={"persona": "You bake."}) as w:
        made_forum = w.guild.create_forum_channel("bread")
        w.rule(Subject.CHANNEL, made_forum.id, access=Access.OPEN)
        forum = w.bot.get_channel(made_forum.id)
        assert isinstance(forum, discord.ForumChannel)
        made = await forum.create_thread(name="Sourdough, wet", content="How long does it rise?")
        await w.env.settle()
        (thread,) = made_forum.threads
        await w.anna.send(thread, "a day")
        await w.wait()
        opening = ["system: You bake.", "thread: Sourdough, wet"]
        assert w.prompts()[-1] == [*opening, "Anton: How long does it rise?", "Anna: a day"]
        seen = await w.bot.contexts.preview(made.thread)
        assert [(one.id, one.why) for one in seen.kept[:2]] == [("persona", "pinned"), ("thread", "pinned")]


async def test_a_title_is_its_authors_words_and_hides_with_them(server: BotServer) -> None:
    anna, ben = server.anna.id, server.ben.id
    thread = server.world.start_thread(anna, server.general.id, "Anna's secret plan")
    engine = ScriptedEngine(HELLO)
    async with online(server, engine):
        server.world.send(ben, thread.id, "and?")
        await server.wait_ended(1, thread)
        server.store.call(people.set_consent, anna, seen=False)
        server.world.send(ben, thread.id, "and now?")
        await server.wait_ended(2, thread)
    first, second = ([f"{turn.speaker}: {turn.text}" for turn in prompt.turns] for prompt in engine.prompts)
    assert first == ["thread: Anna's secret plan", "ben: and?"]
    assert second == ["ben: and?", "Anton: hello there", "ben: and now?"]
    newest, oldest = server.store.call(replies.recent, thread.id, 5)
    assert "thread" not in {one["id"] for one in newest.seen["kept"]}
    title = oldest.seen["kept"][0]
    assert (title["id"], title["author_id"]) == ("thread", anna)  # found when she wants to be forgotten
