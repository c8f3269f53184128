"""Real discord.py on our own Discord: messages, reactions, threads, files, DMs, intents."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta

import discord
import pytest
from PIL import Image

from local_discord.errors import DiscordError
from local_discord.permissions import Permission
from local_discord_bots import Probe, Town, running, town_open, until


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with town_open() as opened:
        yield opened


@pytest.fixture
async def probe(town: Town) -> AsyncIterator[Probe]:
    async with running(Probe(), town.bot.token) as client:
        yield client


async def test_a_message_is_heard_and_answered(town: Town, probe: Probe) -> None:
    asked = town.world.send(town.anna.id, town.general.id, f"<@{town.bot.id}> hello <@&{town.server.id}>")
    message = await probe.hears("message")
    assert (message.id, message.content, message.author.id) == (asked.id, asked.content, town.anna.id)
    assert message.author.display_name == "Anna" and message.channel.name == "general"
    assert probe.user in message.mentions and message.guild.owner_id == town.anna.id
    assert abs((message.created_at - discord.utils.utcnow()).total_seconds()) < 60

    answer = await message.reply("hi", mention_author=False, embed=discord.Embed(title="A title"))
    kept = town.world.message(answer.id)
    assert kept.content == "hi" and kept.author_id == town.bot.id and kept.mention_ids == []
    assert answer.reference.resolved.id == asked.id and answer.type is discord.MessageType.reply
    pinged = await message.reply("hey")
    assert town.world.message(pinged.id).mention_ids == [town.anna.id]


async def test_replies_quotes_and_forwards_of_people_resolve(town: Town, probe: Probe) -> None:
    first = town.world.send(town.anna.id, town.general.id, "first")
    town.world.send(town.ben.id, town.general.id, "second", reply_to=first.id)
    town.world.forward(town.ben.id, town.other.id, first.id)
    reply = await probe.hears("message", lambda m: m.content == "second")
    assert reply.reference.resolved.content == "first" and reply.mentions[0].id == town.anna.id
    forwarded = await probe.hears("message", lambda m: m.channel.id == town.other.id)
    assert forwarded.reference.type is discord.MessageReferenceType.forward
    assert [s.content for s in forwarded.message_snapshots] == ["first"] and forwarded.content == ""
    sent = await forwarded.channel.send("x")
    again = await sent.forward(probe.get_channel(town.general.id))
    assert town.world.message(again.id).snapshots[0]["message"]["content"] == "x"


async def test_edits_and_deletions_go_both_ways(town: Town, probe: Probe) -> None:
    message = town.world.send(town.anna.id, town.general.id, "helo")
    town.world.edit(town.anna.id, message.id, "hello")
    before, after = await probe.hears("message_edit")
    assert (before.content, after.content) == ("helo", "hello") and after.edited_at is not None
    town.world.delete(town.anna.id, message.id)
    assert (await probe.hears("message_delete")).id == message.id

    mine = await probe.get_channel(town.general.id).send("one")
    watching = town.world.subscribe(town.ben.id)
    await mine.edit(content="two")
    assert (await watching.wait_for("MESSAGE_UPDATE"))["content"] == "two"
    await mine.delete()
    assert (await watching.wait_for("MESSAGE_DELETE"))["id"] == str(mine.id)
    with pytest.raises(discord.NotFound) as lost:
        await mine.edit(content="three")
    assert lost.value.code == 10008


async def test_nobody_edits_or_deletes_what_is_not_theirs(town: Town, probe: Probe) -> None:
    town.world.send(town.anna.id, town.general.id, "mine")
    message = await probe.hears("message")
    with pytest.raises(discord.Forbidden) as refused:
        await message.edit(content="yours")
    assert refused.value.code == 50005
    with pytest.raises(discord.Forbidden) as refused:
        await message.delete()
    assert refused.value.code == 50013
    with pytest.raises(DiscordError) as error:
        town.world.delete(town.ben.id, message.id)
    assert error.value.code == 50013
    town.world.delete(town.anna.id, (await message.channel.send("x")).id)  # the server's owner may


async def test_reactions(town: Town, probe: Probe) -> None:
    message = await probe.get_channel(town.general.id).send("like it?")
    town.world.react(town.ben.id, message.id, "👍")
    reaction, user = await probe.hears("reaction_add")
    assert (str(reaction.emoji), user.id, reaction.count) == ("👍", town.ben.id, 1)
    await message.add_reaction("👍")
    await message.add_reaction("❤️")
    assert town.world.message(message.id).reactions == {"👍": [town.ben.id, town.bot.id], "❤️": [town.bot.id]}
    read = await message.channel.fetch_message(message.id)
    assert [(r.count, r.me) for r in read.reactions] == [(2, True), (1, True)]
    assert {u.id async for u in read.reactions[0].users()} == {town.ben.id, town.bot.id}
    await message.remove_reaction("👍", probe.user)
    town.world.unreact(town.ben.id, message.id, "👍")
    await probe.hears("raw_reaction_remove", lambda raw: raw.user_id == town.ben.id)
    assert "👍" not in town.world.message(message.id).reactions
    with pytest.raises(discord.HTTPException) as refused:
        await message.add_reaction("smile")
    assert refused.value.code == 10014


async def test_threads(town: Town, probe: Probe) -> None:
    town.world.send(town.anna.id, town.general.id, "a topic")
    message = await probe.hears("message")
    thread = await message.create_thread(name="Topic")
    assert thread.id == message.id and thread.parent_id == town.general.id and thread.owner_id == town.bot.id
    town.world.send(town.ben.id, thread.id, "in the thread")
    inside = await probe.hears("message", lambda m: m.content == "in the thread")
    assert isinstance(inside.channel, discord.Thread) and inside.channel.id == thread.id
    starter = await anext(aiter(thread.history(oldest_first=True)))
    assert starter.type is discord.MessageType.thread_starter_message
    assert starter.reference.resolved.content == "a topic"
    assert {m.id for m in await thread.fetch_members()} == {town.bot.id, town.ben.id}
    with pytest.raises(discord.HTTPException) as refused:
        await message.create_thread(name="Again")
    assert refused.value.code == 160004

    made = town.world.create_thread(town.anna.id, town.general.id, "By Anna")
    heard = await probe.hears("thread_create", lambda t: t.id == made.id)
    assert heard.name == "By Anna"
    await heard.join()
    await heard.send("here")
    await thread.edit(archived=True)
    archived = [t async for t in probe.get_channel(town.general.id).archived_threads()]
    assert [t.id for t in archived] == [thread.id]
    assert [t.id for t in await probe.get_guild(town.server.id).active_threads()] == [made.id]
    town.world.send(town.ben.id, thread.id, "wakes it up")
    assert not town.world.channel(thread.id).archived


async def test_a_private_thread_is_seen_by_its_members_alone(town: Town, probe: Probe) -> None:
    secret = town.world.create_thread(town.ben.id, town.general.id, "secret", private=True)
    with pytest.raises(discord.Forbidden) as refused:
        await probe.fetch_channel(secret.id)
    assert refused.value.code == 50001
    town.world.send(town.ben.id, secret.id, "alone")
    town.world.send(town.ben.id, secret.id, f"come in, <@{town.bot.id}>")
    # The mention lets it in: that message may or may not be told, but what was said before never is.
    await until(lambda: probe.get_guild(town.server.id).get_thread(secret.id))
    town.world.send(town.ben.id, secret.id, "welcome")
    await probe.hears("message", lambda m: m.content == "welcome")
    assert "alone" not in [m.content for m in probe.heard("message")]


async def test_history_by_before_after_around_and_limit(town: Town, probe: Probe) -> None:
    ids = [town.world.send(town.anna.id, town.general.id, str(n)).id for n in range(120)]
    channel = probe.get_channel(town.general.id)
    assert [m.content async for m in channel.history(limit=None)] == [str(n) for n in range(119, -1, -1)]
    at = discord.Object(ids[50])
    assert [m.content async for m in channel.history(limit=3, before=at)] == ["49", "48", "47"]
    assert [m.content async for m in channel.history(limit=3, after=at)] == ["51", "52", "53"]
    around = [m.content async for m in channel.history(limit=5, around=at, oldest_first=True)]
    assert around == ["48", "49", "50", "51", "52"]


async def test_a_channel_forgets_its_oldest_messages(town: Town, probe: Probe) -> None:
    town.world.messages_per_channel = 10
    ids = [town.world.send(town.anna.id, town.general.id, str(n)).id for n in range(30)]
    assert list(town.general.messages) == ids[-10:]
    assert town.world.find_message(ids[0]) is None


async def test_bulk_delete_minds_the_14_days(town: Town, probe: Probe) -> None:
    role = town.world.add_role(town.server, "cleaner", permissions=Permission.MANAGE_MESSAGES)
    town.world.set_member_roles(town.server, town.bot, [role])
    channel = probe.get_channel(town.general.id)
    old = [town.world.send(town.anna.id, town.general.id, "old") for _ in range(2)]
    town.world.clock.advance(timedelta(days=15).total_seconds())
    new = [town.world.send(town.anna.id, town.general.id, "new") for _ in range(3)]
    with pytest.raises(discord.HTTPException) as refused:
        await channel.delete_messages([discord.Object(m.id) for m in old])
    assert refused.value.code == 50034
    await channel.delete_messages([discord.Object(m.id) for m in new[:2]])
    assert list(town.general.messages) == [old[0].id, old[1].id, new[2].id]
    assert {m.id for m in await probe.hears("bulk_message_delete")} == {m.id for m in new[:2]}


async def test_files_down_and_up(town: Town, probe: Probe) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (30, 20)).save(picture, "PNG")
    files = [("a b.png", picture.getvalue()), ("../notes.txt", "grüße".encode())]
    town.world.send(town.anna.id, town.general.id, attachments=files)
    message = await probe.hears("message")
    image, text = message.attachments
    assert (image.filename, image.content_type, image.width, image.height) == ("a_b.png", "image/png", 30, 20)
    assert (text.filename, text.content_type, text.width) == ("notes.txt", "text/plain; charset=utf-8", None)
    assert await image.read() == picture.getvalue() and (await text.read()).decode() == "grüße"

    up = [discord.File(io.BytesIO(b"one"), "one.txt", description="the first"), discord.File(io.BytesIO(b"2"), "2.bin")]
    sent = await message.channel.send("files", files=up)
    kept = town.world.message(sent.id)
    assert [(a.filename, a.size, a.description) for a in kept.attachments] == [
        ("one.txt", 3, "the first"),
        ("2.bin", 1, None),
    ]
    changed = await sent.edit(attachments=[sent.attachments[1], discord.File(io.BytesIO(b"three"), "three.txt")])
    assert [a.filename for a in changed.attachments] == ["2.bin", "three.txt"]
    assert await changed.attachments[1].read() == b"three"
    with pytest.raises(discord.NotFound):
        await sent.attachments[0].read()


async def test_the_oldest_files_go_when_there_are_too_many(town: Town, probe: Probe) -> None:
    town.world.files.total = 250
    for name in ("first", "second", "third"):
        town.world.send(town.anna.id, town.general.id, attachments=[(name, b"x" * 100)])
    messages = [m.attachments[0] async for m in probe.get_channel(town.general.id).history(oldest_first=True)]
    assert len(await messages[2].read()) == len(await messages[1].read()) == 100
    with pytest.raises(discord.NotFound):
        await messages[0].read()


async def test_direct_messages(town: Town, probe: Probe) -> None:
    dm = town.world.open_dm(town.ben.id, town.bot.id)
    town.world.send(town.ben.id, dm.id, "psst")
    message = await probe.hears("message")
    assert isinstance(message.channel, discord.DMChannel)
    await message.channel.send("yes?")
    assert [m.content for m in town.world.history(town.ben.id, dm.id)] == ["yes?", "psst"]
    with pytest.raises(DiscordError) as error:
        town.world.history(town.anna.id, dm.id)
    assert error.value.code == 50001

    town.anna.accepts_dms = False
    with pytest.raises(discord.Forbidden) as refused:
        await probe.get_user(town.anna.id).send("hello")
    assert refused.value.code == 50007
    stranger = town.world.add_user("stranger")
    with pytest.raises(discord.Forbidden) as refused:
        await (await probe.fetch_user(stranger.id)).send("hello")
    assert refused.value.code == 50007


async def test_typing_is_told(town: Town, probe: Probe) -> None:
    watching = town.world.subscribe(town.ben.id)
    async with probe.get_channel(town.general.id).typing():
        told = await watching.wait_for("TYPING_START")
    assert (told["user_id"], told["channel_id"]) == (str(town.bot.id), str(town.general.id))
    town.world.typing(town.ben.id, town.general.id)
    channel, user, _ = await probe.hears("typing", lambda _, u, __: u.id == town.ben.id)
    assert channel.id == town.general.id and user.name == "ben"


@pytest.mark.parametrize(
    ("content", "code"), [("x" * 2001, 50035), ("", 50006), ("   ", 50006)], ids=["long", "empty", "blank"]
)
async def test_texts_that_are_no_message(town: Town, probe: Probe, content: str, code: int) -> None:
    with pytest.raises(discord.HTTPException) as refused:
        await probe.get_channel(town.general.id).send(content)
    assert refused.value.code == code
    with pytest.raises(DiscordError) as error:
        town.world.send(town.anna.id, town.general.id, content)
    assert error.value.code == code


async def test_allowed_mentions_decide_who_is_pinged(town: Town, probe: Probe) -> None:
    role = town.world.add_role(town.server, "all of us")
    channel = probe.get_channel(town.general.id)
    text = f"<@{town.anna.id}> <@{town.ben.id}> <@&{role.id}> @everyone `<@{town.bot.id}>`"
    nobody = await channel.send(text, allowed_mentions=discord.AllowedMentions.none())
    assert (nobody.mentions, nobody.role_mentions, nobody.mention_everyone) == ([], [], False)
    every = await channel.send(text)
    assert {u.id for u in every.mentions} == {town.anna.id, town.ben.id} and len(every.role_mentions) == 1
    assert not every.mention_everyone  # the bot has no right to
    one = await channel.send(text, allowed_mentions=discord.AllowedMentions(users=[town.ben], roles=False))
    assert [u.id for u in one.mentions] == [town.ben.id]


async def test_without_the_message_content_intent_only_what_is_meant_for_the_bot_is_readable(town: Town) -> None:
    intents = discord.Intents.default()
    assert not intents.message_content
    town.bot.privileged = frozenset({"members"})
    async with running(Probe(intents=intents), town.bot.token) as probe:
        hidden = town.world.send(town.anna.id, town.general.id, "hidden", attachments=[("a.txt", b"x")])
        town.world.send(town.ben.id, town.general.id, f"<@{town.bot.id}> shown", reply_to=hidden.id)
        dm = town.world.open_dm(town.ben.id, town.bot.id)
        town.world.send(town.ben.id, dm.id, "dm")
        await probe.get_channel(town.general.id).send("own")
        await until(lambda: len(probe.heard("message")) == 4)
        texts = {m.id: (m.content, len(m.attachments)) for m in probe.heard("message")}
        assert texts.pop(hidden.id) == ("", 0)
        assert sorted(text for text, _ in texts.values()) == [f"<@{town.bot.id}> shown", "dm", "own"]
        quoting = next(m for m in probe.heard("message") if m.reference)
        assert quoting.reference.resolved.content == ""
        read = [m.content async for m in probe.get_channel(town.general.id).history(oldest_first=True)]
        assert read == ["", f"<@{town.bot.id}> shown", "own"]


async def test_two_bots_at_once_hear_each_other(town: Town, probe: Probe) -> None:
    second = town.world.add_bot("shell")
    town.world.invite(town.server, second)
    assert (await probe.hears("member_join")).id == second.id
    async with running(Probe(), second.token) as shell:
        await probe.get_channel(town.general.id).send("hello, shell")
        message = await shell.hears("message")
        assert message.author.id == town.bot.id and message.author.bot
        await message.reply("hello, double")
        assert (await probe.hears("message", lambda m: m.author.id == second.id)).content == "hello, double"
        assert town.world.online == {town.bot.id, second.id}
    await until(lambda: town.world.online == {town.bot.id})


async def test_joining_and_leaving_a_server(town: Town, probe: Probe) -> None:
    second = town.world.add_server("Second", town.ben)
    town.world.add_channel(second, "lobby")
    town.world.invite(second, town.bot, permissions=Permission.MANAGE_MESSAGES)
    guild = await probe.hears("guild_join")
    assert guild.name == "Second" and guild.text_channels[0].name == "lobby"
    assert guild.self_role.permissions.manage_messages
    town.world.remove_member(second, town.bot)
    assert (await probe.hears("guild_remove")).id == second.id
