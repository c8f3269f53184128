"""A reply written anew in the place of an earlier one: its messages are edited, added to, and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from talkalike.chat.splitting import neutralise, split
from talkalike.discord_bot.asking import UNREACHABLE
from talkalike.discord_bot.deliver import Delivery, ShownPart
from talkalike.discord_bot.markers import unsigned
from talkalike.discord_bot.outbox import Pace

MOST_PARTS = 1  # a message that became several is not worth fitting into old ones


class Rewrite:
    """Shows a reply as `Delivery` does, but first uses up `old` (ids of own messages in the channel, oldest first).

    Nothing is shown before a message is complete: what people read meanwhile is the earlier reply.
    """

    def __init__(self, channel: Any, delivery: Delivery, *, old: Sequence[int], pace: Pace) -> None:
        self._channel = channel
        self._delivery = delivery
        self._old = list(old)
        self._pace = pace
        self._last: discord.PartialMessage | None = None
        self._new = False  # from now on messages are new ones
        self._begun = False

    async def add_text(self, index: int, chunk: str) -> None:
        """Streams only what gets a message of its own."""
        if self._new:
            await self._delivery.add_text(index, chunk)

    async def finish_message(self, index: int, text: str, *, last: bool = True) -> list[int]:
        """Edits the next old message, or sends a new one."""
        parts = split(unsigned(neutralise(text)))
        while self._old and not self._new and len(parts) <= MOST_PARTS:
            message = self._channel.get_partial_message(self._old.pop(0))
            await self._pace.turn_to_edit(self._channel.id)
            self._begun = True
            try:
                await message.edit(content=text and parts[0], attachments=[], view=None, allowed_mentions=_NOBODY)
            except UNREACHABLE:
                continue  # it was deleted meanwhile
            self._last = message
            return [message.id]
        self._new = True
        return await self._delivery.finish_message(index, text, last=last)

    async def add_reaction(self, emoji: str) -> bool:
        """Reacts to the message that is answered."""
        return await self._delivery.add_reaction(emoji)

    @property
    def begun(self) -> bool:
        """Whether some of the new reply may have been seen."""
        return self._begun or self._delivery.begun

    @property
    def shown(self) -> Sequence[ShownPart]:
        """What people see of the new messages."""
        return self._delivery.shown

    async def finish(self, *, view: Any = discord.utils.MISSING) -> None:
        """Removes what is left of the earlier reply."""
        for message_id in self._old:
            await _try(self._channel.get_partial_message(message_id).delete())
        await self._delivery.finish(view=view)
        if self._last is not None and not self._new and view is not discord.utils.MISSING:
            await self._pace.turn_to_edit(self._channel.id)
            await _try(self._last.edit(view=view))

    async def abort(self, *, view: Any = discord.utils.MISSING) -> None:
        """Keeps what is there of both replies."""
        await self._delivery.abort(view=view)


_NOBODY = discord.AllowedMentions.none()


async def _try(request: Any) -> None:
    try:
        await request
    except UNREACHABLE:
        return  # deleted by somebody else: what we wanted
