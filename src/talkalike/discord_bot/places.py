"""Discord's people and places as the rules know them, and what the store knows about them."""

from __future__ import annotations

import discord

from talkalike.chat.options import Resolved
from talkalike.chat.permissions import Actor, Place, Rules
from talkalike.discord_bot import triggers
from talkalike.discord_bot.services import Services
from talkalike.discord_bot.triggers import Channel, User
from talkalike.replying.facts import Facts, PlaceFacts


class Places:
    """Asks the store; changes nothing. `me` is the bot's own id."""

    def __init__(self, services: Services, *, me: int) -> None:
        self.me = me
        self._facts = PlaceFacts(services)

    def actor(self, user: User) -> Actor:
        """A person as the rules know them."""
        return triggers.actor(user, hidden=self._facts.hidden)

    def place(self, channel: Channel | discord.abc.Messageable) -> Place:
        """A channel, thread or DM as the rules know it."""
        return triggers.place(channel, me=self.me)

    async def rules(self, server_id: int | None) -> Rules:
        """The rules in force on a server (None: in direct messages)."""
        return await self._facts.rules(server_id)

    async def options(self, channel: Channel | discord.abc.Messageable) -> Resolved:
        """The settings that hold in a place."""
        return await self._facts.options(self.place(channel))

    async def facts(self, where: Place, user_id: int | None = None) -> Facts:
        """What matters for a message in that place; with the person, also what they used up of their budget."""
        return await self._facts.facts(where, user_id)
