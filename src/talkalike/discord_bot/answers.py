"""One reply on its way, and the writing of it: the pipeline's events go to Discord and into the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import discord

from talkalike.chat.context import Placed, Seen
from talkalike.chat.history import ChannelTalk, Said
from talkalike.chat.permissions import Place
from talkalike.chat.pipeline import Finished, MessageDone, Pipeline, Reacted, ReplyEvent, Silence, Started, Text
from talkalike.discord_bot.bursts import Key
from talkalike.discord_bot.buttons import ReplyButtons
from talkalike.discord_bot.deliver import Shown
from talkalike.discord_bot.ledger import Ledger
from talkalike.discord_bot.triggers import Facts, today
from talkalike.store.recording import Ending, ReplyState

UNEXPECTED = "Something unexpected failed; the bot's log says what."


class Asker(Protocol):
    """Somebody of whom no more than the id has to be known."""

    @property
    def id(self) -> int: ...


@dataclass(slots=True, eq=False, kw_only=True)
class Answer:
    """A reply on its way, from the end of a burst to its last message.

    `again`: asked for anew; then `old_messages` are what it replaces. `prompt` stands in for the trigger's words.
    `visible`: somebody may have seen some of it. `stopped`: why it was stopped from outside.
    """

    trigger: discord.Message
    asker: Asker
    where: Place
    key: Key | None = None
    addressed: bool = True
    again: bool = False
    test: bool = False
    prompt: str | None = None
    old_messages: tuple[int, ...] = ()
    reply_id: int | None = None
    model: str = ""
    visible: bool = False
    message_ids: list[int] = field(default_factory=list)
    showing: Showing | None = None
    ledger: Ledger | None = None
    stopped: ReplyState | None = None
    began: float = field(default_factory=time.monotonic)
    task: asyncio.Task[Any] | None = None

    def stop(self, why: ReplyState) -> None:
        """Ends it wherever it is; what was posted stays."""
        if self.stopped is None and self.task is not None and not self.task.done():
            self.stopped = why
            self.task.cancel()

    def posted(self) -> frozenset[int]:
        """Its messages that people can see."""
        shown = self.showing.shown if self.showing is not None else ()
        return frozenset(self.message_ids) | {one.message_id for one in shown}

    def as_said(self, trigger: Said) -> Said:
        """The trigger with the words that were said through a command."""
        return replace(trigger, text=self.prompt or "", system=False, double=False)

    def as_running(self) -> Running:
        """For people who ask."""
        return Running(
            reply_id=self.reply_id or 0,
            channel_id=self.where.channel_id,
            server_id=self.where.server_id,
            asker_id=self.asker.id,
            model=self.model,
            seconds=time.monotonic() - self.began,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A reply that is being written, for `/status`. `seconds` since it was due."""

    reply_id: int
    channel_id: int
    server_id: int | None
    asker_id: int
    model: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a reply ended. `tokens` were written, `seconds` it took, `first_seconds` to its first word."""

    state: ReplyState = ReplyState.FAILED
    tokens: int = 0
    seconds: float = 0.0
    first_seconds: float | None = None
    problem: str = ""


class Showing(Protocol):
    """What shows a reply on Discord: `deliver.Delivery`, or `redo.Rewrite` in the place of an earlier one."""

    @property
    def shown(self) -> Sequence[Shown]: ...

    async def text(self, index: int, chunk: str) -> None: ...

    async def message_done(self, index: int, text: str) -> list[int]: ...

    async def reaction(self, emoji: str) -> bool: ...

    async def finish(self, *, view: Any = ...) -> None: ...

    async def abort(self, note: str = ..., *, view: Any = ...) -> None: ...


class Writing:
    """Lets the model write one reply, shows it and notes in `ledger` what becomes of it.

    `outcome` is filled as it goes, so that a reply that is broken off is accounted for. `authors`: who wrote the
    message of that id. `buttons` sit under the reply; those shown by then are exchanged when it is done.
    """

    def __init__(
        self, answer: Answer, ledger: Ledger, *, outcome: Outcome, showing: Showing, buttons: ReplyButtons, facts: Facts
    ) -> None:
        self._answer = answer
        self._outcome = outcome
        self._showing = showing
        self._buttons = buttons
        buttons.judging = bool(facts.options.value("judging"))
        self._ledger = ledger
        self._stream = bool(facts.options.value("stream"))
        self._reactions = bool(facts.options.value("reactions"))
        self._cancel_shown = bool(answer.old_messages)
        self._began = time.monotonic()

    async def write(self, pipeline: Pipeline, talk: ChannelTalk, authors: Mapping[str, int]) -> None:
        """Raises TalkalikeError where the engine or Discord fails; what was posted by then stays."""
        finished = False
        try:
            async with aclosing(pipeline.reply(talk, reactions=self._reactions)) as events:
                async for event in events:
                    await self._take(event, authors)
            await self._showing.finish(**({"view": self._buttons.when_done()} if self._cancel_shown else {}))
            finished = True
        finally:
            if not finished:
                await self._broken_off()
            self._ledger.stop()  # the end comes next, and tells the rest
            self._outcome.seconds = self._outcome.seconds or time.monotonic() - self._began

    async def _take(self, event: ReplyEvent, authors: Mapping[str, int]) -> None:
        answer, outcome = self._answer, self._outcome
        match event:
            case Started(seen=seen):
                self._ledger.saw(record_of(seen, authors))
            case Text(index=index, text=text):
                if outcome.first_seconds is None:
                    outcome.first_seconds = time.monotonic() - self._began
                outcome.tokens += 1  # about; the engine's own count comes at the end
                answer.visible = answer.visible or self._stream
                await self._showing.text(index, text)
            case MessageDone(index=index, text=text):
                await self._message_done(index, text)
            case Reacted(emoji=emoji):
                answer.visible = True
                if await self._showing.reaction(emoji):
                    self._ledger.reacted(emoji)
            case Finished(tokens=tokens, seconds=seconds):
                outcome.state, outcome.tokens, outcome.seconds = ReplyState.DONE, tokens, seconds
            case Silence():
                outcome.state = ReplyState.SILENT

    async def _message_done(self, index: int, text: str) -> None:
        """A message that comes whole has its last buttons at once; one that was streamed has `Cancel` until the end."""
        self._answer.visible = True
        already = sum(one.index == index for one in self._showing.shown)
        self._buttons.when_done()
        sent = await self._showing.message_done(index, text)
        self._buttons.while_written()
        self._cancel_shown = self._cancel_shown or len(sent) == already
        self._answer.message_ids += sent
        for number, message_id in enumerate(sent):
            self._ledger.sent(message_id, "" if number else text, index)

    async def _broken_off(self) -> None:
        """What people saw of it is the reply, so that it can be found, and nothing else."""
        await self._showing.abort("", view=self._buttons.when_done())
        for one in self._showing.shown:
            if one.message_id not in self._answer.message_ids:
                self._answer.message_ids.append(one.message_id)
                self._ledger.sent(one.message_id, one.text, one.index)


def record_of(seen: Seen, authors: Mapping[str, int]) -> dict[str, Any]:
    """What the model saw, as the store keeps it. `authors`: who wrote the message of that id."""

    def kept(placed: Placed) -> dict[str, Any]:
        return {
            "id": placed.id,
            "author_id": authors.get(placed.id, 0),
            "speaker": placed.turn.speaker,
            "text": placed.turn.text,
            "tokens": placed.tokens,
            "why": placed.why,
        }

    return {
        "kept": [kept(placed) for placed in seen.kept],
        "left_out": [{"id": one.id, "tokens": one.tokens, "why": one.why} for one in seen.left_out],
        "budget": seen.budget,
    }


def ending(outcome: Outcome) -> Ending:
    """The end of a reply, for the store. One that said something, or cost something, counts for today's budgets."""
    return Ending(
        state=outcome.state,
        tokens=outcome.tokens,
        seconds=outcome.seconds,
        first_seconds=outcome.first_seconds,
        problem=outcome.problem or (UNEXPECTED if outcome.state is ReplyState.FAILED else ""),
        spent_on=today() if outcome.tokens or outcome.state is ReplyState.DONE else None,
    )
