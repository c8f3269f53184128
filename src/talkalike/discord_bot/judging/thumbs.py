"""The thumbs under a reply, and the button that opens the form. They hold the reply's id, so they survive restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import gated, tell
from talkalike.discord_bot.judging import form
from talkalike.discord_bot.judging.asked import first_time, reply_by_id, speaker_of
from talkalike.discord_bot.stored_button import StoredButton
from talkalike.store.judging import rating_forms
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.rating_forms import Filled

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

UP, DOWN = "up", "down"
EMOJI = {UP: "👍", DOWN: "👎"}
RATING = {UP: 5, DOWN: 1}  # on "sounds like me"


class RateButton(StoredButton, template=r"talkalike:rate:(?P<reply_id>\d{1,19}):(?P<way>up|down)"):
    """Sounds like the person, or does not. Everybody has a vote of their own; pressing again takes it back."""

    def __init__(self, reply_id: int, way: str) -> None:
        super().__init__(discord.ui.Button(emoji=EMOJI[way], custom_id=f"talkalike:rate:{reply_id}:{way}"))
        self.reply_id = reply_id
        self.way = way

    @gated(Action.JUDGE)
    async def on_press(self, interaction: Interaction) -> None:
        """Stores the rating, and confirms it to the one who pressed."""
        row = await reply_by_id(interaction, self.reply_id)
        speaker = speaker_of(interaction, row)
        store, user_id = interaction.client.store, interaction.user.id
        filled = await store.run(rating_forms.press_thumb, row.id, user_id, RATING[self.way], speaker=speaker)
        await tell(interaction, self._receipt(filled, speaker) + first_time(filled.explain))

    def _receipt(self, filled: Filled, speaker: str) -> str:
        before = filled.before.ratings.get(Scale.SOUNDS_LIKE_ME)
        now = filled.after.ratings.get(Scale.SOUNDS_LIKE_ME)
        if now is None:
            return f"Taken back: your {EMOJI[self.way]} on this reply is gone."
        sounds = f"this reply {'sounds' if self.way == UP else 'does not sound'} like {speaker or 'the person'}"
        what = "Noted" if before is None else f"Changed (it was {before} of 5)"
        return f"{what}: {sounds} ({now} of 5). Press {EMOJI[self.way]} again to take it back."


class JudgeButton(StoredButton, template=r"talkalike:judge:(?P<reply_id>\d{1,19})"):
    """Opens the form with every scale and room for a better answer."""

    def __init__(self, reply_id: int) -> None:
        super().__init__(discord.ui.Button(label="Judge", custom_id=f"talkalike:judge:{reply_id}"))
        self.reply_id = reply_id

    async def on_press(self, interaction: Interaction) -> None:
        """Opens the form for everybody who may judge here."""
        await form.open_form(interaction, lambda: reply_by_id(interaction, self.reply_id))


BUTTONS = (RateButton, JudgeButton)


def under(reply_id: int) -> tuple[discord.ui.Item[Any], ...]:
    """What sits under a finished reply."""
    return RateButton(reply_id, UP), RateButton(reply_id, DOWN), JudgeButton(reply_id)
