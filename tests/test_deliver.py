"""Replies shown in Discord: real discord.py against simcord's Discord, on a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from delivery_room import START, buttons, inject, room, simcord_bot, write
from talkalike.chat.splitting import MAX_PARTS
from talkalike.discord_bot.outbox import Pace

__all__ = ["room", "simcord_bot"]  # fixtures


async def test_a_burst_is_separate_messages(room):
    async def script(bot, message):
        delivery = bot.deliver(message, stream=False)
        for index, text in enumerate(["hey", "wait", "what?"]):
            bot.ids += await write(delivery, index, text)
        await delivery.finish()

    await room.ask(script, seconds=20)
    assert room.texts() == ["hey", "wait", "what?"]
    assert room.bot.ids == [message.id for message in room.replies()]
    assert [message.reference is not None for message in room.replies()] == [True, False, False]
    assert [(shown.index, shown.text) for shown in room.bot.delivery.shown] == [(0, "hey"), (1, "wait"), (2, "what?")]
    assert not room.requests("PATCH")


async def test_a_thousand_chunks_in_ten_seconds_are_about_ten_edits(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        for _ in range(1000):
            await delivery.add_text(0, "a ")
            await asyncio.sleep(0.01)
        bot.ids = await delivery.finish_message(0, "a " * 1000)
        await delivery.finish()

    await room.ask(script, seconds=0.8)
    assert 0 < len(room.texts()[0]) < 300  # the first words are there long before the last
    await room.env.advance_time(20)
    assert room.texts() == [("a " * 1000).strip()]
    assert len(room.requests("POST", "/messages")) == 1
    assert 6 <= len(room.requests("PATCH")) <= 10


async def test_deliveries_in_one_channel_share_its_pace(room):
    async def script(bot, message):
        async def one():
            delivery = bot.deliver(message)
            for _ in range(100):
                await delivery.add_text(0, "word ")
                await asyncio.sleep(0.1)
            await delivery.finish_message(0, "word " * 100)
            await delivery.finish()

        await asyncio.gather(*(one() for _ in range(4)))

    await room.ask(script, seconds=60)
    assert room.texts() == [("word " * 100).strip()] * 4
    assert len(room.requests("PATCH")) <= 10 + 4


async def test_a_short_message_comes_whole(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await write(delivery, 0, "quick answer", pause=0.02)
        await delivery.finish()

    await room.ask(script, seconds=5)
    assert room.texts() == ["quick answer"]
    assert len(room.requests("POST", "/messages")) == 1
    assert not room.requests("PATCH")
    assert not room.requests("POST", "/typing")


async def test_a_burst_of_short_messages_is_never_edited_and_typing_shows_before_each(room):
    """As by default: each is written for a second or two. The buttons go under the last one only, at once."""

    async def script(bot, message):
        bot.pace = Pace()
        delivery = bot.deliver(message, view=buttons("Again"))
        for index, text in enumerate(["hey you", "wait a bit", "what was it?"]):
            await write(delivery, index, text, pause=0.4, last=index == 2)
        await delivery.finish()

    await room.ask(script, seconds=20)
    assert room.texts() == ["hey you", "wait a bit", "what was it?"]
    assert [message.edited_at for message in room.replies()] == [None] * 3
    assert not room.requests("PATCH")
    assert len(room.requests("POST", "/typing")) >= 1
    assert [bool(message.components) for message in room.replies()] == [False, False, True]


async def test_what_takes_longer_than_three_seconds_is_shown_while_it_is_written(room):
    async def script(bot, message):
        bot.pace = Pace()
        await write(bot.deliver(message), 0, "one two three four five", chunks=5, pause=1.0)

    await room.ask(script, seconds=2.8)
    assert room.texts() == []
    await room.env.advance_time(0.8)
    assert room.texts()[0].startswith("one")
    await room.env.advance_time(10)
    assert room.texts() == ["one two three four five"]


async def test_what_is_shown_already_is_not_edited_again(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "all of it ")
        await asyncio.sleep(5)
        await delivery.finish_message(0, "all of it")
        await delivery.finish()

    await room.ask(script, seconds=10)
    assert room.texts() == ["all of it"]
    assert not room.requests("PATCH")


async def test_typing_only_while_it_writes(room):
    async def script(bot, message):
        delivery = bot.deliver(message, stream=False)
        await delivery.add_text(0, "do")
        await asyncio.sleep(20)
        await delivery.finish_message(0, "done")
        await delivery.finish()

    await room.ask(script, seconds=19)
    assert len(room.requests("POST", "/typing")) == 3  # at 0.3, 8.3 and 16.3 seconds
    await room.env.advance_time(60)
    assert len(room.requests("POST", "/typing")) == 3
    assert room.texts() == ["done"]


async def test_silence_leaves_nothing(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, " \n")
        assert await delivery.finish_message(0, " \n") == []
        await delivery.finish()
        await delivery.abort()

    await room.ask(script, seconds=10)
    assert room.texts() == []


async def test_a_long_reply_is_split_while_it_streams(room):
    text = "\n\n".join(f"Paragraph {number}: " + "word " * 60 for number in range(15))

    async def script(bot, message):
        delivery = bot.deliver(message, view=buttons())
        bot.ids = await write(delivery, 0, text, chunks=50, pause=0.2)
        await delivery.finish()

    await room.ask(script, seconds=60)
    assert len(room.texts()) == 3
    assert all(len(part) <= 2000 for part in room.texts())
    assert "".join(room.texts()).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    assert room.bot.ids == [message.id for message in room.replies()]
    assert [bool(message.components) for message in room.replies()] == [False, False, True]


async def test_an_open_fence_is_shown_closed(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "see\n```py\nx = 1\n")
        await asyncio.sleep(2)
        await delivery.add_text(0, "y = 2\n``")
        await asyncio.sleep(2)
        await delivery.finish_message(0, "see\n```py\nx = 1\ny = 2\n```")
        await delivery.finish()

    await room.ask(script, seconds=1)
    assert room.texts() == ["see\n```py\nx = 1\n```"]
    await room.env.advance_time(20)
    assert room.texts() == ["see\n```py\nx = 1\ny = 2\n```"]


async def test_a_spoiler_is_hidden_while_it_is_written_and_when_it_is_broken_off(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "guess ||the sec")
        await asyncio.sleep(2)
        await delivery.add_text(0, "ret i")
        await delivery.abort()

    await room.ask(script, seconds=1)
    assert room.texts() == ["guess ||the sec||"]
    await room.env.advance_time(20)
    assert room.texts() == ["guess ||the secret i||"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_very_long_reply_is_a_file(room, stream):
    text = "very long words " * 2000

    async def script(bot, message):
        delivery = bot.deliver(message, stream=stream, view=buttons())
        bot.ids = await write(delivery, 0, text, chunks=40, pause=0.2)
        await delivery.finish()

    await room.ask(script, seconds=120)
    replies = room.replies()
    assert len(replies) == (MAX_PARTS + 1 if stream else 2)
    assert room.bot.ids == [message.id for message in replies]
    assert [it.filename for it in replies[-1].attachments] == ["reply.txt"]
    assert replies[-1].attachments[0].size == len(text.encode())
    assert stream or not room.requests("PATCH")
    assert [bool(message.components) for message in replies] == [False] * (len(replies) - 1) + [True]


async def test_the_file_keeps_to_the_cap(room):
    async def script(bot, message):
        delivery = bot.deliver(message, stream=False, upload_cap=1000)
        await delivery.finish_message(0, "é" * 20_000)
        await delivery.finish()

    await room.ask(script, seconds=30)
    data = await room.replies()[-1].attachments[0].read()
    assert 990 <= len(data) <= 1000
    assert "the reply had 40,000" in data.decode()


async def test_where_files_are_not_allowed_the_first_parts_come_as_messages(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "very long words " * 10)
        await asyncio.sleep(1)
        inject(room, "POST", "/channels/*/messages", times=1, status=403, code=50013, message="Missing Permissions")
        await delivery.finish_message(0, "very long words " * 2000)
        await delivery.finish()

    await room.ask(script, seconds=60)
    assert room.bot.lost is None
    assert len([text for text in room.texts() if text]) == MAX_PARTS + 1
    assert "too long" in room.texts()[-1]


async def test_nothing_pings_and_nothing_hides_an_address(room):
    bad = "@everyone <@{0}> [bank](https://example.org) discord.gg/abc"

    async def script(bot, message):
        delivery = bot.deliver(message)
        text = bad.format(message.author.id)
        await delivery.add_text(0, text)
        await asyncio.sleep(3)
        bot.while_streaming = message.channel.last_message.content
        await delivery.add_text(0, " and more")
        await delivery.finish_message(0, text + " and more")
        await delivery.finish()

    await room.ask(script, seconds=10)
    (reply,) = room.replies()
    for text in (room.bot.while_streaming, reply.content):
        assert "@everyone" not in text and f"<@{room.anna.id}>" not in text
        assert "](" not in text and "https://example.org" in text
        assert "discord.gg" not in text
    assert not reply.mentions and not reply.mention_everyone
    for entry in room.requests("POST", "/messages") + room.requests("PATCH", "/messages/"):
        assert entry.json["allowed_mentions"] == {"parse": []}


async def test_buttons_sit_under_the_last_message_only(room):
    async def script(bot, message):
        delivery = bot.deliver(message, view=buttons("Stop"))
        await write(delivery, 0, "first of two", pause=0.5)
        await asyncio.sleep(3)
        await write(delivery, 1, "second of two", pause=0.5)
        await delivery.finish(view=buttons("Again"))

    await room.ask(script, seconds=1)
    assert [bool(message.components) for message in room.replies()] == [True]
    await room.env.advance_time(30)
    first, second = room.replies()
    assert first.components == []
    assert second.components[0].children[0].label == "Again"


async def test_a_reaction_goes_to_the_message_and_a_bad_one_harms_nothing(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        bot.good = await delivery.add_reaction("👍")
        inject(room, "PUT", "*/reactions/*", status=400, code=10014, message="Unknown Emoji")
        bot.bad = await delivery.add_reaction("no emoji")
        await delivery.finish_message(0, "still here")
        await delivery.finish()

    await room.ask(script, seconds=5)
    assert (room.bot.good, room.bot.bad) == (True, False)
    assert room.texts() == ["still here"]
    question = room.channel.history()[0]
    assert [str(reaction.emoji) for reaction in question.reactions] == ["👍"]


async def test_the_send_budget_holds_per_channel(room):
    started = {}

    async def script(bot, message):
        delivery = bot.deliver(message, stream=False)
        began = time.monotonic()
        for index in range(12):
            await delivery.finish_message(index, f"message {index}")
        await delivery.finish()
        started[message.channel.id] = time.monotonic() - began

    room.bot.script = script
    await room.anna.send(room.channel, "hi")
    await room.anna.send(room.other, "hi")
    await room.env.advance_time(START + 30)
    assert room.texts() == room.texts(room.other) == [f"message {index}" for index in range(12)]
    sent = [message.created_at.timestamp() for message in room.replies()]
    assert all(later - earlier >= 4.9 for earlier, later in zip(sent, itertools.islice(sent, 5, None), strict=False))
    assert set(started) == {room.channel.id, room.other.id}


async def test_pace_forgets_old_channels():
    pace = Pace(window=0.01, edit_seconds=0.001, jitter=0.0)
    for channel_id in range(1000):
        await pace.turn_to_send(channel_id)
    time.sleep(0.1)
    await pace.turn_to_edit(5)
    assert len(pace) == 1


async def test_pace_remembers_a_channel_in_which_somebody_waits():
    pace = Pace(window=3600.0, each=1)
    await pace.turn_to_send(1)
    waiting = asyncio.create_task(pace.turn_to_send(1))
    await asyncio.sleep(0)
    await pace.turn_to_send(2)
    assert len(pace) == 2
    waiting.cancel()


async def test_a_private_talk(simcord_env, simcord_bot):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await write(delivery, 0, "just the two of us", pause=0.5)
        await delivery.finish()

    simcord_bot.script = script
    anna = simcord_env.create_user("anna")
    await anna.send_dm("hi")
    await simcord_env.advance_time(START + 10)
    assert [message.content for message in anna.dm_channel.history()] == ["hi", "just the two of us"]
