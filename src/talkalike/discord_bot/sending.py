"""A message of the bot's, sent in the one way that Discord takes: without what a missing right forbids."""

from __future__ import annotations

from typing import Any

import discord

CANNOT_REFER = 160002  # no right to read the history, and so none to reply to a message of it
INVALID = 50035


async def send(
    channel: discord.abc.Messageable, text: str | None, *, reference: discord.MessageReference | None, **options: Any
) -> discord.Message:
    """Pings nobody. Where Discord does not take the reference, it goes without it. Raises what discord.py does."""
    options["allowed_mentions"] = discord.AllowedMentions.none()
    if reference is not None:
        try:
            return await channel.send(text, reference=reference, **options)
        except discord.HTTPException as error:
            if error.code != CANNOT_REFER and not (error.code == INVALID and "message_reference" in error.text):
                raise
            if (file := options.get("file")) is not None:
                file.reset()
    return await channel.send(text, **options)
