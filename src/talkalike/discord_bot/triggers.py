"""From Discord's people and places to the values the rules are written in, and what the store says of a place.

Nothing here decides anything: `talkalike.chat.permissions.decide` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeAlias

import discord

from talkalike.chat.history import Marks
from talkalike.chat.limits import Used
from talkalike.chat.options import Resolved, resolve
from talkalike.chat.permissions import Access, Action, Actor, Decision, Place, Request, Rule, Rules, Subject, decide
from talkalike.discord_bot.services import BotSettings
from talkalike.store import context_marks, people, rules, scoped, usage

Channel: TypeAlias = discord.abc.GuildChannel | discord.Thread | discord.abc.PrivateChannel | discord.PartialMessageable
User: TypeAlias = discord.User | discord.Member | discord.abc.User

SPOKEN = (discord.MessageType.default, discord.MessageType.reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store knows that matters for one message in one place, read in one go."""

    rules: Rules
    hidden: frozenset[int]  # people who opted out of being seen
    options: Resolved
    marks: Marks = field(default_factory=Marks)
    used: Used = field(default_factory=Used)


def read_facts(settings: BotSettings, place: Place) -> Facts:
    """Runs in the store's thread. `used` is not read here: it changes with every reply."""
    dropped, pinned = context_marks.marks(place.channel_id)
    return Facts(
        rules=read_rules(settings, place.server_id),
        hidden=people.hidden(),
        options=read_options(settings, place),
        marks=Marks(dropped=dropped, pinned=pinned),
    )


def read_used(place: Place, user_id: int) -> Used:
    """Runs in the store's thread. What the person and the server used today."""
    return usage.used(user_id, place.server_id, today())


def read_rules(settings: BotSettings, server_id: int | None) -> Rules:
    """Runs in the store's thread. What is stored comes before what the settings say of direct messages."""
    stored = rules.rules_of(server_id)
    if settings.dm_access == "open":
        stored += (Rule(server_id=None, subject=Subject.DM, subject_id=0, access=Access.OPEN),)
    return Rules(owner_ids=settings.owner_ids, rules=stored)


def read_options(settings: BotSettings, place: Place) -> Resolved:
    """Runs in the store's thread."""
    channel_id, thread_id = (place.parent_id or 0, place.channel_id) if place.parent_id else (place.channel_id, None)
    return resolve([("bot", settings.options), *scoped.layers(place.server_id, channel_id, thread_id)])


def today() -> date:
    """Budgets are renewed at midnight UTC."""
    return datetime.now(UTC).date()


def actor(user: User, *, hidden: frozenset[int] = frozenset()) -> Actor:
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


def place(channel: Channel | discord.abc.Messageable, *, me: int) -> Place:
    """A channel, thread or direct message as the rules know it."""
    channel_id = channel.id  # type: ignore[union-attr]  # every channel that carries messages has one
    if isinstance(channel, discord.Thread):
        return Place(
            server_id=channel.guild.id,
            channel_id=channel_id,
            parent_id=channel.parent_id,
            category_id=channel.category_id if channel.parent else None,
            own_thread=channel.owner_id == me,
            private=channel.is_private() or channel.parent is None or not _everybody_sees(channel.parent),
        )
    if isinstance(channel, discord.abc.GuildChannel):
        return Place(
            server_id=channel.guild.id,
            channel_id=channel_id,
            category_id=channel.category_id,
            private=not _everybody_sees(channel),
        )
    return Place(server_id=getattr(channel, "guild_id", None), channel_id=channel_id, private=True)


def addressed(message: discord.Message, me: int) -> bool:
    """True when the message mentions the double, its own role, or replies to it. `@everyone` is not the double."""
    if any(user.id == me for user in message.mentions):
        return True
    if any(role.tags is not None and role.tags.bot_id == me for role in message.role_mentions):
        return True
    quoted = message.reference.resolved if message.reference else None
    forwarded = bool(message.message_snapshots)
    return isinstance(quoted, discord.Message) and quoted.author.id == me and not forwarded


def decide_talk(message: discord.Message, who: Actor, where: Place, facts: Facts, *, is_addressed: bool) -> Decision:
    """May the double answer this message?"""
    return decide(Request(actor=who, action=Action.TALK, place=where, addressed=is_addressed), facts.rules)


def _everybody_sees(channel: discord.abc.GuildChannel) -> bool:
    return channel.permissions_for(channel.guild.default_role).view_channel
