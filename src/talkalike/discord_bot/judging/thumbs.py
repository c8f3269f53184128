"""The thumbs under a reply, and the button that opens the form. They hold the reply's id, so they survive restarts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import discord

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import gated, tell
from talkalike.discord_bot.judging import form
from talkalike.discord_bot.judging.asked import first_time, reply_by_id, speaker_of
from talkalike.store.judging import sheets
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.sheets import Filled

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

UP, DOWN = "up", "down"
EMOJI = {UP: "👍", DOWN: "👎"}
RATING = {UP: 5, DOWN: 1}  # on "sounds like me"


class RateButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"talkalike:rate:(?P<id>\d{1,19}):(?P<way>up|down)"
):
    """Sounds like the person, or does not. Everybody has a vote of their own; pressing again takes it back."""

    def __init__(self, reply_id: int, way: str) -> None:
        super().__init__(discord.ui.Button(emoji=EMOJI[way], custom_id=f"talkalike:rate:{reply_id}:{way}"))
        self.reply_id = reply_id
        self.way = way

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made anew for every click."""
        return cls(int(match["id"]), match["way"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """For everybody who may talk here, whoever asked for the reply."""
        await self.pressed(interaction)

    @gated(Action.JUDGE)
    async def pressed(self, interaction: Interaction) -> None:
        """Told to the one who pressed, once it is written."""
        row = await reply_by_id(interaction, self.reply_id)
        speaker = speaker_of(interaction, row)
        store, user_id = interaction.client.store, interaction.user.id
        filled = await store.run(sheets.thumb, row.id, user_id, RATING[self.way], speaker=speaker)
        await tell(interaction, self._receipt(filled, speaker) + first_time(first=filled.first, consent=filled.consent))

    def _receipt(self, filled: Filled, speaker: str) -> str:
        before = filled.before.ratings.get(Scale.SOUNDS_LIKE_ME)
        now = filled.after.ratings.get(Scale.SOUNDS_LIKE_ME)
        if now is None:
            return f"Taken back: your {EMOJI[self.way]} on this reply is gone."
        sounds = f"this reply {'sounds' if self.way == UP else 'does not sound'} like {speaker or 'the person'}"
        what = "Noted" if before is None else f"Changed (it was {before} of 5)"
        return f"{what}: {sounds} ({now} of 5). Press {EMOJI[self.way]} again to take it back."


class JudgeButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"talkalike:judge:(?P<id>\d{1,19})"):
    """Opens the form with every scale and room for a better answer."""

    def __init__(self, reply_id: int) -> None:
        super().__init__(discord.ui.Button(label="Judge", custom_id=f"talkalike:judge:{reply_id}"))
        self.reply_id = reply_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made anew for every click."""
        return cls(int(match["id"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """For everybody who may talk here; the form's module asks the rules."""
        await form.open_form(interaction, lambda: reply_by_id(interaction, self.reply_id))


BUTTONS = (RateButton, JudgeButton)


def under(reply_id: int) -> tuple[discord.ui.Item[Any], ...]:
    """What sits under a finished reply."""
    return RateButton(reply_id, UP), RateButton(reply_id, DOWN), JudgeButton(reply_id)
