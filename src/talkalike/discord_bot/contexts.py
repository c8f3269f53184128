"""What the model sees of a channel: what was said there, read, translated, and put into the model's hands."""

from __future__ import annotations

from collections import OrderedDict

import discord

from talkalike.chat.context import Item, Seen
from talkalike.chat.engines import Engines
from talkalike.chat.history import ChannelTalk, Said, items
from talkalike.chat.permissions import Place
from talkalike.chat.pipeline import Pipeline
from talkalike.discord_bot.places import Places
from talkalike.discord_bot.reading import Reader
from talkalike.discord_bot.recent import Recent
from talkalike.discord_bot.services import Services
from talkalike.discord_bot.triggers import Channel
from talkalike.errors import UserError
from talkalike.replying.facts import Facts

SEEN_KEPT = 2_000  # channels whose last prompt is remembered, so that the next one begins at the same place


class Contexts:
    """Of all channels. Asks Discord, the store and the engines; changes nothing."""

    def __init__(self, services: Services, places: Places) -> None:
        settings = services.settings
        self.recent = Recent(me=places.me, limit=settings.history_limit)
        self.reader = Reader(self.recent, me=places.me, limit=settings.history_limit, file_cap=settings.text_file_cap)
        self._places = places
        self._engines: Engines = services.engines
        self._seen: OrderedDict[int, Seen] = OrderedDict()

    async def context(
        self, channel: Channel | discord.abc.Messageable, *, trigger: discord.Message | None = None
    ) -> list[Item]:
        """Every message of the place, with the reason where the model may not see it."""
        where = self._places.place(channel)
        facts = await self._places.facts(where, self._places.me)
        said = await self.reader.read(_messages_of(channel), where, facts, trigger=trigger)
        return self.items(said, facts, trigger=trigger, speaker=self.speaker(self.model(facts)))

    async def preview(self, channel: Channel | discord.abc.Messageable) -> Seen:
        """What the model would see if it had to reply now. Raises TalkalikeError where it cannot be asked."""
        where = self._places.place(channel)
        facts = await self._places.facts(where, self._places.me)
        said = await self.reader.read(_messages_of(channel), where, facts)
        pipeline, talk = await self.prepare(where, facts, said)
        return pipeline.see(talk)

    def model(self, facts: Facts) -> str:
        """The model that answers in the place: the chosen one while it is there, else the default."""
        chosen = str(facts.options.value("model") or "")
        default = self._engines.default
        return chosen if any(voice.model == chosen for voice in self._engines.voices()) else default

    def speaker(self, model: str) -> str:
        """In whose voice that model speaks."""
        return next((voice.speaker for voice in self._engines.voices() if voice.model == model), model)

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
        engine = await self._engines.open(model)
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
