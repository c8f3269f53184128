"""The newest messages of each channel, kept up to date by what Discord sends: read once, then never asked for again.

One channel's messages never leave its own entry. The least recently used channels go when too many messages are kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import discord

from talkalike.chat.permissions import Actor
from talkalike.discord_bot.asking import messages
from talkalike.discord_bot.translate import Heard, translate

OWNERS = 10_000  # messages that belong to somebody else than their author
KEPT = 50_000  # messages over all channels; about 1 KB each


@dataclass(slots=True, eq=False)
class _Channel:
    heard: dict[int, Heard] = field(default_factory=dict)  # by message id, oldest first once loaded
    loaded: bool = False
    gone: set[int] = field(default_factory=set)  # deleted while the channel was read
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Recent:
    """`limit` messages of each channel at most."""

    def __init__(self, *, me: int, limit: int, kept: int = KEPT) -> None:
        self._me = me
        self._limit = limit
        self._kept = kept
        self._channels: OrderedDict[int, _Channel] = OrderedDict()
        self._total = 0  # messages in them
        self._owners: OrderedDict[int, Actor] = OrderedDict()  # of messages that a webhook posted for somebody

    async def history(self, channel: discord.abc.Messageable, channel_id: int) -> list[Heard]:
        """Oldest first. Asks Discord the first time only. Raises UnreadError where that fails."""
        known = self._channels.setdefault(channel_id, _Channel())
        self._channels.move_to_end(channel_id)
        if not known.loaded:
            async with known.reading:
                if not known.loaded:
                    await self._load(channel_id, known, channel)
            self._let_go(channel_id)
        return list(known.heard.values())

    def add(self, message: discord.Message) -> None:
        """Adds a new message, if its channel is kept."""
        known = self._channels.get(message.channel.id)
        if known is not None:
            late = known.loaded and bool(known.heard) and message.id < next(reversed(known.heard))
            self._change(message.channel.id, known, put={message.id: self.translate(message)})
            if late:  # Discord does not promise that events come in the order of the messages
                known.heard = dict(sorted(known.heard.items()))
            self._let_go(message.channel.id)

    def translate(self, message: discord.Message) -> Heard:
        """The message in words, and whose they are."""
        return self._with_owner(translate(message, me=self._me))

    def assign(self, message: discord.Message, owner: Actor) -> None:
        """Notes that a message of a webhook is this person's, under the name it was posted with."""
        self._owners[message.id] = owner
        if len(self._owners) > OWNERS:
            self._owners.popitem(last=False)
        known = self._channels.get(message.channel.id)
        if known is not None and message.id in known.heard:
            known.heard[message.id] = self._with_owner(known.heard[message.id])

    def _with_owner(self, heard: Heard) -> Heard:
        owner = self._owners.get(heard.said.id)
        if owner is None:
            return heard
        said = replace(heard.said, author_id=owner.user_id, alias=heard.said.author)
        return replace(heard, author=owner, member=True, said=said)

    def edit(self, message: discord.Message) -> None:
        """Updates an edited message, if it is kept."""
        known = self._channels.get(message.channel.id)
        if known is not None and (message.id in known.heard or not known.loaded):
            self._change(message.channel.id, known, put={message.id: self.translate(message)})

    def text_of(self, channel_id: int, message_id: int) -> str | None:
        """What a kept message says; None where it is not kept."""
        known = self._channels.get(channel_id)
        heard = known.heard.get(message_id) if known else None
        return heard.said.text if heard else None

    def replace(self, channel_id: int, heard: Heard) -> None:
        """Puts a message with its files read in the place of the one without, if that is still there."""
        known = self._channels.get(channel_id)
        if known and heard.said.id in known.heard:
            known.heard[heard.said.id] = heard

    def remove(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Removes deleted messages, also where they are quoted."""
        known = self._channels.get(channel_id)
        if known is None:
            return
        gone = set(message_ids)
        if not known.loaded:
            known.gone |= gone
        self._change(channel_id, known, gone=gone)
        for message_id, heard in known.heard.items():
            if heard.said.reply_to in gone:
                known.heard[message_id] = replace(heard, said=replace(heard.said, quoted=""))

    def forget(self, channel_id: int) -> None:
        """Forgets a channel that is gone or may no longer be read."""
        known = self._channels.pop(channel_id, None)
        self._total -= len(known.heard) if known else 0

    def clear(self) -> None:
        """Forgets everything: messages may have been missed."""
        self._channels.clear()
        self._total = 0

    def __len__(self) -> int:
        """How many messages are kept."""
        return self._total

    def kept_messages(self, channel_id: int) -> list[Heard]:
        """The messages known from events alone, oldest first, where the channel could not be read."""
        known = self._channels.get(channel_id)
        return [known.heard[number] for number in sorted(known.heard)] if known else []

    async def _load(self, channel_id: int, known: _Channel, channel: discord.abc.Messageable) -> None:
        read = await messages(channel, "what was said here", limit=self._limit)
        merged = {message.id: self.translate(message) for message in reversed(read)} | known.heard
        ordered = {message_id: merged[message_id] for message_id in sorted(merged.keys() - known.gone)}
        known.loaded = True
        self._change(channel_id, known, gone=tuple(known.heard), put=ordered)
        known.gone.clear()

    def _change(
        self, channel_id: int, known: _Channel, *, gone: Iterable[int] = (), put: Mapping[int, Heard] | None = None
    ) -> None:
        """Keeps the total right; a channel that was forgotten while it was read counts no more."""
        before = len(known.heard)
        for message_id in gone:
            known.heard.pop(message_id, None)
        known.heard |= put or {}
        while known.loaded and len(known.heard) > self._limit:
            del known.heard[next(iter(known.heard))]
        if self._channels.get(channel_id) is known:
            self._total += len(known.heard) - before

    def _let_go(self, newest: int) -> None:
        if self._total <= self._kept:
            return
        for channel_id in [one for one, known in self._channels.items() if known.loaded and one != newest]:
            self.forget(channel_id)
            if self._total <= self._kept:
                return
