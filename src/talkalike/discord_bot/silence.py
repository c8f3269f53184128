"""Why the double would be silent: each rule that keeps it so in one line, for a person who asks and for the log.

Pure: the decisions are those of `chat.permissions`, the rights those that Discord grants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import discord

from talkalike.chat.options import refusal
from talkalike.chat.permissions import Access, Action, Actor, ChatPlace, Request, Rules, access_of, decide
from talkalike.discord_bot import rights
from talkalike.discord_bot.rights import Right
from talkalike.replying.facts import Facts

NAMED = 5  # channels named in a line of the log
OPTED_OUT = "You opted out of being seen by me, so I can't read what you write: `/privacy seen` changes that."


def reasons(actor: Actor, place: ChatPlace, facts: Facts, *, right: Right | None) -> tuple[str, ...]:
    """Why this person gets no answer here, or not to every message; nothing where every message is answered."""
    found = [f"The right is missing. {right.words}."] if right is not None else []
    asked = [
        decide(Request(actor=actor, action=Action.TALK, place=place, addressed=addressed), facts.rules)
        for addressed in (True, False)
    ]
    if not asked[0].allowed:
        opener = " Only the bot's owner can open direct messages." if place.server_id is None else ""
        found.append(asked[0].explanation + opener)
    elif not asked[1].allowed:
        found.append(f"I answer only when I am mentioned or replied to. {asked[1].explanation}")
    if actor.hidden:
        found.append(OPTED_OUT)
    if words := refusal(facts.options.budget(), facts.used):
        found.append(words)
    if sign := facts.options.value("side_talk"):
        found.append(f"Messages that begin with {sign} are side talk and not for me.")
    return tuple(found)


def channels(guild: discord.Guild, *, seen_by: discord.Member | None = None) -> list[discord.abc.GuildChannel]:
    """A server's channels that hold messages, in its order; of those, what this member sees."""
    found = [one for one in guild.channels if not isinstance(one, discord.CategoryChannel)]
    return sorted(
        (one for one in found if seen_by is None or one.permissions_for(seen_by).view_channel),
        key=lambda one: (one.category.position if one.category else -1, one.position),
    )


def overview(places: Iterable[tuple[discord.abc.GuildChannel, ChatPlace]], rules: Rules) -> Iterator[tuple[str, bool]]:
    """A line for each channel, and whether a right is missing where the double is to answer."""
    for channel, place in places:
        access, lacks = access_of(place, rules)[0], rights.lacking(channel)
        granted = "; ".join(f"❌ {right.words}" for right in lacks) if lacks else "✅ every right I use"
        yield f"{channel.mention} ({access.word}): {granted}", bool(lacks) and access is not Access.CLOSED


def at_start(server: str, places: Iterable[tuple[discord.abc.GuildChannel, ChatPlace]], rules: Rules) -> Iterator[str]:
    """For the log: each rule, default and missing right that silences channels of a server, with how many."""
    closed: defaultdict[str, list[str]] = defaultdict(list)
    lacks: defaultdict[Right, list[str]] = defaultdict(list)
    total = 0
    for channel, place in places:
        total += 1
        access, source = access_of(place, rules)
        if access is Access.CLOSED:
            closed[source].append(channel.name)
        elif right := rights.silencing(channel):
            lacks[right].append(channel.name)
    for source, names in closed.items():
        yield f"On '{server}' nobody is answered in {len(names)} of {total} channels ({source}): {_names(names)}."
    for right, names in lacks.items():
        where = f"{len(names)} of {total} channels"
        yield f"On '{server}' nobody is answered in {where}, for the right {right.name} is missing: {_names(names)}."


def in_direct_messages(rules: Rules) -> str:
    """For the log: why strangers get no answer there; empty where they do."""
    access, source = access_of(ChatPlace(server_id=None, channel_id=0, private=True), rules)
    return f"Direct messages are closed to all but the bot's owner ({source})." if access is Access.CLOSED else ""


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"#{name}" for name in names[:NAMED]) + more
