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
from local_discord_bots import DiscordServer, Probe, open_server, running, until


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with open_server() as opened:
        yield opened


@pytest.fixture
async def probe(server: DiscordServer) -> AsyncIterator[Probe]:
    async with running(Probe(), server.bot.token) as client:
        yield client


async def test_a_message_is_heard_and_answered(server: DiscordServer, probe: Probe) -> None:
    asked = server.world.send(server.anna.id, server.general.id, f"<@{server.bot.id}> hello <@&{server.guild.id}>")
    message = await probe.hears("message")
    assert (message.id, message.content, message.author.id) == (asked.id, asked.content, server.anna.id)
    assert message.author.display_name == "Anna" and message.channel.name == "general"
    assert probe.user in message.mentions and message.guild.owner_id == server.anna.id
    assert abs((message.created_at - discord.utils.utcnow()).total_seconds()) < 60

    answer = await message.reply("hi", mention_author=False, embed=discord.Embed(title="A title"))
    kept = server.world.message(answer.id)
    assert kept.content == "hi" and kept.author_id == server.bot.id and kept.mention_ids == []
    assert answer.reference.resolved.id == asked.id and answer.type is discord.MessageType.reply
    pinged = await message.reply("hey")
    assert server.world.message(pinged.id).mention_ids == [server.anna.id]


async def test_replies_quotes_and_forwards_of_people_resolve(server: DiscordServer, probe: Probe) -> None:
    first = server.world.send(server.anna.id, server.general.id, "first")
    server.world.send(server.ben.id, server.general.id, "second", reply_to=first.id)
    server.world.forward(server.ben.id, server.other.id, first.id)
    reply = await probe.hears("message", lambda m: m.content == "second")
    assert reply.reference.resolved.content == "first" and reply.mentions[0].id == server.anna.id
    forwarded = await probe.hears("message", lambda m: m.channel.id == server.other.id)
    assert forwarded.reference.type is discord.MessageReferenceType.forward
    assert [s.content for s in forwarded.message_snapshots] == ["first"] and forwarded.content == ""
    sent = await forwarded.channel.send("x")
    again = await sent.forward(probe.get_channel(server.general.id))
    assert server.world.message(again.id).snapshots[0]["message"]["content"] == "x"


async def test_edits_and_deletions_go_both_ways(server: DiscordServer, probe: Probe) -> None:
    message = server.world.send(server.anna.id, server.general.id, "helo")
    server.world.edit(server.anna.id, message.id, "hello")
    before, after = await probe.hears("message_edit")
    assert (before.content, after.content) == ("helo", "hello") and after.edited_at is not None
    server.world.delete(server.anna.id, message.id)
    assert (await probe.hears("message_delete")).id == message.id

    mine = await probe.get_channel(server.general.id).send("one")
    watching = server.world.subscribe(server.ben.id)
    await mine.edit(content="two")
    assert (await watching.wait_for("MESSAGE_UPDATE"))["content"] == "two"
    await mine.delete()
    assert (await watching.wait_for("MESSAGE_DELETE"))["id"] == str(mine.id)
    with pytest.raises(discord.NotFound) as lost:
        await mine.edit(content="three")
    assert lost.value.code == 10008


async def test_nobody_edits_or_deletes_what_is_not_theirs(server: DiscordServer, probe: Probe) -> None:
    server.world.send(server.anna.id, server.general.id, "mine")
    message = await probe.hears("message")
    with pytest.raises(discord.Forbidden) as refused:
        await message.edit(content="yours")
    assert refused.value.code == 50005
    with pytest.raises(discord.Forbidden) as refused:
        await message.delete()
    assert refused.value.code == 50013
    with pytest.raises(DiscordError) as error:
        server.world.delete(server.ben.id, message.id)
    assert error.value.code == 50013
    server.world.delete(server.anna.id, (await message.channel.send("x")).id)  # the server's owner may


async def test_reactions(server: DiscordServer, probe: Probe) -> None:
    message = await probe.get_channel(server.general.id).send("like it?")
    server.world.react(server.ben.id, message.id, "👍")
    reaction, user = await probe.hears("reaction_add")
    assert (str(reaction.emoji), user.id, reaction.count) == ("👍", server.ben.id, 1)
    await message.add_reaction("👍")
    await message.add_reaction("❤️")
    assert server.world.message(message.id).reactions == {"👍": [server.ben.id, server.bot.id], "❤️": [server.bot.id]}
    read = await message.channel.fetch_message(message.id)
    assert [(r.count, r.me) for r in read.reactions] == [(2, True), (1, True)]
    assert {u.id async for u in read.reactions[0].users()} == {server.ben.id, server.bot.id}
    await message.remove_reaction("👍", probe.user)
    server.world.unreact(server.ben.id, message.id, "👍")
    await probe.hears("raw_reaction_remove", lambda raw: raw.user_id == server.ben.id)
    assert "👍" not in server.world.message(message.id).reactions
    with pytest.raises(discord.HTTPException) as refused:
        await message.add_reaction("smile")
    assert refused.value.code == 10014


async def test_threads(server: DiscordServer, probe: Probe) -> None:
    server.world.send(server.anna.id, server.general.id, "a topic")
    message = await probe.hears("message")
    thread = await message.create_thread(name="Topic")
    assert thread.id == message.id and thread.parent_id == server.general.id and thread.owner_id == server.bot.id
    server.world.send(server.ben.id, thread.id, "in the thread")
    inside = await probe.hears("message", lambda m: m.content == "in the thread")
    assert isinstance(inside.channel, discord.Thread) and inside.channel.id == thread.id
    starter = await anext(aiter(thread.history(oldest_first=True)))
    assert starter.type is discord.MessageType.thread_starter_message
    assert starter.reference.resolved.content == "a topic"
    assert {m.id for m in await thread.fetch_members()} == {server.bot.id, server.ben.id}
    with pytest.raises(discord.HTTPException) as refused:
        await message.create_thread(name="Again")
    assert refused.value.code == 160004

    made = server.world.create_thread(server.anna.id, server.general.id, "By Anna")
    heard = await probe.hears("thread_create", lambda t: t.id == made.id)
    assert heard.name == "By Anna"
    await heard.join()
    await heard.send("here")
    await thread.edit(archived=True)
    archived = [t async for t in probe.get_channel(server.general.id).archived_threads()]
    assert [t.id for t in archived] == [thread.id]
    assert [t.id for t in await probe.get_guild(server.guild.id).active_threads()] == [made.id]
    server.world.send(server.ben.id, thread.id, "wakes it up")
    assert not server.world.channel(thread.id).archived


async def test_a_private_thread_is_seen_by_its_members_alone(server: DiscordServer, probe: Probe) -> None:
    secret = server.world.create_thread(server.ben.id, server.general.id, "secret", private=True)
    with pytest.raises(discord.Forbidden) as refused:
        await probe.fetch_channel(secret.id)
    assert refused.value.code == 50001
    server.world.send(server.ben.id, secret.id, "alone")
    server.world.send(server.ben.id, secret.id, f"come in, <@{server.bot.id}>")
    # The mention lets it in: that message may or may not be told, but what was said before never is.
    await until(lambda: probe.get_guild(server.guild.id).get_thread(secret.id))
    server.world.send(server.ben.id, secret.id, "welcome")
    await probe.hears("message", lambda m: m.content == "welcome")
    assert "alone" not in [m.content for m in probe.heard("message")]


async def test_history_by_before_after_around_and_limit(server: DiscordServer, probe: Probe) -> None:
    ids = [server.world.send(server.anna.id, server.general.id, str(n)).id for n in range(120)]
    channel = probe.get_channel(server.general.id)
    assert [m.content async for m in channel.history(limit=None)] == [str(n) for n in range(119, -1, -1)]
    at = discord.Object(ids[50])
    assert [m.content async for m in channel.history(limit=3, before=at)] == ["49", "48", "47"]
    assert [m.content async for m in channel.history(limit=3, after=at)] == ["51", "52", "53"]
    around = [m.content async for m in channel.history(limit=5, around=at, oldest_first=True)]
    assert around == ["48", "49", "50", "51", "52"]


async def test_a_channel_forgets_its_oldest_messages(server: DiscordServer, probe: Probe) -> None:
    server.world.messages_per_channel = 10
    ids = [server.world.send(server.anna.id, server.general.id, str(n)).id for n in range(30)]
    assert list(server.general.messages) == ids[-10:]
    assert server.world.find_message(ids[0]) is None


async def test_bulk_delete_minds_the_14_days(server: DiscordServer, probe: Probe) -> None:
    role = server.world.add_role(server.guild, "cleaner", permissions=Permission.MANAGE_MESSAGES)
    server.world.set_member_roles(server.guild, server.bot, [role])
    channel = probe.get_channel(server.general.id)
    old = [server.world.send(server.anna.id, server.general.id, "old") for _ in range(2)]
    server.world.clock.advance(timedelta(days=15).total_seconds())
    new = [server.world.send(server.anna.id, server.general.id, "new") for _ in range(3)]
    with pytest.raises(discord.HTTPException) as refused:
        await channel.delete_messages([discord.Object(m.id) for m in old])
    assert refused.value.code == 50034
    await channel.delete_messages([discord.Object(m.id) for m in new[:2]])
    assert list(server.general.messages) == [old[0].id, old[1].id, new[2].id]
    assert {m.id for m in await probe.hears("bulk_message_delete")} == {m.id for m in new[:2]}


async def test_files_down_and_up(server: DiscordServer, probe: Probe) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (30, 20)).save(picture, "PNG")
    files = [("a b.png", picture.getvalue()), ("../notes.txt", "grüße".encode())]
    server.world.send(server.anna.id, server.general.id, attachments=files)
    message = await probe.hears("message")
    image, text = message.attachments
    assert (image.filename, image.content_type, image.width, image.height) == ("a_b.png", "image/png", 30, 20)
    assert (text.filename, text.content_type, text.width) == ("notes.txt", "text/plain; charset=utf-8", None)
    assert await image.read() == picture.getvalue() and (await text.read()).decode() == "grüße"

    up = [discord.File(io.BytesIO(b"one"), "one.txt", description="the first"), discord.File(io.BytesIO(b"2"), "2.bin")]
    sent = await message.channel.send("files", files=up)
    kept = server.world.message(sent.id)
    assert [(a.filename, a.size, a.description) for a in kept.attachments] == [
        ("one.txt", 3, "the first"),
        ("2.bin", 1, None),
    ]
    changed = await sent.edit(attachments=[sent.attachments[1], discord.File(io.BytesIO(b"three"), "three.txt")])
    assert [a.filename for a in changed.attachments] == ["2.bin", "three.txt"]
    assert await changed.attachments[1].read() == b"three"
    with pytest.raises(discord.NotFound):
        await sent.attachments[0].read()


async def test_the_oldest_files_go_when_there_are_too_many(server: DiscordServer, probe: Probe) -> None:
    server.world.files.total = 250
    for name in ("first", "second", "third"):
        server.world.send(server.anna.id, server.general.id, attachments=[(name, b"x" * 100)])
    messages = [m.attachments[0] async for m in probe.get_channel(server.general.id).history(oldest_first=True)]
    assert len(await messages[2].read()) == len(await messages[1].read()) == 100
    with pytest.raises(discord.NotFound):
        await messages[0].read()


async def test_direct_messages(server: DiscordServer, probe: Probe) -> None:
    dm = server.world.open_dm(server.ben.id, server.bot.id)
    server.world.send(server.ben.id, dm.id, "psst")
    message = await probe.hears("message")
    assert isinstance(message.channel, discord.DMChannel)
    await message.channel.send("yes?")
    assert [m.content for m in server.world.history(server.ben.id, dm.id)] == ["yes?", "psst"]
    with pytest.raises(DiscordError) as error:
        server.world.history(server.anna.id, dm.id)
    assert error.value.code == 50001

    server.anna.accepts_dms = False
    with pytest.raises(discord.Forbidden) as refused:
        await probe.get_user(server.anna.id).send("hello")
    assert refused.value.code == 50007
    stranger = server.world.add_user("stranger")
    with pytest.raises(discord.Forbidden) as refused:
        await (await probe.fetch_user(stranger.id)).send("hello")
    assert refused.value.code == 50007


async def test_typing_is_told(server: DiscordServer, probe: Probe) -> None:
    watching = server.world.subscribe(server.ben.id)
    async with probe.get_channel(server.general.id).typing():
        told = await watching.wait_for("TYPING_START")
    assert (told["user_id"], told["channel_id"]) == (str(server.bot.id), str(server.general.id))
    server.world.typing(server.ben.id, server.general.id)
    channel, user, _ = await probe.hears("typing", lambda _, u, __: u.id == server.ben.id)
    assert channel.id == server.general.id and user.name == "ben"


@pytest.mark.parametrize(
    ("content", "code"), [("x" * 2001, 50035), ("", 50006), ("   ", 50006)], ids=["long", "empty", "blank"]
)
async def test_texts_that_are_no_message(server: DiscordServer, probe: Probe, content: str, code: int) -> None:
    with pytest.raises(discord.HTTPException) as refused:
        await probe.get_channel(server.general.id).send(content)
    assert refused.value.code == code
    with pytest.raises(DiscordError) as error:
        server.world.send(server.anna.id, server.general.id, content)
    assert error.value.code == code


async def test_allowed_mentions_decide_who_is_pinged(server: DiscordServer, probe: Probe) -> None:
    role = server.world.add_role(server.guild, "all of us")
    channel = probe.get_channel(server.general.id)
    text = f"<@{server.anna.id}> <@{server.ben.id}> <@&{role.id}> @everyone `<@{server.bot.id}>`"
    nobody = await channel.send(text, allowed_mentions=discord.AllowedMentions.none())
    assert (nobody.mentions, nobody.role_mentions, nobody.mention_everyone) == ([], [], False)
    every = await channel.send(text)
    assert {u.id for u in every.mentions} == {server.anna.id, server.ben.id} and len(every.role_mentions) == 1
    assert not every.mention_everyone  # the bot has no right to
    one = await channel.send(text, allowed_mentions=discord.AllowedMentions(users=[server.ben], roles=False))
    assert [u.id for u in one.mentions] == [server.ben.id]


async def test_without_the_message_content_intent_only_what_is_meant_for_the_bot_is_readable(
    server: DiscordServer,
) -> None:
    intents = discord.Intents.default()
    assert not intents.message_content
    server.bot.privileged = frozenset({"members"})
    async with running(Probe(intents=intents), server.bot.token) as probe:
        hidden = server.world.send(server.anna.id, server.general.id, "hidden", attachments=[("a.txt", b"x")])
        server.world.send(server.ben.id, server.general.id, f"<@{server.bot.id}> shown", reply_to=hidden.id)
        dm = server.world.open_dm(server.ben.id, server.bot.id)
        server.world.send(server.ben.id, dm.id, "dm")
        await probe.get_channel(server.general.id).send("own")
        await until(lambda: len(probe.heard("message")) == 4)
        texts = {m.id: (m.content, len(m.attachments)) for m in probe.heard("message")}
        assert texts.pop(hidden.id) == ("", 0)
        assert sorted(text for text, _ in texts.values()) == [f"<@{server.bot.id}> shown", "dm", "own"]
        quoting = next(m for m in probe.heard("message") if m.reference)
        assert quoting.reference.resolved.content == ""
        read = [m.content async for m in probe.get_channel(server.general.id).history(oldest_first=True)]
        assert read == ["", f"<@{server.bot.id}> shown", "own"]


async def test_two_bots_at_once_hear_each_other(server: DiscordServer, probe: Probe) -> None:
    second = server.world.add_bot("shell")
    server.world.invite(server.guild, second)
    assert (await probe.hears("member_join")).id == second.id
    async with running(Probe(), second.token) as shell:
        await probe.get_channel(server.general.id).send("hello, shell")
        message = await shell.hears("message")
        assert message.author.id == server.bot.id and message.author.bot
        await message.reply("hello, double")
        assert (await probe.hears("message", lambda m: m.author.id == second.id)).content == "hello, double"
        assert server.world.online == {server.bot.id, second.id}
    await until(lambda: server.world.online == {server.bot.id})


async def test_joining_and_leaving_a_server(server: DiscordServer, probe: Probe) -> None:
    second = server.world.add_server("Second", server.ben)
    server.world.add_channel(second, "lobby")
    server.world.invite(second, server.bot, permissions=Permission.MANAGE_MESSAGES)
    guild = await probe.hears("guild_join")
    assert guild.name == "Second" and guild.text_channels[0].name == "lobby"
    assert guild.self_role.permissions.manage_messages
    server.world.remove_member(second, server.bot)
    assert (await probe.hears("guild_remove")).id == second.id
