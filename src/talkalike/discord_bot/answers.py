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
from talkalike.discord_bot.deliver import DeliveryLostError, Shown
from talkalike.discord_bot.ledger import Ledger
from talkalike.discord_bot.triggers import Facts, today
from talkalike.errors import TalkalikeError
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
    `stopped`: why it was stopped from outside.
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
    message_ids: list[int] = field(default_factory=list)
    showing: Showing | None = None
    ledger: Ledger | None = None
    disclosed: bool = False
    stopped: ReplyState | None = None
    began: float = field(default_factory=time.monotonic)
    task: asyncio.Task[Any] | None = None

    @property
    def visible(self) -> bool:
        """Somebody may have seen some of it."""
        return self.showing is not None and self.showing.begun

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
    """How a reply ended. `tokens` were written, and `charged` were shown (None: nothing was); `seconds` it took,
    `first_seconds` to its first word."""

    state: ReplyState = ReplyState.FAILED
    tokens: int = 0
    charged: int | None = None
    seconds: float = 0.0
    first_seconds: float | None = None
    problem: str = ""


class Showing(Protocol):
    """What shows a reply on Discord: `deliver.Delivery`, or `redo.Rewrite` in the place of an earlier one."""

    @property
    def begun(self) -> bool: ...

    @property
    def shown(self) -> Sequence[Shown]: ...

    async def text(self, index: int, chunk: str) -> None: ...

    async def message_done(self, index: int, text: str, *, last: bool = ...) -> list[int]: ...

    async def reaction(self, emoji: str) -> bool: ...

    async def finish(self, *, view: Any = ...) -> None: ...

    async def abort(self, note: str = ..., *, view: Any = ...) -> None: ...


class Writing:
    """Lets the model write one reply, shows it and notes in `ledger` what becomes of it.

    `outcome` is filled as it goes, so that a reply that is broken off is accounted for. `authors`: who wrote the
    message of that id. `buttons` sit under the reply's last message. A message that is complete waits for the next
    event, which says whether it is the last one: taking buttons away again would mark it as edited. `may_react`:
    whether Discord takes reactions there.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        outcome: Outcome,
        showing: Showing,
        buttons: ReplyButtons,
        facts: Facts,
        may_react: bool,
    ) -> None:
        self._answer = answer
        self._outcome = outcome
        self._showing = showing
        self._buttons = buttons
        buttons.judging = bool(facts.options.value("judging"))
        assert answer.ledger is not None
        self._ledger = answer.ledger
        self._reactions = bool(facts.options.value("reactions")) and may_react
        self._exchange = bool(answer.old_messages)  # the buttons that stand there are not those of the end
        self._held: list[tuple[MessageDone | Reacted, int]] = []  # each with the tokens written by then
        self._began = time.monotonic()

    async def write(self, pipeline: Pipeline, talk: ChannelTalk, authors: Mapping[str, int]) -> None:
        """Raises TalkalikeError where the engine or Discord fails; what was posted by then stays."""
        finished = False
        try:
            async with aclosing(pipeline.reply(talk, reactions=self._reactions)) as events:
                async for event in events:
                    await self._take(event, authors)
            await self._showing.finish(**({"view": self._buttons.when_done()} if self._exchange else {}))
            finished = True
        except DeliveryLostError:
            raise
        except TalkalikeError:
            await self._release(last=True)  # the model failed: what it had completed is shown
            raise
        finally:
            if not finished:
                await self._broken_off()
            self._ledger.stop()  # the end comes next, and tells the rest
            self._outcome.seconds = self._outcome.seconds or time.monotonic() - self._began

    async def _take(self, event: ReplyEvent, authors: Mapping[str, int]) -> None:
        outcome = self._outcome
        match event:
            case Started(seen=seen):
                self._ledger.saw(record_of(seen, authors))
            case Text(index=index, text=text):
                if outcome.first_seconds is None:
                    outcome.first_seconds = time.monotonic() - self._began
                await self._release(last=False)
                outcome.tokens += 1  # about; the engine's own count comes at the end
                await self._showing.text(index, text)
            case MessageDone():
                await self._release(last=False)
                self._held.append((event, outcome.tokens))
            case Reacted():
                self._held.append((event, outcome.tokens))
                if not isinstance(self._held[0][0], MessageDone):
                    await self._release(last=False)
            case Finished(tokens=tokens, seconds=seconds):
                await self._release(last=True)
                outcome.state, outcome.tokens, outcome.seconds = ReplyState.DONE, tokens, seconds
                outcome.charged = None if outcome.charged is None else tokens
            case Silence():
                outcome.state = ReplyState.SILENT

    async def _release(self, *, last: bool) -> None:
        """Shows what was held. `last`: no message follows it."""
        while self._held:
            event, tokens = self._held.pop(0)
            if isinstance(event, MessageDone):
                if await self._message_done(event.index, event.text, last=last):
                    self._outcome.charged = tokens
            elif await self._showing.reaction(event.emoji):
                self._ledger.reacted(event.emoji)
                self._outcome.charged = tokens

    async def _message_done(self, index: int, text: str, *, last: bool) -> list[int]:
        """The last message has its buttons at once; one that was shown while it was written has `Cancel`."""
        already = sum(one.index == index for one in self._showing.shown)
        self._buttons.when_done()
        sent = await self._showing.message_done(index, text, last=last)
        self._buttons.while_written()
        self._exchange = not last or bool(self._answer.old_messages) or len(sent) == already
        self._answer.message_ids += sent
        for number, message_id in enumerate(sent):
            self._ledger.sent(message_id, "" if number else text, index)
        return sent

    async def _broken_off(self) -> None:
        """What people saw of it is the reply, so that it can be found, and nothing else."""
        await self._showing.abort("", view=self._buttons.when_done())
        for one in self._showing.shown:
            if one.message_id not in self._answer.message_ids:
                self._outcome.charged = self._outcome.tokens
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
    """The end of a reply, for the store. Only what was shown counts for today's budgets."""
    return Ending(
        state=outcome.state,
        tokens=outcome.tokens,
        seconds=outcome.seconds,
        first_seconds=outcome.first_seconds,
        problem=outcome.problem or (UNEXPECTED if outcome.state is ReplyState.FAILED else ""),
        spent_on=today() if outcome.charged is not None else None,
        spent_tokens=outcome.charged,
    )
