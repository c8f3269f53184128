"""Replies that cannot be shown to their end: what people see, and what the caller is told, in words."""

from __future__ import annotations

import asyncio

import pytest

from delivery_room import buttons, inject, room, simcord_bot
from talkalike.discord_bot.deliver import DeliveryLostError

__all__ = ["room", "simcord_bot"]  # fixtures


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 403, "code": 50013, "message": "Missing Permissions"}, "does not let me write"),
        ({"status": 404, "code": 10003, "message": "Unknown Channel"}, "channel was deleted"),
        ({"status": 404, "code": 10008, "message": "Unknown Message"}, "reply was deleted"),
    ],
)
async def test_what_ends_a_reply_in_the_middle_is_told_in_words(room, fault, words):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "some words ")
        await asyncio.sleep(2)
        inject(room, "*", "/channels/*", **fault)
        try:
            for _ in range(50):
                await delivery.add_text(0, "more ")
                await asyncio.sleep(0.1)
        finally:
            await delivery.abort()

    await room.ask(script, seconds=30)
    assert words in str(room.bot.lost)
    assert [shown.text for shown in room.bot.delivery.shown] == ["some words"]
    assert len(room.requests("PATCH")) <= 2  # no hammering


async def test_a_channel_deleted_for_real(room):
    async def script(bot, message):
        delivery = bot.deliver(message, view=buttons())
        await delivery.add_text(0, "some words ")
        await asyncio.sleep(2)
        await message.channel.delete()
        try:
            await delivery.add_text(0, "more ")
            await delivery.finish_message(0, "some words more")
            await delivery.finish()
        finally:
            await delivery.abort(view=None)

    await room.ask(script, seconds=30)
    assert "channel was deleted" in str(room.bot.lost)


async def test_a_permission_lost_for_real(room):
    async def script(bot, message):
        delivery = bot.deliver(message, stream=False)
        await delivery.finish_message(0, "first")
        await message.channel.set_permissions(message.guild.default_role, send_messages=False)
        try:
            await delivery.finish_message(1, "second")
        finally:
            await delivery.abort()

    await room.ask(script, seconds=30)
    assert room.texts() == ["first"]
    assert room.bot.lost.refused and "permissions" in room.bot.lost.hint


async def test_trouble_of_discord_while_streaming_is_passed_over(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "some words ")
        await asyncio.sleep(2)
        inject(room, "PATCH", "*", times=2, status=503, code=0, message="")
        await delivery.add_text(0, "more ")
        await asyncio.sleep(6)
        await delivery.finish_message(0, "some words more")
        await delivery.finish()

    await room.ask(script, seconds=30)
    assert room.bot.lost is None
    assert room.texts() == ["some words more"]


async def test_trouble_of_discord_at_the_end_is_told(room):
    async def script(bot, message):
        inject(room, "POST", "/channels/*/messages", status=503, code=0, message="")
        delivery = bot.deliver(message)
        try:
            await delivery.finish_message(0, "hello")
        finally:
            await delivery.abort()

    await room.ask(script, seconds=30)
    assert room.bot.lost.passing and "503" in str(room.bot.lost)


async def test_abort_shows_the_last_words(room):
    async def script(bot, message):
        delivery = bot.deliver(message, view=buttons())
        await delivery.add_text(0, "half of ")
        await asyncio.sleep(0.5)
        await delivery.add_text(0, "a reply")
        await delivery.abort(view=None)
        with pytest.raises(DeliveryLostError):
            await delivery.add_text(0, "too late")

    await room.ask(script, seconds=30)
    [reply] = room.replies()
    assert reply.content == "half of a reply" and reply.components == []


async def test_abort_before_anything_is_shown_shows_nothing(room):
    async def script(bot, message):
        delivery = bot.deliver(message)
        await delivery.add_text(0, "never seen")
        await delivery.abort()

    await room.ask(script, seconds=30)
    assert room.texts() == []


async def test_a_cancelled_caller_knows_every_message_that_was_sent(room):
    async def script(bot, message):
        delivery = bot.deliver(message, stream=False)
        done = asyncio.create_task(delivery.finish_message(0, "word " * 1500))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.cancel()
        await asyncio.gather(done, return_exceptions=True)
        await delivery.abort()

    await room.ask(script, seconds=30)
    assert [shown.message_id for shown in room.bot.delivery.shown] == [message.id for message in room.replies()]
    assert len(room.replies()) < 4
