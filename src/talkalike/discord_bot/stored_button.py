"""Buttons whose id holds all they need, so that no restart loses them."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import discord

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction


class StoredButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"talkalike:none"):
    """Made anew for every click, from the groups of its template by their names; numbers as numbers."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Makes the button from its custom id, for every click."""
        given: dict[str, Any] = {
            name: int(text) if text.isdigit() else text for name, text in match.groupdict().items()
        }
        return cls(**given)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await self.on_press(interaction)

    @abstractmethod
    async def on_press(self, interaction: Interaction) -> None:
        """Does what the button says."""
