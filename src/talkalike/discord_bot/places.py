"""From Discord's people, places and messages to the values the rules are written in, and what the store knows of them.

Nothing here decides anything: `talkalike.chat.permissions.decide` does.
"""

from __future__ import annotations

from typing import TypeAlias

import discord

from talkalike.chat.options import Resolved
from talkalike.chat.permissions import Action, Actor, ChatPlace, Decision, Request, Rules, decide
from talkalike.discord_bot.services import Services
from talkalike.replying.facts import Facts, PlaceFacts

Channel: TypeAlias = discord.abc.GuildChannel | discord.Thread | discord.abc.PrivateChannel | discord.PartialMessageable
User: TypeAlias = discord.User | discord.Member | discord.abc.User

SPOKEN = (discord.MessageType.default, discord.MessageType.reply)


def actor_of(user: User, *, hidden: frozenset[int] = frozenset()) -> Actor:
    """A person as the rules know them; their highest role comes first."""
    if not isinstance(user, discord.Member):
        return Actor(user_id=user.id, bot=user.bot, hidden=user.id in hidden)
    permissions = user.guild_permissions
    return Actor(
        user_id=user.id,
        role_ids=tuple(role.id for role in reversed(user.roles) if not role.is_default()),
        server_owner=user.guild.owner_id == user.id,
        server_admin=permissions.administrator or permissions.manage_guild,
        bot=user.bot,
        hidden=user.id in hidden,
    )


def place_of(channel: Channel | discord.abc.Messageable, *, me: int) -> ChatPlace:
    """A channel, thread or direct message as the rules know it."""
    channel_id = channel.id  # type: ignore[union-attr]  # every channel that carries messages has one
    if isinstance(channel, discord.Thread):
        return ChatPlace(
            server_id=channel.guild.id,
            channel_id=channel_id,
            parent_id=channel.parent_id,
            category_id=channel.category_id if channel.parent else None,
            own_thread=channel.owner_id == me,
            private=channel.is_private() or channel.parent is None or not _everybody_sees(channel.parent),
        )
    if isinstance(channel, discord.abc.GuildChannel):
        return ChatPlace(
            server_id=channel.guild.id,
            channel_id=channel_id,
            category_id=channel.category_id,
            private=not _everybody_sees(channel),
        )
    return ChatPlace(server_id=getattr(channel, "guild_id", None), channel_id=channel_id, private=True)


def is_addressed(message: discord.Message, me: int) -> bool:
    """True when the message mentions the double, its own role, or replies to it. `@everyone` is not the double."""
    if any(user.id == me for user in message.mentions):
        return True
    if any(role.tags is not None and role.tags.bot_id == me for role in message.role_mentions):
        return True
    quoted = message.reference.resolved if message.reference else None
    forwarded = bool(message.message_snapshots)
    return isinstance(quoted, discord.Message) and quoted.author.id == me and not forwarded


def decide_talk(
    message: discord.Message, who: Actor, where: ChatPlace, facts: Facts, *, is_addressed: bool
) -> Decision:
    """May the double answer this message?"""
    return decide(Request(actor=who, action=Action.TALK, place=where, addressed=is_addressed), facts.rules)


def _everybody_sees(channel: discord.abc.GuildChannel) -> bool:
    return channel.permissions_for(channel.guild.default_role).view_channel


class Places:
    """Asks the store; changes nothing. `me` is the bot's own id."""

    def __init__(self, services: Services, *, me: int) -> None:
        self.me = me
        self._facts = PlaceFacts(services)

    def actor(self, user: User) -> Actor:
        """A person as the rules know them."""
        return actor_of(user, hidden=self._facts.hidden)

    def place(self, channel: Channel | discord.abc.Messageable) -> ChatPlace:
        """A channel, thread or DM as the rules know it."""
        return place_of(channel, me=self.me)

    async def rules(self, server_id: int | None) -> Rules:
        """The rules in force on a server (None: in direct messages)."""
        return await self._facts.rules(server_id)

    async def options(self, channel: Channel | discord.abc.Messageable) -> Resolved:
        """The settings that hold in a place."""
        return await self._facts.options(self.place(channel))

    async def facts(self, where: ChatPlace, user_id: int | None = None) -> Facts:
        """What matters for a message in that place; with the person, also what they used up of their budget."""
        return await self._facts.facts(where, user_id)
