"""Finds the reply that is to be judged; the explanation for those who judge for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from talkalike.errors import UserError
from talkalike.store import replies
from talkalike.store.replies import ReplyRow, ReplyState

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

FIRST_TIME = (
    "Your votes are kept under a random name and count in the statistics. Nothing you judge is used for training "
    "unless you allow it: `/privacy training on`. `/privacy` also shows and deletes them."
)


async def reply_by_id(interaction: Interaction, reply_id: int) -> ReplyRow:
    """The finished reply of the button that was pressed. Raises UserError where it is not known here."""
    row = await interaction.client.store.run(replies.by_id, reply_id)
    if row is None or row.channel_id != interaction.channel_id:
        raise UserError("I no longer know that reply, so it can't be judged.", hint="Nothing was stored.")
    return _require_finished(row)


async def reply_by_message(interaction: Interaction, message: discord.Message) -> ReplyRow:
    """The finished reply this message is part of. Raises UserError where it is none, or is not on record any more."""
    row: ReplyRow | None = await interaction.client.store.run(replies.by_message, message.id)
    if row is None or row.channel_id != message.channel.id:
        raise UserError(
            "Only my own replies can be judged, and only while I still know them.",
            hint="Choose a message that I wrote here recently. Nothing was stored.",
        )
    return _require_finished(row)


def speaker_of(interaction: Interaction, row: ReplyRow) -> str:
    """In whose voice the reply was written."""
    return interaction.client.contexts.speaker(row.model)


def first_time(explain: bool) -> str:
    """What those who judge for the first time read once."""
    return f"\n-# {FIRST_TIME}" if explain else ""


def _require_finished(row: ReplyRow) -> ReplyRow:
    if row.state is ReplyState.WRITING:
        raise UserError("I am still writing that reply.", hint="Judge it when it is done. Nothing was stored.")
    return row
