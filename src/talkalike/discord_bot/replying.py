"""The way of one reply: admitted, begun in the store, in line, written, accounted for.

In one place one reply is written at a time. Whatever happens, the place is freed and the reply's end is in the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import discord

from talkalike.chat.limits import refusal
from talkalike.discord_bot import rights, triggers
from talkalike.discord_bot.answers import Answer, Outcome, Running, Writing, ending
from talkalike.discord_bot.asking import UNREACHABLE
from talkalike.discord_bot.buttons import ReplyButtons
from talkalike.discord_bot.deliver import Delivery, DeliveryLostError
from talkalike.discord_bot.disclosure import asks_what_it_is, disclosure
from talkalike.discord_bot.ledger import Ledger
from talkalike.discord_bot.line import Line
from talkalike.discord_bot.lookups import Lookups
from talkalike.discord_bot.markers import spoken_by
from talkalike.discord_bot.notices import Notices
from talkalike.discord_bot.pace import Pace
from talkalike.discord_bot.rate import Rate
from talkalike.discord_bot.redo import Rewrite
from talkalike.discord_bot.rights import Right
from talkalike.discord_bot.services import Services
from talkalike.discord_bot.triggers import Facts
from talkalike.errors import TalkalikeError
from talkalike.store import replies
from talkalike.store.replies import Beginning, ReplyState

REMEMBERED = 2_000
OPTED_OUT = (
    "You opted out of being seen by me, so I can't read what you write and don't answer it. "
    "`/privacy` changes that whenever you like."
)

_log = logging.getLogger(__name__)


class Replying(Lookups):
    """Writes replies, whoever asked for them. Belongs to one event loop."""

    def __init__(self, client: discord.Client, services: Services) -> None:
        super().__init__(client, services)
        settings = services.settings
        self._line = Line(at_once=settings.at_once, max_waiting=settings.max_waiting)
        self._pace = Pace()
        self._notices = Notices()
        self._answers: set[Answer] = set()
        self._rate = Rate()
        self._silenced: dict[int, Right | None] = {}  # by channel: the right whose lack was noted in the log
        self._done: OrderedDict[int, tuple[Answer, float]] = OrderedDict()  # by trigger: the reply, and when it ended
        self._known_dms: set[int] = set()
        self._resting = 0  # replies that wait for their channel's rate
        self._telling: set[asyncio.Task[Any]] = set()
        self.turned_away = 0  # messages, since the start, because too many were waiting

    async def respond(
        self, message: discord.Message, *, again: bool = False, prompt: str | None = None, test: bool = False
    ) -> int | None:
        """Answers a message now; returns the reply's id when it has ended, None where there was to be none.

        `again`: it was answered before, and the new reply takes the place of the old one. `prompt` stands in for its
        words. Whoever calls has asked the rules.
        """
        where = self.place(message.channel)
        said_by = spoken_by(message, self.me)
        asker = discord.Object(said_by[0], type=discord.User) if said_by else message.author
        answer = Answer(trigger=message, asker=asker, where=where, again=again, test=test, prompt=prompt)
        if again:
            for running in [one for one in self._answers if one.trigger.id == message.id]:
                await self._stop(running, ReplyState.CANCELLED)
            answer.old_messages = await self._messages_of(message)
        await asyncio.wait({self._start(answer)})
        return answer.reply_id

    def answer_again(self, message: discord.Message) -> None:
        """Begins a new reply to a message whose first one was lost; nobody waits for it."""
        self._start(Answer(trigger=message, asker=message.author, where=self.place(message.channel), again=True))

    async def cancel(self, reply_id: int, *, by: int) -> bool:
        """Stops a reply that waits or is being written; what is posted stays. `by` may do so: the caller has asked."""
        answer = self._by_id(reply_id)
        if answer is None:
            return False
        _log.info("Reply %s was cancelled by %s.", reply_id, by)
        await self._stop(answer, ReplyState.CANCELLED)
        return True

    def position(self, reply_id: int) -> int | None:
        """The place in the line (1 is next), 0 while it is written, None when it is neither."""
        return self._line.position(reply_id)

    def running(self) -> tuple[Running, ...]:
        """The replies being written."""
        return tuple(
            one.as_running() for one in self._answers if one.reply_id is not None and self.position(one.reply_id) == 0
        )

    def queue_length(self) -> int:
        """How many replies wait for their turn."""
        return len(self._line)

    async def settle(self) -> None:
        """Writes down what the replies under way saw and sent, so that deleting somebody's data finds it."""
        for answer in tuple(self._answers):
            if answer.ledger is not None:
                await answer.ledger.settle()

    def _overloaded(self, channel_id: int) -> bool:
        """More replies are on their way than the line can take, so one more need not trouble the store first."""
        settings = self.services.settings
        coming = len(self._answers) - self._resting
        return coming >= settings.at_once + settings.max_waiting or self._line.full(channel_id)

    def _turn_away(self, message: discord.Message) -> None:
        """No answer, and nothing in the store: the channel is told in one line."""
        self.turned_away += 1
        telling = asyncio.get_running_loop().create_task(self._notices.turned_away(message, self._line.turned_away()))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def _start(self, answer: Answer) -> asyncio.Task[None]:
        answer.task = asyncio.get_running_loop().create_task(self._answer(answer))
        self._answers.add(answer)
        answer.task.add_done_callback(lambda _: self._answers.discard(answer))  # even if it was stopped before it ran
        answer.task.add_done_callback(_log_failure)
        return answer.task

    async def _answer(self, answer: Answer) -> None:
        """One reply from beginning to end. However it ends, its place is freed and its end is in the store."""
        outcome = Outcome()
        try:
            facts = await self.facts(answer.where, answer.asker.id)
            if not await self._admitted(answer, facts):
                return
            await self._begin(answer, facts)
            if answer.reply_id is not None:
                async with self._turn(answer) as waited:
                    if waited:
                        facts = await self.facts(answer.where, answer.asker.id)  # much may have changed
                    if waited and not self._still_allowed(answer, facts):
                        outcome.state = ReplyState.CANCELLED
                    else:
                        await self._write(answer, facts, outcome)
        except asyncio.CancelledError:
            if answer.stopped is None:
                if not answer.visible:
                    answer.reply_id = None  # the process ends: the next one answers
                outcome.state, outcome.problem = ReplyState.LOST, "The bot was shut down while the reply was written."
                raise
            outcome.state = answer.stopped
        except DeliveryLostError as error:
            outcome.state, outcome.problem = ReplyState.FAILED, str(error)
        except TalkalikeError as error:
            outcome.state, outcome.problem = ReplyState.FAILED, str(error)
            await self._notices.trouble(answer.trigger, error)
            await self._disclose(answer)
        except UNREACHABLE as error:
            outcome.state, outcome.problem = ReplyState.FAILED, f"Discord could not be reached: {error}"
        finally:
            self._answers.discard(answer)
            if answer.reply_id is not None:
                await self._account(answer, outcome)

    async def _admitted(self, answer: Answer, facts: Facts) -> bool:
        """False where there is to be no reply, which is told once a day. Waits where the channel has had many."""
        if not self._may_write(answer):
            return False
        if answer.asker.id in facts.hidden and not answer.test:
            await self._notices.once_a_day(answer.trigger, "hidden", OPTED_OUT)
            return False
        if words := refusal(facts.options.budget(), facts.used):
            await self._disclose(answer)
            await self._notices.once_a_day(answer.trigger, "budget", words)
            return False
        await self._keep_to_rate(answer.where.channel_id, facts.options.value("replies_per_minute"))
        return self._may_write(answer)  # the rights may have changed while it rested

    def _may_write(self, answer: Answer) -> bool:
        """Whether Discord lets the bot write there; if not, the log says so, once."""
        channel_id, right = answer.where.channel_id, rights.silencing(answer.trigger.channel)
        if right is not None and self._silenced.get(channel_id) is not right:
            _log.warning("Nobody is answered in the channel %s: the bot lacks %s there.", channel_id, right.name)
        self._silenced[channel_id] = right
        if len(self._silenced) > REMEMBERED:
            del self._silenced[next(iter(self._silenced))]
        return right is None

    def _still_allowed(self, answer: Answer, facts: Facts) -> bool:
        """A message was judged when it came; for what a command asked for, the command answers."""
        if not self._may_write(answer):
            return False
        if answer.key is None:
            return True
        who = triggers.actor(answer.trigger.author, hidden=facts.hidden)
        direct = answer.key[1] != 0
        return triggers.decide_talk(answer.trigger, who, answer.where, facts, is_addressed=direct).allowed

    async def _keep_to_rate(self, channel_id: int, each_minute: int) -> None:
        """Waits until the channel may have its next reply; what is said meanwhile replaces this one."""
        while wait := self._rate.until_next(channel_id, each_minute):
            self._resting += 1
            try:
                await asyncio.sleep(wait)
            finally:
                self._resting -= 1

    async def _begin(self, answer: Answer, facts: Facts) -> None:
        """Claims the message; `reply_id` stays None where it has been answered, or is being answered."""
        where = answer.where
        answer.model = self.model(facts)
        beginning = Beginning(
            trigger_id=answer.trigger.id,
            channel_id=where.channel_id,
            server_id=where.server_id,
            thread=where.parent_id is not None,
            asker_id=answer.asker.id,
            model=answer.model,
            sampling=asdict(facts.options.sampling()),
            again=answer.again,
            test=answer.test,
        )
        claim = asyncio.ensure_future(self.services.store.together(replies.begin_all, beginning))
        try:
            answer.reply_id = await asyncio.shield(claim)
        except asyncio.CancelledError:
            answer.reply_id = await claim  # the store finishes what it began; its end must be stored too
            raise

    @asynccontextmanager
    async def _turn(self, answer: Answer) -> AsyncGenerator[bool, None]:
        """Waits in the line, and says whether it had to; who waits long is told the place."""
        channel_id, reply_id = answer.where.channel_id, answer.reply_id or 0
        telling: asyncio.Task[None] | None = None
        if not self._line.free(channel_id):
            told = self._notices.place_in_line(answer.trigger, reply_id, self.position)
            telling = asyncio.get_running_loop().create_task(told)
        try:
            async with self._line.turn(channel_id, reply_id):
                if telling is not None:
                    telling.cancel()
                yield telling is not None
        finally:
            if telling is not None:
                telling.cancel()

    async def _write(self, answer: Answer, facts: Facts, outcome: Outcome) -> None:
        """Reads the channel, lets the model write, shows it. Raises TalkalikeError and discord's HTTPException."""
        channel, where, trigger = answer.trigger.channel, answer.where, answer.trigger
        said = await self.reader.read(channel, where, facts, trigger=trigger)
        if answer.prompt is not None:
            said = [answer.as_said(one) if one.id == trigger.id else one for one in said]
        pipeline, talk = await self.prepare(where, facts, said, trigger=trigger)
        buttons = ReplyButtons(answer.reply_id or 0)
        delivery = Delivery(
            channel,
            pace=self._pace,
            reference=trigger,
            view=buttons,
            stream=facts.options.value("stream"),
            upload_cap=self.services.settings.upload_cap,
        )
        showing: Any = delivery
        if answer.old_messages:
            showing = Rewrite(channel, delivery, old=answer.old_messages, pace=self._pace)
        answer.showing = showing
        await self._greet(answer)
        answer.ledger = Ledger(self.services.store, answer.reply_id or 0)
        may_react = rights.may(channel, rights.REACTIONS, rights.HISTORY)
        writing = Writing(answer, outcome=outcome, showing=showing, buttons=buttons, facts=facts, may_react=may_react)
        await writing.write(pipeline, talk, {one.key: one.author_id for one in said})
        self.remember(where.channel_id, talk.seen)
        await self._disclose(answer)

    async def _disclose(self, answer: Answer) -> None:
        """Whoever asks what it is gets the plain answer, once, whatever became of the model's."""
        asked = asks_what_it_is(answer.prompt if answer.prompt is not None else answer.trigger.content)
        if asked and not answer.disclosed:
            answer.disclosed = True
            await self._notices.say(answer.trigger, disclosure(self.services.settings.owner_name))

    async def _greet(self, answer: Answer) -> None:
        """Who writes directly for the first time is told first what answers them."""
        channel_id = answer.where.channel_id
        if answer.where.server_id is not None or channel_id in self._known_dms:
            return
        if len(self._known_dms) >= REMEMBERED:
            self._known_dms.clear()
        self._known_dms.add(channel_id)
        if len(await self.services.store.run(replies.recent, channel_id, 2)) <= 1:
            told = await self._notices.say(answer.trigger, disclosure(self.services.settings.owner_name))
            answer.disclosed = told is not None

    async def _account(self, answer: Answer, outcome: Outcome) -> None:
        """The end of a reply that was begun, in the store."""
        self._done[answer.trigger.id] = (answer, time.monotonic())
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        ledger = answer.ledger or Ledger(self.services.store, answer.reply_id or 0)
        await ledger.end(ending(outcome))
        if not self.client.is_closed():
            self.client.dispatch("reply_ended", answer, outcome)

    async def _messages_of(self, trigger: discord.Message) -> tuple[int, ...]:
        """The messages of the last reply to it that had any."""
        done, _ = self._done.get(trigger.id, (None, 0.0))
        if done is not None and done.message_ids:
            return tuple(done.message_ids)
        rows = await self.services.store.run(replies.recent, trigger.channel.id, 50)
        row = next((one for one in rows if one.trigger_id == trigger.id and one.messages), None)
        return tuple(one.message_id for one in row.messages) if row else ()

    async def _stop(self, answer: Answer, why: ReplyState) -> None:
        """Stops it, and waits until it has let go of everything."""
        answer.stop(why)
        if answer.task is not None and answer.task is not asyncio.current_task():
            await asyncio.wait({answer.task})

    def _by_id(self, reply_id: int) -> Answer | None:
        return next((one for one in self._answers if one.reply_id == reply_id), None)


def _log_failure(task: asyncio.Task[None]) -> None:
    """What nobody expected: the reply has ended as failed, and here is why."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A reply failed.", exc_info=error)
