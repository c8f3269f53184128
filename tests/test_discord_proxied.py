"""PluralKit and its like: what a webhook posts in a person's stead is that person's, and answered once it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from discord_world import World, world
from talkalike.chat.permissions import Level, Subject
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import replies
from talkalike.store.replies import ReplyState


def echo(prompt: Prompt) -> tuple[str, ...]:
    return (f"re: {prompt.turns[-1].text}",)


async def proxy(w: World, words: str, name: str, *, first: str = "posted", channel=None, posted: str = "") -> None:
    """Anna writes, and a webhook takes her place."""
    channel = channel or w.open
    original = await w.anna.send(channel, words)
    webhook = w.guild.create_webhook(channel, "PluralKit")
    if first == "deleted":
        await w.anna.delete(original)
    await webhook.send(posted or words.partition(":")[2].strip(), username=name)
    if first == "posted":
        await w.anna.delete(original)


@pytest.mark.parametrize("first", ["posted", "deleted"])
async def test_proxied_words_are_answered_once_and_under_the_name_they_were_posted_with(
    tmp_path: Path, first: str
) -> None:
    async with world(tmp_path, echo) as w:
        await proxy(w, "L: hello you", "Luna", first=first)
        await w.wait(6)
        assert w.prompts() == [["Luna: hello you"]]
        assert w.words(w.open) == ["re: hello you"]
        await proxy(w, "S: me too", "Sol", first=first)
        await w.wait(6)
        assert w.prompts()[-1] == ["Luna: hello you", "Anton: re: hello you", "Sol: me too"]
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.asker_id for row in rows] == [w.anna.id] * 2
        assert {one["author_id"] for one in rows[0].seen["kept"] if one["speaker"] != "Anton"} == {w.anna.id}


async def test_they_are_judged_as_the_words_of_whoever_wrote_them(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await proxy(w, f"L: {w.me} called", "Luna", channel=w.mention)
        await proxy(w, "L: not called", "Luna", channel=w.closed)
        await w.wait(6)
        assert w.words(w.mention) == ["re: @TestBot called"] and w.words(w.closed) == []
        w.rule(Subject.USER, w.anna.id, level=Level.IGNORED)
        await proxy(w, "L: ignored", "Luna")
        await w.wait(6)
        assert w.words(w.open) == [] and len(w.engine.prompts) == 1


async def test_other_webhooks_stay_unheard(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        webhook = w.guild.create_webhook(w.open, "News")
        await webhook.send(f"{w.me} buy this")
        gone = await w.anna.send(w.open, "never mind")
        await w.anna.delete(gone)
        await webhook.send("what Anna never said", username="Anna")
        elsewhere = await w.anna.send(w.closed, "said elsewhere")
        await w.anna.delete(elsewhere)
        await webhook.send("said elsewhere", username="Anna")
        await w.wait(6)
        assert w.engine.prompts == []
        await w.ben.send(w.open, "hi")
        await w.wait()
        assert w.prompts() == [["Ben: hi"]]


async def test_what_comes_long_after_the_deletion_is_not_taken_for_it(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        gone = await w.anna.send(w.open, "never mind")
        await w.anna.delete(gone)
        await w.wait(30)
        await w.guild.create_webhook(w.open, "Late").send("never mind", username="Anna")
        await w.wait(6)
        assert w.engine.prompts == []


async def test_a_setting_lets_all_webhooks_be_ignored(tmp_path: Path) -> None:
    async with world(tmp_path, echo, options={"proxied": False}) as w:
        await proxy(w, "L: hello", "Luna")
        await w.wait(6)
        assert w.engine.prompts == [] and w.words(w.open) == []


async def test_a_reply_under_way_to_the_original_gives_way_and_one_that_is_seen_stays_the_only_one(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(echo, delay=4.0)
    async with world(tmp_path, engine=engine, options={"wait_seconds": 0.0}) as w:
        original = await w.anna.send(w.open, "L: slow")
        await w.wait(2)
        assert engine.running == 1
        await w.guild.create_webhook(w.open, "PluralKit").send("slow", username="Luna")
        await w.anna.delete(original)
        await w.wait(30)
        assert w.words(w.open) == ["re: slow"]
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.CANCELLED]
        seen = await w.anna.send(w.open, "L: quick")
        await w.wait(9)
        assert len(w.words(w.open)) == 2
        await w.anna.delete(seen)
        await w.guild.create_webhook(w.open, "PluralKit").send("quick", username="Luna")
        await w.wait(40)
        assert w.words(w.open) == ["re: slow", "re: L: quick"]
