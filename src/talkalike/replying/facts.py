"""What the store knows about a place that matters for a reply: rules, options, marks, budget. Read once, kept fresh."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from talkalike.chat.history import Marks
from talkalike.chat.options import Budget, Resolved, Used, resolve
from talkalike.chat.permissions import Access, ChatPlace, Rule, Rules, Subject
from talkalike.replying.writing import today
from talkalike.store import changes, people, rules, scoped, usage
from talkalike.store.store import Store

LOOK_SECONDS = 2.0  # how long another process's change of a rule may go unnoticed
FACTS_SECONDS = 60.0  # ... if that process's clock is wrong, too
FACTS_KEPT = 5_000  # places


class Defaults(Protocol):
    """What holds where the store says nothing."""

    @property
    def owner_ids(self) -> frozenset[int]: ...

    @property
    def dm_access(self) -> str: ...

    @property
    def options(self) -> Mapping[str, Any]: ...


class Source(Protocol):
    """Where facts are read. The defaults may be exchanged while the face runs."""

    @property
    def store(self) -> Store: ...

    @property
    def settings(self) -> Defaults: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store knows that matters for one message in one place, read in one go."""

    rules: Rules
    hidden: frozenset[int]  # people who opted out of being seen
    options: Resolved
    marks: Marks = field(default_factory=Marks)
    used: Used = field(default_factory=Used)


class PlaceFacts:
    """Facts of the places where replies are written. Belongs to one event loop."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._looked_at = 0.0
        self._facts: dict[tuple[int | None, int | None, int], tuple[int, float, Facts]] = {}
        self.hidden: frozenset[int] = frozenset()  # as it was read last

    async def rules(self, server_id: int | None) -> Rules:
        """The rules in force on a server (None: in direct messages)."""
        return await self._source.store.run(read_rules, self._source.settings, server_id)

    async def options(self, where: ChatPlace) -> Resolved:
        """The options that hold in a place."""
        return await self._source.store.run(read_options, self._source.settings, where)

    async def facts(self, where: ChatPlace, user_id: int | None = None) -> Facts:
        """What matters for a message in that place; with the person, also what they used up of their budget.

        Read anew after every change that this process makes, and after those that others are found to have made.
        """
        key, now = (where.server_id, where.parent_id, where.channel_id), time.monotonic()
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            await self._source.store.run(changes.look)
        version, read_at, found = self._facts.get(key, (-1, 0.0, None))
        if found is None or version != changes.version() or now - read_at > FACTS_SECONDS:
            version = changes.version()  # before reading: what changes meanwhile is read again
            found = await self._source.store.run(read_facts, self._source.settings, where)
            self._facts[key] = (version, now, found)
            if len(self._facts) > FACTS_KEPT:
                del self._facts[next(iter(self._facts))]
        self.hidden = found.hidden
        if user_id is None or found.options.budget() == Budget():
            return found
        return replace(found, used=await self._source.store.run(read_used, where, user_id))


def read_facts(defaults: Defaults, place: ChatPlace) -> Facts:
    """Runs in the store's thread. `used` is not read here: it changes with every reply."""
    dropped, pinned = scoped.marks(place.channel_id)
    return Facts(
        rules=read_rules(defaults, place.server_id),
        hidden=people.hidden(),
        options=read_options(defaults, place),
        marks=Marks(dropped=dropped, pinned=pinned),
    )


def read_used(place: ChatPlace, user_id: int) -> Used:
    """Runs in the store's thread. What the person and the server used today."""
    return usage.read_used(user_id, place.server_id, today())


def read_rules(defaults: Defaults, server_id: int | None) -> Rules:
    """Runs in the store's thread. What is stored comes before what the settings say of direct messages."""
    stored = rules.rules_of(server_id)
    if defaults.dm_access == "open":
        stored += (Rule(server_id=None, subject=Subject.DM, subject_id=0, access=Access.OPEN),)
    return Rules(owner_ids=defaults.owner_ids, rules=stored)


def read_options(defaults: Defaults, place: ChatPlace) -> Resolved:
    """Runs in the store's thread. The options that hold in the place."""
    channel_id, thread_id = (place.parent_id or 0, place.channel_id) if place.parent_id else (place.channel_id, None)
    return resolve([("bot", defaults.options), *scoped.layers(place.server_id, channel_id, thread_id)])
