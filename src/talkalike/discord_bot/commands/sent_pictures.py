"""Pictures that somebody sends along with a command: fetched in limited time, checked, and written anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import discord

from talkalike.discord_bot.asking import Patience
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, Picture

LONGEST_NAME = 60  # characters of a file's name that are told
AT_ONCE = 2  # pictures that are unpacked at the same time


async def read_pictures(sent: Sequence[discord.Attachment]) -> tuple[Picture, ...]:
    """The pictures, in the same order. Raises UserError that names the first file that is none."""
    patience, free = Patience(), asyncio.Semaphore(AT_ONCE)
    return tuple(await asyncio.gather(*(_read(one, patience, free) for one in sent)))


async def _read(sent: discord.Attachment, patience: Patience, free: asyncio.Semaphore) -> Picture:
    name = sent.filename[:LONGEST_NAME]
    if sent.size > MAX_BYTES:  # known before it is fetched
        raise UserError(
            f"{name}: The picture is too large ({sent.size / 2**20:,.1f} MiB).",
            hint=f"Send one of at most {MAX_BYTES / 2**20:.0f} MiB.",
        )
    data = await patience.ask(sent.read(), f"the picture {name}")
    async with free:
        try:
            return await asyncio.to_thread(normalise, data)
        except UserError as error:
            raise UserError(f"{name}: {error.what}", hint=error.hint) from None
