"""Texts of any length beside each other in one message: what does not fit is in a file, and that is said."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import discord

from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import NOBODY

if TYPE_CHECKING:
    from talkalike.discord_bot.commands.gate import Interaction

LONGEST_QUOTE = 300  # characters


def shorten(text: str, longest: int, *, end: bool = False) -> str:
    """The beginning of a text, or its end; what is missing is said."""
    text = neutralise(text)
    if len(text) <= longest:
        return text
    if end:
        return f"*(only the end: all of it is in the file)*\n…{text[-longest:]}"
    return f"{text[:longest]}…\n\n*(only the beginning: all of it is in the file)*"


def quote(text: str, speaker: str = "") -> str:
    """What is answered, in one line."""
    words = " ".join(neutralise(text).split())
    cut = words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE]}… (only the beginning)"
    return f"> {neutralise(speaker)}: {cut}\n\n" if speaker else f"> {cut}\n\n"


def file_of(parts: Mapping[str, str], longest: int, *, name: str) -> list[discord.File]:
    """Everything in full, where a part is too long to be shown."""
    if all(len(neutralise(text)) <= longest for text in parts.values()):
        return []
    whole = "\n\n\n".join(f"{title}\n\n{text}" for title, text in parts.items())
    return [discord.File(io.BytesIO(whole.encode()), filename=name)]


async def show(interaction: Interaction, text: str, *, files: list[discord.File], **message: Any) -> None:
    """Shows a message to the caller alone, as the answer to what they asked for."""
    interaction.extras["answered"] = True
    await interaction.edit_original_response(content=text, attachments=files, allowed_mentions=NOBODY, **message)
