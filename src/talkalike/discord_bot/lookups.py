"""What can be asked about a place without answering anything: rules, settings, and what the model would see there."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import replace

import discord

from talkalike.chat.context import Item, Seen
from talkalike.chat.history import ChannelTalk, Said, items
from talkalike.chat.limits import Budget
from talkalike.chat.options import Resolved
from talkalike.chat.permissions import Actor, Place, Rules
from talkalike.chat.pipeline import Pipeline, Started
from talkalike.discord_bot import triggers
from talkalike.discord_bot.reading import Reader
from talkalike.discord_bot.recent import Recent
from talkalike.discord_bot.services import Services
from talkalike.discord_bot.triggers import Channel, Facts, User
from talkalike.errors import TalkalikeError, UserError
from talkalike.store import changes

LOOK_SECONDS = 2.0  # how long another process's change of a rule may go unnoticed
FACTS_SECONDS = 60.0  # ... if that process's clock is wrong, too
FACTS_KEPT = 5_000  # places
SEEN_KEPT = 2_000  # channels whose last prompt is remembered, so that the next one begins at the same place


class Lookups:
    """Asks Discord, the store and the engines; changes nothing."""

    def __init__(self, client: discord.Client, services: Services) -> None:
        if client.user is None:
            raise RuntimeError("The client has to be logged in.")
        self.client = client
        self.services = services
        self.me = client.user.id
        settings = services.settings
        self.recent = Recent(me=self.me, limit=settings.history_limit)
        self.reader = Reader(self.recent, me=self.me, limit=settings.history_limit, file_cap=settings.text_file_cap)
        self._hidden: frozenset[int] = frozenset()
        self._seen: OrderedDict[int, Seen] = OrderedDict()
        self._looked_at = 0.0
        self._facts: dict[tuple[int | None, int | None, int], tuple[int, float, Facts]] = {}

    def actor(self, user: User) -> Actor:
        """A person as the rules know them."""
        return triggers.actor(user, hidden=self._hidden)

    def place(self, channel: Channel | discord.abc.Messageable) -> Place:
        """A channel, thread or DM as the rules know it."""
        return triggers.place(channel, me=self.me)

    async def rules(self, server_id: int | None) -> Rules:
        """The rules in force on a server (None: in direct messages)."""
        return await self.services.store.run(triggers.read_rules, self.services.settings, server_id)

    async def options(self, channel: Channel | discord.abc.Messageable) -> Resolved:
        """The settings that hold in a place."""
        return await self.services.store.run(triggers.read_options, self.services.settings, self.place(channel))

    async def facts(self, where: Place, user_id: int | None = None) -> Facts:
        """What matters for a message in that place; with the person, also what they used up of their budget.

        Read anew after every change that this process makes, and after those that others are found to have made.
        """
        key, now = (where.server_id, where.parent_id, where.channel_id), time.monotonic()
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            await self.services.store.run(changes.look)
        version, read_at, found = self._facts.get(key, (-1, 0.0, None))
        if found is None or version != changes.version() or now - read_at > FACTS_SECONDS:
            version = changes.version()  # before reading: what changes meanwhile is read again
            found = await self.services.store.run(triggers.read_facts, self.services.settings, where)
            self._facts[key] = (version, now, found)
            if len(self._facts) > FACTS_KEPT:
                del self._facts[next(iter(self._facts))]
        self._hidden = found.hidden
        if user_id is None or found.options.budget() == Budget():
            return found
        return replace(found, used=await self.services.store.run(triggers.read_used, where, user_id))

    async def context(
        self, channel: Channel | discord.abc.Messageable, *, trigger: discord.Message | None = None
    ) -> list[Item]:
        """Every message of the place, with the reason where the model may not see it."""
        where = self.place(channel)
        facts = await self.facts(where, self.me)
        said = await self.reader.read(_messages_of(channel), where, facts, trigger=trigger)
        return self.items(said, facts, trigger=trigger, speaker=self.speaker(self.model(facts)))

    async def preview(self, channel: Channel | discord.abc.Messageable) -> Seen:
        """What the model would see if it had to reply now. Raises TalkalikeError where it cannot be asked."""
        where = self.place(channel)
        facts = await self.facts(where, self.me)
        said = await self.reader.read(_messages_of(channel), where, facts)
        pipeline, talk = await self.prepare(where, facts, said)
        async with aclosing(pipeline.reply(talk)) as events:
            async for event in events:  # the first event comes before the engine is asked for anything
                if isinstance(event, Started):
                    return event.seen
        raise TalkalikeError("The model did not say what it would see.", hint="Try again.")

    def model(self, facts: Facts) -> str:
        """The model that answers in the place: the chosen one while it is there, else the default."""
        chosen = str(facts.options.value("model") or "")
        default = self.services.engines.default
        return chosen if any(voice.model == chosen for voice in self.services.engines.voices()) else default

    def speaker(self, model: str) -> str:
        """In whose voice that model speaks."""
        return next((voice.speaker for voice in self.services.engines.voices() if voice.model == model), model)

    def items(
        self, said: list[Said], facts: Facts, *, speaker: str, trigger: discord.Message | None = None
    ) -> list[Item]:
        """What was said, as the model may see it."""
        return items(
            said,
            marks=facts.marks,
            side_talk=facts.options.value("side_talk"),
            persona=facts.options.value("persona"),
            trigger=trigger.id if trigger else None,
            double=speaker,
        )

    async def prepare(
        self, where: Place, facts: Facts, said: list[Said], *, trigger: discord.Message | None = None
    ) -> tuple[Pipeline, ChannelTalk]:
        """The model's pipeline, and the place's history for it. Raises TalkalikeError where it cannot be opened."""
        model = self.model(facts)
        engine = await self.services.engines.open(model)
        speaker = self.speaker(model)
        pipeline = Pipeline(engine, sampling=facts.options.sampling(), budget=facts.options.value("budget_tokens"))
        talk = ChannelTalk(
            id=f"discord:{where.channel_id}",
            double=speaker,
            items=self.items(said, facts, speaker=speaker, trigger=trigger),
            seen=self._seen.get(where.channel_id),
        )
        return pipeline, talk

    def remember(self, channel_id: int, seen: Seen | None) -> None:
        """What the last reply there saw; the next prompt begins at the same place if it can."""
        if seen is not None:
            self._seen[channel_id] = seen
            self._seen.move_to_end(channel_id)
            if len(self._seen) > SEEN_KEPT:
                self._seen.popitem(last=False)

    def forget_channels(self, channel_ids: list[int]) -> None:
        """Channels that are gone: nothing of them is kept in memory."""
        for channel_id in channel_ids:
            self.recent.forget(channel_id)
            self._seen.pop(channel_id, None)


def _messages_of(channel: Channel | discord.abc.Messageable) -> discord.abc.Messageable:
    if not isinstance(channel, discord.abc.Messageable):
        raise UserError("This channel has no messages.", hint="Ask in a text channel, a thread or a direct message.")
    return channel
