"""Messages of the bot that are not the double's words: the reset marker and notices.

Both end in a line with a fixed sign (what has an embed anyway carries it in the footer). In what the model writes the
signs are broken, and what people write is not ours, so the bot knows its own signs again from the message alone: after
a restart, and without the store. They are text, because embeds take a right, and their reader can switch them off.
"""

from __future__ import annotations

import discord

MARKER_SIGN = "talkalike · reset"
NOTICE_SIGN = "talkalike · not part of the conversation"

SPOKEN_SIGN = "talkalike · said by "
LONGEST = 1900  # characters of a notice


async def reset_marker(channel: discord.abc.Messageable, by: discord.abc.User) -> discord.Message:
    """Posts the marker above which the model sees nothing; deleting it undoes that. Raises discord's HTTPException."""
    words = (
        f"**A fresh start.** I no longer see anything above this line ({_plain(by.display_name)}). "
        "Deleting this message brings it back."
    )
    text = f"{words}\n-# {MARKER_SIGN}"
    return await channel.send(text, silent=True, allowed_mentions=discord.AllowedMentions.none())


def notice(words: str) -> str:
    """Something the bot, not the double, has to say."""
    return f"{words[:LONGEST]}\n-# {NOTICE_SIGN}"


def unsigned(text: str) -> str:
    """The model's words, which are never taken for a sign of the bot's."""
    return text.replace("talkalike · ", "talkalike\u200b · ")


def spoken(by: discord.abc.User, text: str) -> discord.Embed:
    """What a person said through a command, shown in their name; it enters contexts as their words."""
    embed = discord.Embed(description=text[:4000]).set_author(name=by.display_name[:256])
    return embed.set_footer(text=f"{SPOKEN_SIGN}{by.id}")


def spoken_by(message: discord.Message, me: int) -> tuple[int, str, str] | None:
    """Who said it through a command (id and name), and what; None for all other messages."""
    for embed in message.embeds if message.author.id == me else ():
        sign = embed.footer.text or ""
        if sign.startswith(SPOKEN_SIGN) and sign[len(SPOKEN_SIGN) :].isdigit():
            return int(sign[len(SPOKEN_SIGN) :]), embed.author.name or "somebody", embed.description or ""
    return None


def is_marker(message: discord.Message, me: int) -> bool:
    """True for the bot's own reset marker."""
    return message.author.id == me and _signed(message, MARKER_SIGN)


def is_notice(message: discord.Message, me: int) -> bool:
    """True for what the bot said about itself: places in the line, problems, disclosure."""
    return message.author.id == me and _signed(message, NOTICE_SIGN)


def _signed(message: discord.Message, sign: str) -> bool:
    last = message.content.rpartition("\n")[2]
    return last == f"-# {sign}" or any(embed.footer.text == sign for embed in message.embeds)


def _plain(name: str) -> str:
    return discord.utils.escape_markdown(name)
