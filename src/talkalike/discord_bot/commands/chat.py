"""/chat and /thread: ask the double something, or open a thread with it."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY, Interaction, channel_of, gated, messages_of, tell
from talkalike.discord_bot.markers import spoken
from talkalike.discord_bot.rights import require_voice
from talkalike.errors import UserError

LONGEST_PROMPT = 4000
LONGEST_NAME = 100  # Discord's limit for a thread's name


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the commands of this module."""
    return [
        app_commands.Command(name="chat", description="Say something to me; everybody here sees it", callback=chat),
        app_commands.Command(name="thread", description="Open a thread in which I answer everything", callback=thread),
    ]


@gated(Action.TALK)
@app_commands.describe(prompt="What you want to say")
async def chat(interaction: Interaction, prompt: str) -> None:
    """What was said stands in the channel for everybody to see, and the reply answers that message."""
    if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
        raise UserError(f"The prompt must have between 1 and {LONGEST_PROMPT:,} characters.")
    said = spoken(interaction.user, neutralise(prompt))
    channel = messages_of(interaction)
    require_voice(channel)
    message = await channel.send(embed=said, allowed_mentions=NOBODY)
    await tell(interaction, f"I am answering: {message.jump_url}")
    await interaction.client.conversations.respond(message, prompt=prompt)


@gated(Action.THREAD)
@app_commands.describe(name="The thread's name")
async def thread(interaction: Interaction, name: str) -> None:
    """A public thread of the bot's own, with the caller in it."""
    channel = channel_of(interaction)
    if isinstance(channel, discord.Thread):
        raise UserError("This is a thread already.", hint="Use the command in the channel around it.")
    if not isinstance(channel, discord.TextChannel):
        raise UserError("There are no threads here.", hint="Use the command in a text channel of a server.")
    title = " ".join(name.split())
    if not title or len(title) > LONGEST_NAME:
        raise UserError(f"The name must have between 1 and {LONGEST_NAME} characters.")
    created = await channel.create_thread(name=title, type=discord.ChannelType.public_thread)
    await created.add_user(interaction.user)
    await tell(interaction, f"Here we go: {created.mention}. I answer everything in there.")
