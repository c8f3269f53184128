"""Which message gets a reply: what Discord tells is heard, judged, waited for, and handed on to be answered.

    bot.on_message -> Converser.heard -> bursts -> replying -> reading, translate -> chat.pipeline -> deliver

Every message is judged by `permissions.decide` before anything visible happens. In one place one reply is written at a
time; a reply that nobody has seen anything of yet gives way to newer words of the same people.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

import discord

from talkalike.chat.conversation import is_side_talk
from talkalike.chat.permissions import Action, Actor, Request, decide
from talkalike.discord_bot import triggers
from talkalike.discord_bot.answers import Answer
from talkalike.discord_bot.bursts import Bursts, Key
from talkalike.discord_bot.proxied import Proxied, Proxies
from talkalike.discord_bot.replying import Replying
from talkalike.discord_bot.services import Services
from talkalike.store.replies import ReplyState

RESTARTS = 3  # times a reply gives way to newer words; then it is finished first
REDO_SECONDS = 60.0  # an edit of the answered message within that time gets a new reply
CANCEL_SIGNS = frozenset({"❌", "✖️", "✖", "❎", "🛑", "⏹️", "⏹", "🇽", "x", "X"})


class Converser(Replying):
    """Answers. Belongs to one event loop; `close` ends everything and leaves open replies for the next start."""

    def __init__(self, client: discord.Client, services: Services) -> None:
        super().__init__(client, services)
        self._bursts = Bursts(self._burst_ended)
        self._proxies = Proxies()
        self._restarts: defaultdict[Key, int] = defaultdict(int)

    async def heard(self, message: discord.Message) -> None:
        """A new message, by whomever. Raises TalkalikeError where the store fails."""
        self.recent.add(message)
        if message.author.id == self.me or message.type not in triggers.SPOKEN:
            return
        pair = self._proxies.heard(message)
        if message.webhook_id is None:
            await self._judge(message)
        elif pair is not None:
            await self._heard_for(pair)

    async def _heard_for(self, pair: Proxied) -> None:
        """A webhook said it in a person's stead: it is judged as theirs, and answered once it stands there."""
        message, person = pair.posted, pair.original.author
        if not (await self.facts(self.place(message.channel))).options.value("proxied"):
            return
        self.recent.belongs(message, triggers.actor(person))
        message.author = person
        await self._judge(message, called=triggers.addressed(pair.original, self.me))

    async def _judge(self, message: discord.Message, *, called: bool = False) -> None:
        """`called`: it is known to address the double, whatever it says."""
        where = self.place(message.channel)
        facts = await self.facts(where)
        if is_side_talk(message.content, facts.options.value("side_talk")):
            return
        direct = called or where.server_id is None or triggers.addressed(message, self.me)
        key = (where.channel_id, message.author.id)
        direct = direct or self._bursts.waits(key) or any(one.key == key and not one.visible for one in self._answers)
        who = triggers.actor(message.author, hidden=facts.hidden)
        if not triggers.decide_talk(message, who, where, facts, is_addressed=direct).allowed:
            return
        key = key if direct else (where.channel_id, 0)
        for answer in self._unseen(key):
            if answer.trigger.id < message.id and self._restarts[key] < RESTARTS:
                self._restarts[key] += 1
                answer.stop(ReplyState.STALE)
        self._bursts.heard(key, message, wait=facts.options.value("wait_seconds"))

    async def edited(self, message: discord.Message) -> None:
        """A message reads differently. Within a minute its reply does too."""
        before = self.recent.text_of(message.channel.id, message.id)
        self.recent.edit(message)
        self.reader.changed(message.id)
        self._bursts.edited(message)
        if before is not None and before == self.recent.text_of(message.channel.id, message.id):
            return  # Discord added a preview of a link
        running = next((one for one in self._answers if one.trigger.id == message.id and one.prompt is None), None)
        done, ended = self._done.get(message.id, (None, 0.0))
        answer = running or (done if time.monotonic() - ended <= REDO_SECONDS else None)
        if message.edited_at is None:
            return
        if answer is None:
            await self._called_late(message)
            return
        if message.author.id != answer.asker.id:
            return
        facts = await self.facts(answer.where)
        who = triggers.actor(message.author, hidden=facts.hidden)
        side_talk = is_side_talk(message.content, facts.options.value("side_talk"))
        if not side_talk and triggers.decide_talk(message, who, answer.where, facts, is_addressed=True).allowed:
            await self._stop(answer, ReplyState.STALE)
            await self.respond(message, again=True)

    def typing(self, channel_id: int, user_id: int) -> None:
        """Somebody types."""
        self._bursts.typing(channel_id, user_id)

    async def deleted(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Messages are gone: replies to them that nobody has seen are not written. Raises TalkalikeError."""
        gone = set(message_ids)
        answered = {one.trigger.id for one in self._answers if one.visible}
        answered |= {trigger_id for trigger_id in gone & self._done.keys() if self._done[trigger_id][0].visible}
        proxied = self._proxies.deleted(gone, answered=answered)
        self.recent.remove(channel_id, gone)
        for message_id in gone:
            self.reader.changed(message_id)
            self._bursts.deleted(message_id)
            self._done.pop(message_id, None)
        for answer in tuple(self._answers):
            if answer.trigger.id in gone and not answer.visible:
                answer.stop(ReplyState.CANCELLED)
        for pair in proxied:
            await self._heard_for(pair)

    async def reacted(self, payload: discord.RawReactionActionEvent) -> None:
        """A sign of cancelling on a reply or on what it answers; all others cost nothing."""
        if payload.user_id == self.me or (payload.emoji.name or "") not in CANCEL_SIGNS:
            return
        self._bursts.cancelled(payload.message_id, payload.user_id)
        touched = [
            one for one in self._answers if payload.message_id == one.trigger.id or payload.message_id in one.posted()
        ]
        for answer in touched:
            who = self.actor(payload.member) if payload.member else Actor(user_id=payload.user_id)
            own = answer.asker.id == payload.user_id
            request = Request(actor=who, action=Action.CANCEL, place=answer.where, own=own)
            if decide(request, await self.rules(answer.where.server_id)).allowed:
                await self._stop(answer, ReplyState.CANCELLED)

    def channel_gone(self, channel_ids: list[int]) -> None:
        """Channels, threads or a whole server the bot can no longer see."""
        self.forget_channels(channel_ids)
        for channel_id in channel_ids:
            self._bursts.forget(channel_id)
        for answer in tuple(self._answers):
            if answer.where.channel_id in channel_ids and not answer.visible:
                answer.stop(ReplyState.CANCELLED)

    async def close(self) -> None:
        """Ends everything at once. Replies nobody has seen are left open in the store: the next start answers them."""
        self._bursts.close()
        tasks = [*self._telling, *(one.task for one in self._answers if one.task is not None)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _called_late(self, message: discord.Message) -> None:
        """Within a minute, an edit that calls the double counts as a new message, unless a later one had an answer."""
        assert message.edited_at is not None
        age = (message.edited_at - message.created_at).total_seconds()
        if age > REDO_SECONDS or not triggers.addressed(message, self.me):
            return
        answers = (*self._answers, *(done for done, _ in self._done.values()))
        author_id, channel_id = message.author.id, message.channel.id
        theirs = [one for one in answers if one.asker.id == author_id and one.where.channel_id == channel_id]
        if all(one.trigger.id < message.id for one in theirs):
            await self.heard(message)

    def _burst_ended(self, key: Key, message: discord.Message) -> None:
        if self._overloaded(key[0]):
            self._turn_away(message)
            return
        answer = Answer(trigger=message, asker=message.author, where=self.place(message.channel), key=key)

        def ended(_: asyncio.Task[None]) -> None:
            if answer.stopped is not ReplyState.STALE:
                self._restarts.pop(key, None)

        self._start(answer).add_done_callback(ended)

    def _unseen(self, key: Key) -> list[Answer]:
        return [one for one in self._answers if one.key == key and not one.visible]
