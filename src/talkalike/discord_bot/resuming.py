"""After a restart: replies that the last process did not finish are answered anew, or counted as lost."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import discord

from talkalike.discord_bot import triggers
from talkalike.discord_bot.asking import UnreadError, ask, messages
from talkalike.discord_bot.converse import Converser
from talkalike.discord_bot.markers import is_marker, is_notice
from talkalike.errors import TalkalikeError
from talkalike.replying.session import end_as_lost
from talkalike.store.replies import ReplyRow

LOST = "The bot was restarted while the reply was written."
LOOK_AHEAD = 100  # messages after the trigger among which a part of the reply may stand: as many as one request tells

_log = logging.getLogger(__name__)


async def answer_unfinished(converser: Converser, rows: tuple[ReplyRow, ...]) -> None:
    """Ends each as lost; where people have seen nothing of it and it is still of use, another one is begun."""
    for row in rows:
        await end_as_lost(converser.services.store, row.id, LOST)
        age = (datetime.now(UTC) - row.began_at).total_seconds()
        if row.messages or row.test or age > converser.services.settings.stale_after:
            continue
        try:
            trigger = await _trigger(converser, row)
            if trigger is not None:
                converser.answer_again(trigger)
        except UnreadError as error:
            _log.info("The message %s is not answered after the restart: %s", row.trigger_id, error)
        except TalkalikeError as error:
            _log.error("The message %s is not answered after the restart: %s", row.trigger_id, error)


async def _trigger(converser: Converser, row: ReplyRow) -> discord.Message | None:
    """The message to be answered, if its author may still have an answer and has none."""
    client = converser.client
    channel = client.get_channel(row.channel_id) or await ask(client.fetch_channel(row.channel_id), "a channel")
    if not isinstance(channel, discord.abc.Messageable):
        return None
    message = await ask(channel.fetch_message(row.trigger_id), "the message to be answered")
    where = converser.places.place(channel)
    facts = await converser.places.facts(where)
    who = triggers.actor(await with_roles(message), hidden=facts.hidden)
    if not triggers.decide_talk(message, who, where, facts, is_addressed=True).allowed:
        return None
    me = converser.me
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
