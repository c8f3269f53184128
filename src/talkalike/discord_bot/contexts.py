"""What the model may see of a channel for one reply: its newest messages and what they lead to, put into its hands.

The messages come from the cache; a few more are asked for: what the trigger replies to when that is long ago, the
message a thread was opened on, and text files. Everything is of this channel, but for a thread's own first message.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import discord

from talkalike.chat.context import ContextItem, Seen
from talkalike.chat.engines import Engines
from talkalike.chat.history import (
    SYSTEM,
    THREAD,
    ChannelTalk,
    HistoryMessage,
    is_side_talk,
    items,
    with_short_pictures,
)
from talkalike.chat.permissions import Action, Actor, ChatPlace, Decision, Request, Subject, decide
from talkalike.chat.pipeline import Pipeline
from talkalike.discord_bot.asking import ANSWERED, Patience, UnreadError, messages
from talkalike.discord_bot.pictures import ChannelPictures, Fetch
from talkalike.discord_bot.places import Channel, Places, actor_of
from talkalike.discord_bot.recent import Recent
from talkalike.discord_bot.services import Services
from talkalike.discord_bot.translate import Heard, plain, read_file, translate, with_file
from talkalike.errors import UserError
from talkalike.replying.facts import Facts

CHAIN = 3  # messages fetched of a chain of replies that leads out of sight
FILES = 5  # text files read for one reply, the newest ones
MEMBERS = 20  # people whose roles are asked for at once
REMEMBERED = 2_000  # thread starters and members kept
UNKNOWN = Decision(
    allowed=False, rule="roles unknown", explanation="Not shown to the model: Discord did not tell its author's roles."
)
SHOWN = Decision(allowed=True, rule="the double", explanation="Shown to the model: the double's own words.")
EARLIER = "what was said here before"
STARTER = "the message that this thread was opened on"
SEEN_KEPT = 2_000  # channels whose last prompt is remembered, so that the next one begins at the same place


class Contexts:
    """Of all channels. Asks Discord, the store and the engines; changes nothing."""

    def __init__(self, services: Services, places: Places, *, fetch: Fetch) -> None:
        settings = services.settings
        self.recent = Recent(me=places.me, limit=settings.history_limit)
        self.pictures = ChannelPictures(services.onlooker, services.store, self.recent, fetch=fetch)
        self.reader = Reader(
            self.recent,
            self.pictures,
            me=places.me,
            limit=settings.history_limit,
            file_cap=settings.text_file_cap,
        )
        self._places = places
        self._engines: Engines = services.engines
        self._seen: OrderedDict[int, Seen] = OrderedDict()

    async def context(
        self, channel: Channel | discord.abc.Messageable, *, trigger: discord.Message | None = None
    ) -> list[ContextItem]:
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
        self, said: list[HistoryMessage], facts: Facts, *, speaker: str, trigger: discord.Message | None = None
    ) -> list[ContextItem]:
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
        self, where: ChatPlace, facts: Facts, said: list[HistoryMessage], *, trigger: discord.Message | None = None
    ) -> tuple[Pipeline, ChannelTalk]:
        """The model's pipeline, and the place's history for it. Raises TalkalikeError where it cannot be opened."""
        model = self.model(facts)
        engine = await self._engines.open(model)
        speaker = self.speaker(model)
        pipeline = Pipeline(engine, sampling=facts.options.sampling(), budget=facts.options.value("budget_tokens"))
        talk = ChannelTalk(
            id=_talk_id(where.channel_id),
            double=speaker,
            items=self.items(with_short_pictures(said, engine.count_tokens), facts, speaker=speaker, trigger=trigger),
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

    async def forget_saved(self, channel_ids: Iterable[int] | None) -> None:
        """What models saved of these channels goes (None: of everything, and what was seen in pictures, too): something
        there is not to be kept."""
        if channel_ids is None:
            self.pictures.forget()
        talks = None if channel_ids is None else [_talk_id(each) for each in channel_ids]
        await asyncio.to_thread(self._engines.forget, talks)  # it deletes files

    async def forget_channels(self, channel_ids: list[int]) -> None:
        """Channels that are gone: nothing of them is kept in memory, or saved by a model."""
        for channel_id in channel_ids:
            self.recent.forget(channel_id)
            self._seen.pop(channel_id, None)
        await self.forget_saved(channel_ids)


def _talk_id(channel_id: int) -> str:
    return f"discord:{channel_id}"


def _messages_of(channel: Channel | discord.abc.Messageable) -> discord.abc.Messageable:
    if not isinstance(channel, discord.abc.Messageable):
        raise UserError("This channel has no messages.", hint="Ask in a text channel, a thread or a direct message.")
    return channel


@dataclass(slots=True)
class _Asked:
    """One reading: the time it has, and what could not be read, of the place and of single messages."""

    patience: Patience = field(default_factory=Patience)
    missing: list[str] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)


class Reader:
    """Reads channels for replies. `file_cap` in bytes."""

    def __init__(self, recent: Recent, pictures: ChannelPictures, *, me: int, limit: int, file_cap: int) -> None:
        self.recent = recent
        self._pictures = pictures
        self._me = me
        self._limit = limit
        self._file_cap = file_cap
        self._starters: dict[int, Heard | None] = {}
        self._members: dict[tuple[int, int], Actor | None] = {}

    async def read(
        self,
        channel: discord.abc.Messageable,
        where: ChatPlace,
        facts: Facts,
        *,
        trigger: discord.Message | None = None,
    ) -> list[HistoryMessage]:
        """The channel as the model may see it, oldest first, each message with the decision whether it may be seen.

        It takes a few seconds at most, and raises nothing of Discord's: what cannot be read is left out, and named in
        a heading or a note. A channel whose history the bot may not read holds the trigger alone.
        """
        asked = _Asked()
        heard = await self._history(channel, where.channel_id, trigger, asked)
        if trigger is not None:
            translated = self.recent.translate(trigger)
            kept = heard.setdefault(trigger.id, translated)
            if translated.member and not kept.member:  # the event has the roles of whoever asks, the history has not
                heard[trigger.id] = replace(kept, author=translated.author, member=True)
        await asyncio.gather(self._add_chain(heard, channel, trigger, asked), self._add_starter(heard, channel, asked))
        await asyncio.gather(
            self._read_files(heard, where.channel_id, asked.patience),
            self._learn_members(channel, tuple(heard.values()), facts, asked.patience),
        )
        ordered = [heard[message_id] for message_id in sorted(heard)]
        said = [
            replace(one, notes=(asked.notes[one.id],)) if one.id in asked.notes else one
            for one in self._decide(ordered, channel, where, facts)
        ]
        told = await self._pictures.tell(said, heard, channel, where, asked.patience)
        return [*self._headings(channel, where, facts, asked), *told]

    def on_change(self, message_id: int) -> None:
        """A message was edited or deleted: if a thread was opened on it, it is read again."""
        self._starters.pop(message_id, None)

    def _headings(
        self, channel: discord.abc.Messageable, where: ChatPlace, facts: Facts, asked: _Asked
    ) -> list[HistoryMessage]:
        """What stands before the messages: what is missing, and a thread's title, which is its owner's words."""
        line = HistoryMessage(
            id=-1, author_id=self._me, author=SYSTEM, text="", at=discord.utils.utcnow(), seen=SHOWN, heading=True
        )
        lines = [replace(line, text="\n".join(f"[{one}]" for one in asked.missing))] if asked.missing else []
        if isinstance(channel, discord.Thread):
            owner = Actor(user_id=channel.owner_id)
            seen = self._may_be_seen(owner, channel.guild, where, facts, member=False)
            title = replace(line, id=-2, author_id=owner.user_id, author=THREAD, text=plain(channel.name), seen=seen)
            lines.append(title)
        return lines

    async def _history(
        self, channel: discord.abc.Messageable, channel_id: int, trigger: discord.Message | None, asked: _Asked
    ) -> dict[int, Heard]:
        try:
            read = await asked.patience.ask(self.recent.history(channel, channel_id), EARLIER)
            heard = {one.said.id: one for one in read}
            if trigger is not None and heard and trigger.id < min(heard):
                older = messages(channel, EARLIER, limit=self._limit, before=trigger)
                heard = {one.id: self.recent.translate(one) for one in await asked.patience.ask(older, EARLIER)} | heard
        except UnreadError as error:
            if error.absent:
                return {}
            asked.missing.append(f"{EARLIER} could not be read")
            return {one.said.id: one for one in self.recent.kept_messages(channel_id)}
        return heard

    async def _add_chain(
        self,
        heard: dict[int, Heard],
        channel: discord.abc.Messageable,
        trigger: discord.Message | None,
        asked: _Asked,
    ) -> None:
        message = trigger
        for _ in range(CHAIN if message is not None else 0):
            reference = message.reference if message is not None else None
            if message is None or reference is None or reference.message_id is None or message.message_snapshots:
                return
            if reference.message_id in heard or reference.channel_id != channel.id:  # type: ignore[attr-defined]
                return
            found = reference.resolved
            if isinstance(found, discord.DeletedReferencedMessage):
                return
            if found is None or (found.reference and found.reference.resolved is None and found.type.name == "reply"):
                try:
                    found = await asked.patience.ask(channel.fetch_message(reference.message_id), ANSWERED)
                except UnreadError as error:
                    if found is None:
                        if not error.absent:
                            asked.notes[message.id] = f"{ANSWERED} could not be read"
                        return
            heard[found.id] = self.recent.translate(found)
            message = found

    async def _add_starter(self, heard: dict[int, Heard], channel: discord.abc.Messageable, asked: _Asked) -> None:
        """The message a thread was opened on stands in the channel above, under the thread's own number."""
        if not isinstance(channel, discord.Thread) or channel.id in heard or channel.is_private():
            return
        if not isinstance(channel.parent, discord.TextChannel):
            return
        if channel.id not in self._starters:
            message = None
            try:
                message = await asked.patience.ask(channel.parent.fetch_message(channel.id), STARTER)
            except UnreadError as error:
                if not error.absent:
                    asked.missing.append(f"{STARTER} could not be read")
                    return
            _make_room(self._starters)
            self._starters[channel.id] = translate(message, me=self._me) if message else None
        starter = self._starters[channel.id]
        if starter is not None:
            heard[channel.id] = starter

    async def _read_files(self, heard: dict[int, Heard], channel_id: int, patience: Patience) -> None:
        wanted = [(one, index, file) for one in heard.values() for index, file in one.unread]
        wanted = sorted(wanted, key=lambda one: one[0].said.id)[-FILES:]
        read = await asyncio.gather(
            *(read_file(one.said.files[index], file, patience, cap=self._file_cap) for one, index, file in wanted)
        )
        for (one, index, _), file in zip(wanted, read, strict=True):
            heard[one.said.id] = with_file(heard[one.said.id], index, file)
            self.recent.replace(channel_id, heard[one.said.id])

    async def _learn_members(self, channel: object, heard: Iterable[Heard], facts: Facts, patience: Patience) -> None:
        """Asks for the roles of people whom Discord named without them, where a rule about a role could matter."""
        guild = getattr(channel, "guild", None)
        if guild is None or not any(rule.subject is Subject.ROLE for rule in facts.rules.rules):
            return
        unknown = {one.author.user_id for one in heard if not one.member and not one.said.double and not one.author.bot}
        unknown = {user_id for user_id in unknown if guild.get_member(user_id) is None}
        for user_id in sorted(user_id for user_id in unknown if (guild.id, user_id) not in self._members)[-MEMBERS:]:
            _make_room(self._members)
            try:
                self._members[guild.id, user_id] = actor_of(await patience.ask(guild.fetch_member(user_id), "a member"))
            except UnreadError as error:
                if not error.absent:
                    return
                self._members[guild.id, user_id] = None  # has left: no roles any more

    def _decide(self, heard: Sequence[Heard], channel: object, where: ChatPlace, facts: Facts) -> list[HistoryMessage]:
        known: dict[int, Decision] = {}
        guild = getattr(channel, "guild", None)
        side_talk = facts.options.value("side_talk")
        here = {one.said.id for one in heard}

        def decision(author: Actor, *, member: bool) -> Decision:
            if author.user_id not in known:
                known[author.user_id] = self._may_be_seen(author, guild, where, facts, member=member)
            return known[author.user_id]

        said = []
        for one in heard:
            quoted = one.said.quoted
            if quoted and (one.said.reply_to in here or not self._quotable(one, facts, decision, side_talk)):
                quoted = ""
            seen = decision(one.author, member=one.member)
            said.append(replace(one.said, seen=seen, quoted=quoted))
        return said

    def _quotable(self, one: Heard, facts: Facts, decision: object, side_talk: str) -> bool:
        """A quote shows somebody else's words: they must be visible for themselves."""
        author = one.quoted_author
        if author is None or one.said.reply_to in facts.marks.dropped:
            return False
        if author.user_id == self._me:
            return True
        return not is_side_talk(one.said.quoted, side_talk) and bool(decision(author, member=True).allowed)  # type: ignore[operator]

    def _may_be_seen(
        self, author: Actor, guild: discord.Guild | None, where: ChatPlace, facts: Facts, *, member: bool
    ) -> Decision:
        """With the roles the author has now, not those of the day they wrote."""
        if author.user_id == self._me:
            return SHOWN
        present = guild.get_member(author.user_id) if guild is not None else None
        hidden = author.user_id in facts.hidden
        if present is not None:
            author = actor_of(present)
        elif guild is not None and not member:
            if (guild.id, author.user_id) in self._members:
                author = self._members[guild.id, author.user_id] or author
            elif not author.bot and any(rule.subject is Subject.ROLE for rule in facts.rules.rules):
                return UNKNOWN
        return decide(Request(actor=replace(author, hidden=hidden), action=Action.SEE, place=where), facts.rules)


def _make_room(kept: dict) -> None:  # type: ignore[type-arg]  # of whatever kind
    if len(kept) >= REMEMBERED:
        del kept[next(iter(kept))]
