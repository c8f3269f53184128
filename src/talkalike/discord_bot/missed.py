"""What was said while the bot could not hear it: after a start or a lost session, fresh messages are heard late.

    bot.on_connect -> Missed.new_session    what was heard so far is where looking back ends
    bot.on_ready   -> Missed.catch_up       the newest messages of known places -> ConversationHandler.on_message

A resumed session needs none of this, for Discord tells then what was missed. Looked at are only places with replies in
the store, and each message is judged like a new one; the store's claim keeps it from being answered twice.
Replies that the last process did not finish are answered anew after a start, or counted as lost.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import discord

from talkalike.chat.permissions import Access, ChatPlace, access_of
from talkalike.discord_bot.asking import UnreadError, ask, messages
from talkalike.discord_bot.conversations import CANCEL_SIGNS, ConversationHandler
from talkalike.discord_bot.markers import is_marker, is_notice
from talkalike.discord_bot.places import actor_of, decide_talk, is_addressed
from talkalike.errors import TalkalikeError
from talkalike.replying.session import end_as_lost
from talkalike.store import replies
from talkalike.store.replies import ReplyRow

PLACES = 100  # with the newest replies; each of them may cost a request
MESSAGES = 50  # the newest ones of a place
REMEMBERED = 10_000  # channels

LOST = "The bot was restarted while the reply was written."
LOOK_AHEAD = 100  # messages after the trigger among which a part of the reply may stand: as many as one request tells

_log = logging.getLogger(__name__)


class Missed:
    """Remembers what was heard last in each channel, and catches up. Belongs to one event loop."""

    def __init__(self, conversations: ConversationHandler) -> None:
        self._conversations = conversations
        self._heard: OrderedDict[int, int] = OrderedDict()  # channel -> the newest message heard
        self._before: dict[int, int] | None = None  # the same, when a session began that was not caught up with yet

    def note_heard(self, message: discord.Message) -> None:
        """Notes that a message was heard, or was looked at later."""
        channel_id = message.channel.id
        self._heard[channel_id] = max(message.id, self._heard.pop(channel_id, 0))
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    def new_session(self) -> None:
        """From here on Discord tells what happens; between this and what was heard before, something may be missing."""
        self._before = {**self._heard, **(self._before or {})}

    async def catch_up(self) -> None:
        """Hears what is younger than the settings say and was not heard. Trouble in a place costs only that place."""
        before, self._before = self._before, None
        services = self._conversations.services
        if before is None or not services.settings.stale_after:
            return
        oldest = discord.utils.utcnow() - timedelta(seconds=services.settings.stale_after)
        oldest_id = discord.utils.time_snowflake(oldest)
        try:
            places = await services.store.run(replies.answered_channels, PLACES)
        except TalkalikeError as error:
            _log.error("What was missed is not answered: %s", error)
            return
        for channel_id in places:
            try:
                await self._look_at(channel_id, after=max(oldest_id, before.get(channel_id, 0)))
            except UnreadError as error:
                _log.info("What was missed in the channel %s is not answered: %s", channel_id, error)
            except TalkalikeError as error:
                _log.error("What was missed in the channel %s is not answered: %s", channel_id, error)

    async def _look_at(self, channel_id: int, *, after: int) -> None:
        client = self._conversations.client
        channel = client.get_channel(channel_id) or await ask(client.fetch_channel(channel_id), "a channel")
        if not isinstance(channel, discord.abc.Messageable):
            return
        if channel.guild is not None and (getattr(channel, "last_message_id", None) or 0) <= after:
            return  # nothing new, and Discord need not be asked for it
        read: list[discord.Message] = []
        for message in await messages(channel, "what was missed", limit=MESSAGES):
            if message.id <= after or is_marker(message, self._conversations.me):
                break
            read.append(message)
        if read:
            await self._hear(read[::-1], self._conversations.places.place(channel))

    async def _hear(self, read: Sequence[discord.Message], where: ChatPlace) -> None:
        """Answers those of the messages (oldest first) that need it."""
        store = self._conversations.services.store
        me = self._conversations.me
        facts = await self._conversations.places.facts(where)
        open_to_all = where.own_thread or access_of(where, facts.rules)[0] is Access.OPEN
        known = _Known(
            referenced=frozenset(
                one.reference.message_id or 0 for one in read if one.author.id == me and one.reference
            ),
            triggers=await store.run(replies.answered_messages, where.channel_id, MESSAGES),
        )
        people: dict[int, discord.User | discord.Member] = {}  # who talks to the bot
        meant: list[discord.Message] = []
        for message in read:
            self.note_heard(message)
            author_id = message.author.id
            direct = where.server_id is None or is_addressed(message, me)
            if author_id == me or message.webhook_id is not None or not (direct or open_to_all or author_id in people):
                continue
            if known.is_answered(message, direct=direct) or _withdrawn(message):
                continue
            try:
                people[author_id] = people.get(author_id) or await with_roles(message)
            except UnreadError as error:  # has left, perhaps: costs nobody else their answer
                _log.info("The message %s is not answered: %s", message.id, error)
                continue
            meant.append(message)
        for message in meant:  # one right after the other, so that a burst stays one
            message.author = people[message.author.id]
            await self._conversations.on_message(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The replies of a place. `referenced`: messages that one of them refers to; `triggers`: (message, who asked)."""

    referenced: frozenset[int]
    triggers: Sequence[tuple[int, int]]

    def is_answered(self, message: discord.Message, *, direct: bool) -> bool:
        """Whether it was, or newer words of the same person: in an open place, of anybody."""
        return message.id in self.referenced or any(
            trigger_id >= message.id and (asker_id == message.author.id or not direct)
            for trigger_id, asker_id in self.triggers
        )


def _withdrawn(message: discord.Message) -> bool:
    """A sign of cancelling stands under it; whose it is costs a request, and it is hardly ever somebody else's."""
    return any(str(reaction.emoji) in CANCEL_SIGNS for reaction in message.reactions)


async def answer_unfinished(conversations: ConversationHandler, rows: tuple[ReplyRow, ...]) -> None:
    """Ends each as lost; where people have seen nothing of it and it is still of use, another one is begun."""
    for row in rows:
        await end_as_lost(conversations.services.store, row.id, LOST)
        age = (datetime.now(UTC) - row.began_at).total_seconds()
        if row.messages or row.test or age > conversations.services.settings.stale_after:
            continue
        try:
            trigger = await _trigger(conversations, row)
            if trigger is not None:
                conversations.answer_again(trigger)
        except UnreadError as error:
            _log.info("The message %s is not answered after the restart: %s", row.trigger_id, error)
        except TalkalikeError as error:
            _log.error("The message %s is not answered after the restart: %s", row.trigger_id, error)


async def _trigger(conversations: ConversationHandler, row: ReplyRow) -> discord.Message | None:
    """The message to be answered, if its author may still have an answer and has none."""
    client = conversations.client
    channel = client.get_channel(row.channel_id) or await ask(client.fetch_channel(row.channel_id), "a channel")
    if not isinstance(channel, discord.abc.Messageable):
        return None
    message = await ask(channel.fetch_message(row.trigger_id), "the message to be answered")
    where = conversations.places.place(channel)
    facts = await conversations.places.facts(where)
    who = actor_of(await with_roles(message), hidden=facts.hidden)
    if not decide_talk(message, who, where, facts, is_addressed=True).allowed:
        return None
    me = conversations.me
    for later in await messages(channel, "what was said since", limit=LOOK_AHEAD, after=message):
        mine = later.author.id == me and not is_notice(later, me) and not is_marker(later, me)
        answers = later.reference is None or later.reference.message_id == message.id
        if mine and answers:
            return None  # it stands there, though nobody noted it
    return message


async def with_roles(message: discord.Message) -> discord.User | discord.Member:
    """Who wrote it: a message that was read instead of heard does not say which roles they have. Raises UnreadError."""
    if message.guild is None or isinstance(message.author, discord.Member):
        return message.author
    member = message.guild.get_member(message.author.id)
    if member is None:
        member = await ask(message.guild.fetch_member(message.author.id), "a member")
    return member
