"""/reset: from here on the double forgets what was said before in this channel."""

from __future__ import annotations

from typing import Any

from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import Interaction, channel_of, gated, messages_of, tell
from talkalike.discord_bot.markers import reset_marker


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the commands of this module."""
    return [app_commands.Command(name="reset", description="Start over: I forget what was said here", callback=reset)]


@gated(Action.RESET)
async def reset(interaction: Interaction) -> None:
    """Leaves a marker in the channel; it holds across restarts, and deleting it undoes the reset."""
    channel = messages_of(interaction)
    marker = await reset_marker(channel, interaction.user)
    await interaction.client.contexts.forget_saved([channel_of(interaction).id])
    await tell(interaction, f"Done: I start afresh after {marker.jump_url}. Delete that message to undo it.")
