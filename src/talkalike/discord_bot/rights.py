"""The rights on Discord that the bot uses: which of them a channel withholds, and what that costs.

They are looked at before a model runs: what could not be shown is not written.
"""

from __future__ import annotations

from dataclasses import dataclass

import discord

from talkalike.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """`flag` as discord.py names it, `name` as Discord's settings do. `silences`: without it nobody is answered."""

    flag: str
    name: str
    cost: str
    silences: bool = False

    @property
    def words(self) -> str:
        """The right and what its lack costs."""
        return f"{self.name}: {self.cost}"


VIEW = Right(flag="view_channel", name="View Channel", cost="I see nothing here and answer nobody", silences=True)
SEND = Right(flag="send_messages", name="Send Messages", cost="I can't write here and answer nobody", silences=True)
SEND_IN_THREADS = Right(
    flag="send_messages_in_threads",
    name="Send Messages in Threads",
    cost="I can't write in threads and answer nobody there",
    silences=True,
)
UNLOCK = Right(
    flag="manage_threads",
    name="Manage Threads",
    cost="this thread is locked, so I can't write here and answer nobody",
    silences=True,
)
HISTORY = Right(
    flag="read_message_history",
    name="Read Message History",
    cost="I know only what is said while I listen, my replies point at no message, and I can't react",
)
EMBEDS = Right(
    flag="embed_links", name="Embed Links", cost="`/chat`, `/comprehend`, reports and comparisons can't be shown"
)
FILES = Right(
    flag="attach_files",
    name="Attach Files",
    cost="`/comprehend` can't be used, and of a very long reply only the beginning is shown",
)
REACTIONS = Right(flag="add_reactions", name="Add Reactions", cost="I can't react with an emoji")
THREADS = Right(flag="create_public_threads", name="Create Public Threads", cost="`/thread` opens none")

RIGHTS = (VIEW, SEND, SEND_IN_THREADS, HISTORY, EMBEDS, FILES, REACTIONS, THREADS)  # what the bot asks for


def missing(granted: discord.Permissions, *, thread: bool = False, locked: bool = False) -> tuple[Right, ...]:
    """Of the rights that matter in such a place, those that were not granted; without the first, no others."""
    matter = [VIEW, SEND_IN_THREADS if thread else SEND, *([UNLOCK] if locked else []), HISTORY, EMBEDS, FILES]
    matter += [REACTIONS] if thread else [REACTIONS, SEND_IN_THREADS, THREADS]
    lacking = tuple(right for right in matter if not getattr(granted, right.flag))
    return lacking[:1] if VIEW in lacking else lacking


def lacking(channel: object) -> tuple[Right, ...]:
    """What the bot lacks in a channel or thread, as far as Discord says; nothing in direct messages."""
    me = getattr(getattr(channel, "guild", None), "me", None)
    if isinstance(channel, discord.Thread):
        if me is None or channel.parent is None:
            return ()
        return missing(channel.permissions_for(me), thread=True, locked=channel.locked)
    if me is None or not isinstance(channel, discord.abc.GuildChannel):
        return ()
    return missing(channel.permissions_for(me))


def silencing(channel: object) -> Right | None:
    """The right for whose lack nobody can be answered in the channel."""
    if isinstance(channel, discord.Thread):
        return next((right for right in lacking(channel) if right.silences), None)
    return next((right for right in lacking(channel) if right in (VIEW, SEND)), None)


def may(channel: object, *rights: Right) -> bool:
    """Whether the bot has all of these there."""
    return not set(rights) & set(lacking(channel))


def require_voice(channel: object) -> None:
    """Raises UserError where the bot could not answer in the channel."""
    if right := silencing(channel):
        raise UserError(f"I lack a right here. {right.words}.", hint="Somebody who manages the server can grant it.")
