"""/guess: the friends' blind test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import gated
from talkalike.discord_bot.judging import guessing

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the command of this module."""
    return [
        app_commands.Command(
            name="guess", description="Guess which of two replies the real person wrote", callback=guess
        )
    ]


@gated(Action.GUESS)
async def guess(interaction: Interaction) -> None:
    """Begins the blind test for the caller alone, after they agreed."""
    await guessing.begin(interaction)
