"""What Discord does for one reply (`replying.session.Face`): notices, reading the channel, showing the reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol, Self

import discord

from talkalike.chat.conversation import Talk
from talkalike.chat.history import HistoryMessage
from talkalike.chat.options import refusal
from talkalike.chat.permissions import ChatPlace
from talkalike.discord_bot import rights
from talkalike.discord_bot.asking import UNREACHABLE
from talkalike.discord_bot.bursts import Key
from talkalike.discord_bot.contexts import Contexts
from talkalike.discord_bot.deliver import Delivery, DeliveryLostError
from talkalike.discord_bot.disclosure import asks_what_it_is, disclosure
from talkalike.discord_bot.notices import Notices
from talkalike.discord_bot.outbox import Pace
from talkalike.discord_bot.places import Places, actor_of, decide_talk
from talkalike.discord_bot.redo import Rewrite
from talkalike.discord_bot.rights import Right
from talkalike.discord_bot.services import Services
from talkalike.errors import TalkalikeError
from talkalike.replying.facts import Facts
from talkalike.replying.queue import Rate
from talkalike.replying.writing import ReplyInputs, ReplyJournal, ReplyOutcome
from talkalike.store import replies
from talkalike.store.recording import Sent, record_of
from talkalike.store.replies import Beginning

REMEMBERED = 2_000
OPTED_OUT = (
    "You opted out of being seen by me, so I can't read what you write and don't answer it. "
    "`/privacy` changes that whenever you like."
)
SHUT_DOWN = "The bot was shut down while the reply was written."

_log = logging.getLogger(__name__)


class Asker(Protocol):
    """Somebody of whom no more than the id has to be known."""

    @property
    def id(self) -> int: ...


class Buttons(Protocol):
    """What sits under a reply while it is written, and when it is done."""

    judging: bool

    def while_written(self) -> None: ...

    def when_done(self) -> Self: ...


@dataclass(slots=True, kw_only=True)
class Desk:
    """What all replies on Discord share. `buttons` makes those of a reply, by its id."""

    client: discord.Client
    services: Services
    places: Places
    contexts: Contexts
    notices: Notices
    buttons: Callable[[int], Buttons]
    pace: Pace = field(default_factory=Pace)
    rate: Rate = field(default_factory=Rate)
    resting: int = 0  # replies that wait for their channel's rate
    silenced: dict[int, Right | None] = field(default_factory=dict)  # by channel: the right noted as lacking in the log
    greeted: set[int] = field(default_factory=set)  # direct messages in which the disclosure was posted

    def may_write(self, channel: Any) -> bool:
        """Whether Discord lets the bot write there; if not, the log says so, once."""
        right = rights.silencing(channel)
        if right is not None and self.silenced.get(channel.id) is not right:
            _log.warning("Nobody is answered in the channel %s: the bot lacks %s there.", channel.id, right.name)
        self.silenced[channel.id] = right
        if len(self.silenced) > REMEMBERED:
            del self.silenced[next(iter(self.silenced))]
        return right is None


@dataclass(slots=True, eq=False, kw_only=True)
class Answer:
    """One reply. `again`: asked for anew; then `old_messages` are what it replaces. `prompt` stands in for the
    trigger's words.
    """

    desk: Desk
    trigger: discord.Message
    asker: Asker
    where: ChatPlace
    key: Key | None = None
    again: bool = False
    prompt: str | None = None
    old_messages: tuple[int, ...] = ()
    reply_id: int | None = None
    model: str = ""
    display: ReplyDisplay | None = None
    disclosed: bool = False
    facts: Facts | None = None

    @property
    def place(self) -> int:
        """One reply at a time in a channel."""
        return self.where.channel_id

    @property
    def answers(self) -> int:
        """The id of the message that is answered."""
        return self.trigger.id

    @property
    def message_ids(self) -> tuple[int, ...]:
        """The ids of the reply's complete messages, in order."""
        return self.display.message_ids if self.display is not None else ()

    def posted(self) -> frozenset[int]:
        """The ids of those of its messages that people can see."""
        return self.display.posted() if self.display is not None else frozenset()

    async def admit(self) -> bool:
        """Whether there is to be a reply; says why not, once a day. Waits where the channel has had many replies."""
        desk, channel = self.desk, self.trigger.channel
        facts = await self._read_facts()
        if not desk.may_write(channel):
            return False
        if self.asker.id in facts.hidden:
            await desk.notices.say_once_a_day(self.trigger, "hidden", OPTED_OUT)
            return False
        if words := refusal(facts.options.budget(), facts.used):
            await self._disclose()
            await desk.notices.say_once_a_day(self.trigger, "budget", words)
            return False
        await self._keep_to_rate(facts.options.value("replies_per_minute"))
        return desk.may_write(channel)  # the rights may have changed while it rested

    async def claim(self) -> int | None:
        """Claims the message; None where it has been answered, or is being answered."""
        facts = self._require_facts()
        self.model = self.desk.contexts.model(facts)
        beginning = Beginning(
            trigger_id=self.trigger.id,
            channel_id=self.where.channel_id,
            server_id=self.where.server_id,
            thread=self.where.parent_id is not None,
            asker_id=self.asker.id,
            model=self.model,
            sampling=asdict(facts.options.sampling()),
            again=self.again,
        )
        self.reply_id = await self.desk.services.store.together(replies.begin_all, beginning)
        return self.reply_id

    def open_journal(self, reply_id: int) -> ReplyJournal:
        """Notes what becomes of the reply in the table of replies."""
        return ReplyJournal(self.desk.services.store, reply_id)

    async def show_place(self, reply_id: int, position: Callable[[int], int | None]) -> None:
        """Shows the asker their place in the line, if they wait long."""
        await self.desk.notices.show_place(self.trigger, reply_id, position)

    async def still_allowed(self) -> bool:
        """A message was judged when it came; for what a command asked for, the command answers."""
        facts = await self._read_facts()  # much may have changed
        if not self.desk.may_write(self.trigger.channel):
            return False
        if self.key is None:
            return True
        who = actor_of(self.trigger.author, hidden=facts.hidden)
        direct = self.key[1] != 0
        return decide_talk(self.trigger, who, self.where, facts, is_addressed=direct).allowed

    async def prepare(self, reply_id: int) -> ReplyInputs:
        """Reads the channel, opens the model, and greets. Raises TalkalikeError."""
        desk, facts, channel, trigger = self.desk, self._require_facts(), self.trigger.channel, self.trigger
        try:
            said = await desk.contexts.reader.read(channel, self.where, facts, trigger=trigger)
            if self.prompt is not None:
                said = [self._with_prompt(one) if one.id == trigger.id else one for one in said]
            pipeline, talk = await desk.contexts.prepare(self.where, facts, said, trigger=trigger)
            self.display = self._display(reply_id, facts)
            await self._greet()
        except UNREACHABLE as error:
            raise DeliveryLostError(f"Discord could not be reached: {error}") from error
        may_react = rights.may(channel, rights.REACTIONS, rights.HISTORY)
        return ReplyInputs(
            pipeline=pipeline,
            talk=talk,
            display=self.display,
            record=partial(record_of, authors={one.key: one.author_id for one in said}),
            reactions=bool(facts.options.value("reactions")) and may_react,
        )

    async def on_written(self, talk: Talk) -> None:
        """Remembers where the prompt began, and answers the question what it is."""
        self.desk.contexts.remember(self.where.channel_id, talk.seen)
        await self._disclose()

    async def on_failure(self, error: TalkalikeError) -> str:
        """Says in the channel that the reply failed."""
        await self.desk.notices.report(self.trigger, error)
        await self._disclose()
        return str(error)

    def on_lost(self, *, seen: bool) -> str | None:
        """Leaves a message whose reply nobody has seen to the next process, which answers it."""
        if not seen:
            self.reply_id = None
        return SHUT_DOWN if seen else None

    async def on_ended(self, outcome: ReplyOutcome) -> None:
        """Dispatches the event "reply_ended" to whoever counts replies."""
        if not self.desk.client.is_closed():
            self.desk.client.dispatch("reply_ended", self, outcome)

    def _require_facts(self) -> Facts:
        assert self.facts is not None  # `admit` comes first
        return self.facts

    async def _read_facts(self) -> Facts:
        self.facts = await self.desk.places.facts(self.where, self.asker.id)
        return self.facts

    async def _keep_to_rate(self, each_minute: int) -> None:
        """Waits until the channel may have its next reply; what is said meanwhile replaces this one."""
        while wait := self.desk.rate.until_next(self.where.channel_id, each_minute):
            self.desk.resting += 1
            try:
                await asyncio.sleep(wait)
            finally:
                self.desk.resting -= 1

    def _display(self, reply_id: int, facts: Facts) -> ReplyDisplay:
        desk, channel = self.desk, self.trigger.channel
        buttons = desk.buttons(reply_id)
        buttons.judging = bool(facts.options.value("judging"))
        delivery = Delivery(
            channel,
            pace=desk.pace,
            reference=self.trigger,
            view=buttons,  # type: ignore[arg-type]  # a view: whoever hands the buttons in makes them so
            stream=facts.options.value("stream"),
            upload_cap=desk.services.settings.upload_cap,
        )
        if not self.old_messages:
            return ReplyDisplay(delivery, buttons, replaces=False)
        rewrite = Rewrite(channel, delivery, old=self.old_messages, pace=desk.pace)
        return ReplyDisplay(rewrite, buttons, replaces=True)

    def _with_prompt(self, trigger: HistoryMessage) -> HistoryMessage:
        """The trigger with the words that were said through a command."""
        return replace(trigger, text=self.prompt or "", system=False, double=False)

    async def _disclose(self) -> None:
        """Whoever asks what it is gets the plain answer, once, whatever became of the model's."""
        asked = asks_what_it_is(self.prompt if self.prompt is not None else self.trigger.content)
        if asked and not self.disclosed:
            self.disclosed = True
            await self.desk.notices.say(self.trigger, disclosure(self.desk.services.settings.owner_name))

    async def _greet(self) -> None:
        """Posts the disclosure before the first reply to a direct message."""
        desk, channel_id = self.desk, self.where.channel_id
        if self.where.server_id is not None or channel_id in desk.greeted:
            return
        if len(desk.greeted) >= REMEMBERED:
            desk.greeted.clear()
        desk.greeted.add(channel_id)
        if len(await desk.services.store.run(replies.recent, channel_id, 2)) <= 1:
            notice = await desk.notices.say(self.trigger, disclosure(desk.services.settings.owner_name))
            self.disclosed = notice is not None


class ReplyDisplay:
    """A `replying.writing.Display`. `buttons` sit under the last message: taking them away again would mark it as
    edited. `replaces`: an earlier reply stands there, with buttons of its own.
    """

    def __init__(self, showing: Delivery | Rewrite, buttons: Buttons, *, replaces: bool) -> None:
        self._showing = showing
        self._buttons = buttons
        self._replaces = replaces
        self._exchange = replaces  # the buttons that stand there are not those of the end
        self._complete: list[int] = []

    @property
    def begun(self) -> bool:
        """Whether somebody may have seen some of it."""
        return self._showing.begun

    @property
    def message_ids(self) -> tuple[int, ...]:
        """The ids of the messages that are complete, in order."""
        return tuple(self._complete)

    def posted(self) -> frozenset[int]:
        """The ids of all messages that people can see."""
        return frozenset(self._complete) | {one.message_id for one in self._showing.shown}

    def start(self, speaker: str) -> None:
        """Does nothing: people see which bot writes."""

    async def add_text(self, index: int, chunk: str) -> None:
        """Shows the next bit of a message."""
        await self._showing.add_text(index, chunk)

    async def finish_message(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """The last message has its buttons at once; one that was shown while it was written has `Cancel`."""
        already = sum(one.index == index for one in self._showing.shown)
        self._buttons.when_done()
        sent = await self._showing.finish_message(index, text, last=last)
        self._buttons.while_written()
        self._exchange = not last or self._replaces or len(sent) == already
        self._complete += sent
        return [
            Sent(message_id=message_id, text="" if number else text, index=index)
            for number, message_id in enumerate(sent)
        ]

    async def add_reaction(self, index: int, emoji: str) -> bool:
        """Reacts to the message that is answered."""
        return await self._showing.add_reaction(emoji)

    async def finish(self) -> None:
        """Puts the final buttons under the reply."""
        try:
            await self._showing.finish(**({"view": self._buttons.when_done()} if self._exchange else {}))
        except UNREACHABLE as error:
            raise DeliveryLostError(f"Discord could not be reached: {error}") from error

    async def abort(self) -> Sequence[Sent]:
        """Ends the reply early; returns what people saw of it."""
        await self._showing.abort(view=self._buttons.when_done())
        untold = [one for one in self._showing.shown if one.message_id not in self._complete]
        self._complete += [one.message_id for one in untold]
        return [Sent(message_id=one.message_id, text=one.text, index=one.index) for one in untold]
