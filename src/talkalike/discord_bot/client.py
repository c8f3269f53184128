"""What commands and buttons find on the client, whichever kind of client it is."""

from __future__ import annotations

from typing import TypeAlias

import discord
from discord import app_commands

from talkalike.discord_bot.contexts import Contexts
from talkalike.discord_bot.converse import Converser
from talkalike.discord_bot.places import Places
from talkalike.discord_bot.services import Services


class BotClient(discord.Client):
    """A client with the parts of the bot. All but `services` are there from the login on."""

    services: Services
    tree: app_commands.CommandTree[BotClient]
    places: Places
    contexts: Contexts
    converser: Converser


Interaction: TypeAlias = discord.Interaction[BotClient]
