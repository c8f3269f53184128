"""Which message gets a reply: what Discord tells is heard, judged, waited for, and handed on to be answered.

    bot.on_message -> ConversationHandler.on_message -> bursts -> replying.session -> answer -> chat.pipeline -> display

Every message is judged by `permissions.decide` before anything visible happens. In one place one reply is written at a
time; a reply that nobody has seen anything of yet gives way to newer words of the same people.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import discord

from talkalike.chat.history import is_side_talk
from talkalike.chat.permissions import Action, Actor, Request, decide
from talkalike.discord_bot.answer import Answer, Desk
from talkalike.discord_bot.bursts import Bursts, Key
from talkalike.discord_bot.contexts import Contexts
from talkalike.discord_bot.markers import spoken_by
from talkalike.discord_bot.notices import Notices
from talkalike.discord_bot.places import SPOKEN, Places, actor_of, decide_talk, is_addressed
from talkalike.discord_bot.proxied import Proxied, Proxies
from talkalike.discord_bot.services import Services
from talkalike.replying.queue import WaitingLine
from talkalike.replying.session import OngoingReply, ReplySession
from talkalike.store import replies
from talkalike.store.replies import ReplyState

RESTARTS = 3  # times a reply gives way to newer words; then it is finished first
REDO_SECONDS = 60.0  # an edit of the answered message within that time gets a new reply
CANCEL_SIGNS = frozenset({"❌", "✖️", "✖", "❎", "🛑", "⏹️", "⏹", "🇽", "x", "X"})

_log = logging.getLogger(__name__)


class ConversationHandler:
    """Decides which messages get a reply, and begins the replies. Belongs to one event loop.

    `close` ends everything and leaves open replies for the next start.

    `reply_buttons` and `cancel_button` make what sits under a reply and under the notice of a place in the line.
    """

    def __init__(
        self,
        client: discord.Client,
        services: Services,
        *,
        reply_buttons: Callable[[int], Any],
        cancel_button: Callable[[int], discord.ui.View],
    ) -> None:
        if client.user is None:
            raise RuntimeError("The client has to be logged in.")
        settings = services.settings
        self.client = client
        self.services = services
        self.me = client.user.id
        self.places = Places(services, me=self.me)
        self.contexts = Contexts(services, self.places, fetch=client.http.get_from_cdn)
        self._notices = Notices(cancel_button)
        self._session: ReplySession[Answer] = ReplySession(
            WaitingLine(at_once=settings.at_once, max_waiting=settings.max_waiting)
        )
        self._desk = Desk(
            client=client,
            services=services,
            places=self.places,
            contexts=self.contexts,
            notices=self._notices,
            buttons=reply_buttons,
        )
        self._bursts = Bursts(self._on_burst_end)
        self._proxies = Proxies()
        self._restarts: defaultdict[Key, int] = defaultdict(int)
        self._telling: set[asyncio.Task[Any]] = set()
        self.turned_away = 0  # messages, since the start, because too many were waiting

    # ------------------------------------------------------------------------------------------- what Discord tells
    async def on_message(self, message: discord.Message) -> None:
        """Handles a new message of anybody. Raises TalkalikeError where the store fails."""
        self.contexts.recent.add(message)
        if message.author.id == self.me or message.type not in SPOKEN:
            return
        pair = self._proxies.add(message)
        if message.webhook_id is None:
            await self._judge(message)
        elif pair is not None:
            await self._on_proxied(pair)

    async def _on_proxied(self, pair: Proxied) -> None:
        """Judges what a webhook posted for a person as that person's message."""
        message, person = pair.posted, pair.original.author
        if not (await self.places.facts(self.places.place(message.channel))).options.value("proxied"):
            return
        self.contexts.recent.assign(message, actor_of(person))
        message.author = person
        await self._judge(message, called=is_addressed(pair.original, self.me))

    async def _judge(self, message: discord.Message, *, called: bool = False) -> None:
        """Decides whether a message gets an answer. `called`: it is known to address the double."""
        where = self.places.place(message.channel)
        facts = await self.places.facts(where)
        if is_side_talk(message.content, facts.options.value("side_talk")):
            return
        direct = called or where.server_id is None or is_addressed(message, self.me)
        key = (where.channel_id, message.author.id)
        direct = direct or self._bursts.is_waiting(key) or bool(self._unseen(key))
        who = actor_of(message.author, hidden=facts.hidden)
        if not decide_talk(message, who, where, facts, is_addressed=direct).allowed:
            return
        key = key if direct else (where.channel_id, 0)
        for reply in self._unseen(key):
            if reply.face.trigger.id < message.id and self._restarts[key] < RESTARTS:
                self._restarts[key] += 1
                reply.stop(ReplyState.STALE)
        self._bursts.add(key, message, wait=facts.options.value("wait_seconds"))

    async def on_edit(self, message: discord.Message) -> None:
        """Handles an edit: within a minute the message gets a new reply."""
        before = self.contexts.recent.text_of(message.channel.id, message.id)
        self.contexts.recent.edit(message)
        self.contexts.reader.on_change(message.id)
        self._bursts.on_edit(message)
        if before is not None and before == self.contexts.recent.text_of(message.channel.id, message.id):
            return  # Discord added a preview of a link
        await self.contexts.forget_saved([message.channel.id])
        answering = [one for one in self._session.replies if one.face.trigger.id == message.id]
        running = next((one for one in answering if one.face.prompt is None), None)
        done, ended = self._session.last_ended(message.id) or (None, 0.0)
        reply = running or (done if time.monotonic() - ended <= REDO_SECONDS else None)
        if message.edited_at is None:
            return
        if reply is None:
            await self._called_late(message)
            return
        answer = reply.face
        if message.author.id != answer.asker.id:
            return
        facts = await self.places.facts(answer.where)
        who = actor_of(message.author, hidden=facts.hidden)
        side_talk = is_side_talk(message.content, facts.options.value("side_talk"))
        if not side_talk and decide_talk(message, who, answer.where, facts, is_addressed=True).allowed:
            await self._session.stop(reply, ReplyState.STALE)
            await self.respond(message, again=True)

    def on_typing(self, channel_id: int, user_id: int) -> None:
        """Waits longer for somebody who is typing."""
        self._bursts.on_typing(channel_id, user_id)

    async def on_delete(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Cancels replies to deleted messages that nobody has seen yet. Raises TalkalikeError."""
        gone = set(message_ids)
        known = (*self._session.replies, *self._session.recently_ended())
        answered = {one.face.trigger.id for one in known if one.visible}
        proxied = self._proxies.on_delete(gone, answered=answered)
        self.contexts.recent.remove(channel_id, gone)
        for message_id in gone:
            self.contexts.reader.on_change(message_id)
            self._bursts.on_delete(message_id)
            self._session.forget(message_id)
        for reply in tuple(self._session.replies):
            if reply.face.trigger.id in gone and not reply.visible:
                reply.stop(ReplyState.CANCELLED)
        await self.contexts.pictures.on_delete(gone)
        await self.contexts.forget_saved([channel_id])
        for pair in proxied:
            await self._on_proxied(pair)

    async def on_reaction(self, payload: discord.RawReactionActionEvent) -> None:
        """Cancels a reply when it, or what it answers, gets a sign of cancelling."""
        if payload.user_id == self.me or (payload.emoji.name or "") not in CANCEL_SIGNS:
            return
        self._bursts.cancel(payload.message_id, payload.user_id)
        message_id = payload.message_id
        touched = [
            one for one in self._session.replies if message_id == one.face.trigger.id or message_id in one.face.posted()
        ]
        for reply in touched:
            answer = reply.face
            who = self.places.actor(payload.member) if payload.member else Actor(user_id=payload.user_id)
            own = answer.asker.id == payload.user_id
            request = Request(actor=who, action=Action.CANCEL, place=answer.where, own=own)
            if decide(request, await self.places.rules(answer.where.server_id)).allowed:
                await self._session.stop(reply, ReplyState.CANCELLED)

    async def on_channel_gone(self, channel_ids: list[int]) -> None:
        """Forgets channels, threads or a whole server that the bot can no longer see."""
        for channel_id in channel_ids:
            self._bursts.forget(channel_id)
        for reply in tuple(self._session.replies):
            if reply.face.where.channel_id in channel_ids and not reply.visible:
                reply.stop(ReplyState.CANCELLED)
        await self.contexts.forget_channels(channel_ids)

    # ------------------------------------------------------------------------------------------- what people ask for
    async def respond(self, message: discord.Message, *, again: bool = False, prompt: str | None = None) -> int | None:
        """Answers a message now; returns the reply's id when it has ended, None where there was to be none.

        `again`: it was answered before, and the new reply takes the place of the old one. `prompt` stands in for its
        words. Whoever calls has asked the rules.
        """
        said_by = spoken_by(message, self.me)
        asker = discord.Object(said_by[0], type=discord.User) if said_by else message.author
        answer = self._answer(message, asker=asker, again=again, prompt=prompt)
        if again:
            for running in [one for one in self._session.replies if one.face.trigger.id == message.id]:
                await self._session.stop(running, ReplyState.CANCELLED)
            answer.old_messages = await self._messages_of(message)
        await asyncio.wait({self._session.start(OngoingReply(face=answer))})
        return answer.reply_id

    def answer_again(self, message: discord.Message) -> None:
        """Begins a new reply to a message whose first one was lost; nobody waits for it."""
        self._session.start(OngoingReply(face=self._answer(message, again=True)))

    async def cancel(self, reply_id: int, *, by: int) -> bool:
        """Stops a reply that waits or is being written; what is posted stays. `by` may do so: the caller has asked."""
        reply = self._session.by_id(reply_id)
        if reply is None:
            return False
        _log.info("Reply %s was cancelled by %s.", reply_id, by)
        await self._session.stop(reply, ReplyState.CANCELLED)
        return True

    def position(self, reply_id: int) -> int | None:
        """The place in the line (1 is next), 0 while it is written, None when it is neither."""
        return self._session.line.position(reply_id)

    def turn(self, place: int, number: int) -> AbstractAsyncContextManager[None]:
        """A place in the same line for something else that a model writes. Raises LineFullError on entry."""
        return self._session.line.turn(place, number)

    def running(self) -> tuple[Answer, ...]:
        """The replies that are being written now."""
        return tuple(one.face for one in self._session.being_written())

    def queue_length(self) -> int:
        """How many replies wait for their turn."""
        return len(self._session.line)

    async def settle(self) -> None:
        """Writes down what the replies under way saw and sent, so that deleting somebody's data finds it."""
        await self._session.settle()

    async def close(self) -> None:
        """Ends everything at once. Replies nobody has seen are left open in the store: the next start answers them."""
        self._bursts.close()
        while tasks := [task for task in self._tasks() if not task.done()]:  # one that ends may let another begin
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # -------------------------------------------------------------------------------------------------------- inside
    def _tasks(self) -> list[asyncio.Task[Any]]:
        return [*self._telling, *(one.task for one in self._session.replies if one.task is not None)]

    def _answer(self, message: discord.Message, *, asker: Any = None, **how: Any) -> Answer:
        where = self.places.place(message.channel)
        return Answer(desk=self._desk, trigger=message, asker=asker or message.author, where=where, **how)

    async def _called_late(self, message: discord.Message) -> None:
        """Within a minute, an edit that calls the double counts as a new message, unless a later one had an answer."""
        assert message.edited_at is not None
        age = (message.edited_at - message.created_at).total_seconds()
        if age > REDO_SECONDS or not is_addressed(message, self.me):
            return
        answers = [one.face for one in (*self._session.replies, *self._session.recently_ended())]
        author_id, channel_id = message.author.id, message.channel.id
        theirs = [one for one in answers if one.asker.id == author_id and one.where.channel_id == channel_id]
        if all(one.trigger.id < message.id for one in theirs):
            await self.on_message(message)

    def _on_burst_end(self, key: Key, message: discord.Message) -> None:
        if self._is_overloaded(key[0]):
            self._turn_away(message)
            return
        reply = OngoingReply(face=self._answer(message, key=key))

        def forget_restarts(_: asyncio.Task[None]) -> None:
            if reply.stopped is not ReplyState.STALE:
                self._restarts.pop(key, None)

        self._session.start(reply).add_done_callback(forget_restarts)

    def _is_overloaded(self, channel_id: int) -> bool:
        """More replies are on their way than the line can take, so one more need not trouble the store first."""
        settings = self.services.settings
        coming = len(self._session.replies) - self._desk.resting
        return coming >= settings.at_once + settings.max_waiting or self._session.line.full(channel_id)

    def _turn_away(self, message: discord.Message) -> None:
        """Tells the channel in one line that there is no answer; the store keeps nothing of it."""
        self.turned_away += 1
        words = self._notices.report_once(message, self._session.line.full_error())
        telling = asyncio.get_running_loop().create_task(words)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def _unseen(self, key: Key) -> list[OngoingReply[Answer]]:
        return [one for one in self._session.replies if one.face.key == key and not one.visible]

    async def _messages_of(self, trigger: discord.Message) -> tuple[int, ...]:
        """The messages of the last reply to it that had any."""
        done = self._session.last_ended(trigger.id)
        if done is not None and done[0].face.message_ids:
            return done[0].face.message_ids
        rows = await self.services.store.run(replies.recent, trigger.channel.id, 50)
        row = next((one for one in rows if one.trigger_id == trigger.id and one.messages), None)
        return tuple(one.message_id for one in row.messages) if row else ()
