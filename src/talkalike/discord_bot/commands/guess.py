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
    """The family's command, made anew."""
    return [app_commands.Command(name="guess", description="Which of two replies is the real one?", callback=guess)]


@gated(Action.GUESS)
async def guess(interaction: Interaction) -> None:
    """For the caller alone; those who never guessed are asked first."""
    await guessing.begin(interaction)
