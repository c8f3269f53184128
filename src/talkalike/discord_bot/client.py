"""What commands and buttons find on the client, whichever kind of client it is."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import discord
from discord import app_commands

from talkalike.chat.engines import Engines
from talkalike.discord_bot.contexts import Contexts
from talkalike.discord_bot.places import Places
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.store.store import Store


class Conversations(Protocol):
    """What commands and buttons may ask of the conversation handler."""

    @property
    def turned_away(self) -> int:
        """Messages, since the start, because too many were waiting."""
        ...

    def running(self) -> Sized:
        """The replies that are being written now."""
        ...

    def queue_length(self) -> int:
        """How many replies wait for their turn."""
        ...

    def turn(self, place: int, number: int) -> AbstractAsyncContextManager[None]:
        """A place in the line of replies for something else that a model writes. Raises LineFullError on entry."""
        ...

    async def respond(self, message: discord.Message, *, again: bool = False, prompt: str | None = None) -> int | None:
        """Answers a message now; returns the reply's id when it has ended, None where there was to be none."""
        ...

    async def cancel(self, reply_id: int, *, by: int) -> bool:
        """Stops a reply that waits or is being written; what is posted stays."""
        ...

    async def settle(self) -> None:
        """Writes down what the replies under way saw and sent, so that deleting somebody's data finds it."""
        ...


class BotClient(discord.Client):
    """A client with the parts of the bot. All but `services` are there from the login on."""

    services: Services
    tree: app_commands.CommandTree[BotClient]
    places: Places
    contexts: Contexts
    conversations: Conversations

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def engines(self) -> Engines:
        return self.services.engines

    @property
    def settings(self) -> BotSettings:
        return self.services.settings


Interaction: TypeAlias = discord.Interaction[BotClient]
