"""Words that a webhook says in a person's stead, as PluralKit and Tupperbox do it for people who speak as several.

Their bot posts the message anew under another name and deletes the original; either may be told first. Only both
together make the words that person's, and only where they repeat the original: nobody can put words into their mouth.
Asks nobody, and forgets within seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import discord

WITHIN = 15.0  # seconds between the original and what was posted for it
KEPT = 500  # messages of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxied:
    """What a webhook posted, and the person's own message that is gone for it."""

    posted: discord.Message
    original: discord.Message


class Proxies:
    """The messages of the last seconds, until it is known which of them belong together. Belongs to one event loop."""

    def __init__(self) -> None:
        self._said: OrderedDict[int, discord.Message] = OrderedDict()
        self._gone: OrderedDict[int, discord.Message] = OrderedDict()
        self._posted: OrderedDict[int, discord.Message] = OrderedDict()

    def add(self, message: discord.Message) -> Proxied | None:
        """Adds a new message; returns a webhook's with its original, if that was deleted already."""
        for kept in (self._said, self._gone, self._posted):
            _let_go(kept, message)
        if message.webhook_id is None:
            self._said[message.id] = message
            return None
        original = _match(message, self._gone.values())
        if original is None:
            self._posted[message.id] = message
            return None
        del self._gone[original.id]
        return Proxied(posted=message, original=original)

    def on_delete(self, message_ids: Iterable[int], *, answered: Iterable[int] = ()) -> list[Proxied]:
        """Returns the webhook messages whose originals are gone now; those of `answered` originals have none."""
        found = []
        for message_id in message_ids:
            original = self._said.pop(message_id, None)
            self._posted.pop(message_id, None)
            if original is None or message_id in answered:
                continue
            posted = next((one for one in self._posted.values() if _match(one, [original])), None)
            if posted is None:
                self._gone[message_id] = original
            else:
                del self._posted[posted.id]
                found.append(Proxied(posted=posted, original=original))
        return found


def _match(posted: discord.Message, originals: Iterable[discord.Message]) -> discord.Message | None:
    """The newest original of the same channel and time whose words, but for the signs around them, were posted."""
    words = posted.content.strip()
    for one in sorted(originals, key=lambda one: one.id, reverse=True):
        near = abs((posted.created_at - one.created_at).total_seconds()) <= WITHIN
        same = words in one.content if words else bool(posted.attachments) and bool(one.attachments)
        if one.channel.id == posted.channel.id and near and same:
            return one
    return None


def _let_go(kept: OrderedDict[int, discord.Message], newest: discord.Message) -> None:
    while kept:
        oldest = next(iter(kept.values()))
        age = (newest.created_at - oldest.created_at).total_seconds()
        if age <= WITHIN and len(kept) < KEPT:
            return
        kept.popitem(last=False)
