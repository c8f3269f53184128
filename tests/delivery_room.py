"""A bot that runs a test's script, and a server of simcord's to run it in, for the tests of what the double shows."""

from __future__ import annotations

import asyncio

import discord
import pytest

from talkalike.discord_bot.deliver import Delivery, DeliveryLostError
from talkalike.discord_bot.outbox import Pace

START = 10.0  # seconds before a script begins: longer than simcord lets real time pass while a message is sent


class ScriptedBot(discord.Client):
    """Answers the next message by running `script(bot, message)`, and keeps what it raised."""

    def __init__(self):
        super().__init__(intents=discord.Intents.all())
        self.script = None
        self.pace = Pace(whole=0.0)  # shown while it is written, from its first words on
        self.lost = None
        self.delivery = None
        self.ids = []

    async def on_message(self, message):
        if message.author == self.user or self.script is None:
            return
        await asyncio.sleep(START)
        try:
            await self.script(self, message)
        except DeliveryLostError as error:
            self.lost = error

    def deliver(self, message, *, stream=True, view=None, reference=True, **options):
        self.delivery = Delivery(
            message.channel,
            pace=self.pace,
            reference=message if reference else None,
            view=view,
            stream=stream,
            **options,
        )
        return self.delivery


@pytest.fixture
def simcord_bot():
    return ScriptedBot()


class Room:
    """A server with two channels and a person, and what went over the wire."""

    def __init__(self, env, bot):
        self.env, self.bot = env, bot
        self.guild = env.create_guild()
        self.channel = self.guild.create_text_channel("general")
        self.other = self.guild.create_text_channel("other")
        self.anna = self.guild.add_member(env.create_user("anna"))

    async def ask(self, script, channel=None, seconds=0.0):
        self.bot.script = script
        await self.anna.send(channel or self.channel, "hi")
        await self.env.advance_time(START + seconds)

    def replies(self, channel=None):
        return [message for message in (channel or self.channel).history() if message.author.id == self.bot.user.id]

    def texts(self, channel=None):
        return [message.content for message in self.replies(channel)]

    def requests(self, method, part=""):
        return [entry for entry in self.env.http_requests if entry.method == method and part in entry.path]


@pytest.fixture
def room(simcord_env, simcord_bot):
    return Room(simcord_env, simcord_bot)


def inject(room, method, path, *, times=None, **fault):
    """Lets requests fail from now on. (simcord's own `inject_error` may not be called while the bot is at work.)"""
    room.env.backend.faults.append({"method": method, "path": path, "times": times, **fault})


def buttons(label="Stop"):
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label=label, custom_id=f"test:{label}"))
    return view


async def write(delivery, index, text, *, chunks=4, pause=0.1, last=True):
    size = max(1, len(text) // chunks)
    for start in range(0, len(text), size):
        await delivery.add_text(index, text[start : start + size])
        await asyncio.sleep(pause)
    return await delivery.finish_message(index, text, last=last)
