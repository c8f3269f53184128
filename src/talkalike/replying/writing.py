"""The writing of one reply: the pipeline's events are shown, and what becomes of them is noted.

A quick reply is written down once, at its end. Of one that takes longer, what is known is written meanwhile, so that
after a crash the store knows what people have seen of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol

from talkalike.chat.context import Seen
from talkalike.chat.conversation import Talk
from talkalike.chat.pipeline import (
    MessageDone,
    Pipeline,
    Reacted,
    ReplyEvent,
    ReplyFinished,
    ReplyStarted,
    Silence,
    Text,
)
from talkalike.engine.protocol import Finish
from talkalike.errors import TalkalikeError
from talkalike.store.recording import Ending, ReplyRecord, ReplyState, Sent, record
from talkalike.store.store import Store, StoreError

SOON = 0.5  # seconds until what is new is written, if the reply has not ended by then
UNEXPECTED = "Something unexpected failed; the log says what."

_log = logging.getLogger(__name__)


class NotShownError(TalkalikeError):
    """The face could not show the reply, so the failure cannot be shown either."""


class Display(Protocol):
    """What shows one reply to people. All but `finish` and `abort` raise NotShownError where nothing can be shown."""

    @property
    def begun(self) -> bool:
        """Whether somebody may have seen some of it."""
        ...

    def start(self, speaker: str) -> None:
        """Called when the model begins to write, in this person's voice."""
        ...

    async def add_text(self, index: int, chunk: str) -> None:
        """Shows the next bit of message `index` of the burst (from 0)."""
        ...

    async def finish_message(self, index: int, text: str, *, last: bool) -> Sequence[Sent]:
        """Shows the complete message; returns what people see of it. `last`: no message follows."""
        ...

    async def add_reaction(self, index: int, emoji: str) -> bool:
        """Shows an emoji in the place of message `index`; returns whether it is shown."""
        ...

    async def finish(self) -> None:
        """Called when the reply is complete."""
        ...

    async def abort(self) -> Sequence[Sent]:
        """Ends the reply early; returns what people see that `finish_message` has not returned."""
        ...


class Journal(Protocol):
    """Notes what becomes of one reply."""

    def note_seen(self, speaker: str, seen: Mapping[str, Any]) -> None:
        """Notes that the model begins to write in this person's voice, and what it saw."""
        ...

    def note_text(self, index: int, chunk: str) -> None:
        """Notes the next bit of message `index`."""
        ...

    def note_sent(self, sent: Sent) -> None:
        """Notes what people see of a message."""
        ...

    def note_reaction(self, index: int, emoji: str) -> None:
        """Notes a reaction that people see."""
        ...

    def stop(self) -> None:
        """Writes nothing further before the end."""
        ...

    async def settle(self) -> None:
        """Writes what is known by now, for whoever is about to delete some of it."""
        ...

    async def end(self, ending: Ending) -> None:
        """Writes the end and all that was not written yet. Raises StoreError where it cannot be written."""
        ...


@dataclass(slots=True, kw_only=True)
class ReplyOutcome:
    """How a reply ended. `tokens` were written, and `charged` were shown (None: nothing was); `seconds` it took,
    `first_seconds` to its first word. `finish`: why the model stopped, once it has."""

    state: ReplyState = ReplyState.FAILED
    tokens: int = 0
    charged: int | None = None
    seconds: float = 0.0
    first_seconds: float | None = None
    problem: str = ""
    finish: Finish | None = None

    def ending(self) -> Ending:
        """For the store. Only what was shown counts for today's budgets."""
        return Ending(
            state=self.state,
            tokens=self.tokens,
            seconds=self.seconds,
            first_seconds=self.first_seconds,
            problem=self.problem or (UNEXPECTED if self.state is ReplyState.FAILED else ""),
            spent_on=today() if self.charged is not None else None,
            spent_tokens=self.charged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyInputs:
    """All that a reply is written with. `record`: what the model saw, as the store may keep it; None: nothing of it.

    `reactions`, `whole_messages`: as `Pipeline.reply` takes them.
    """

    pipeline: Pipeline
    talk: Talk
    display: Display
    record: Callable[[Seen], Mapping[str, Any]] | None = None
    reactions: bool = True
    whole_messages: bool = False


class ReplyWriting:
    """Lets the model write one reply, shows it and notes what becomes of it.

    `outcome` is filled as it goes, so that a reply that is broken off is accounted for. A message that is complete
    waits for the next event, which says whether it is the last one. Without a `journal` nothing is noted.
    """

    def __init__(self, prepared: ReplyInputs, *, outcome: ReplyOutcome, journal: Journal | None = None) -> None:
        self._prepared = prepared
        self._display = prepared.display
        self._journal = journal
        self._outcome = outcome
        self._held: list[tuple[MessageDone | Reacted, int]] = []  # each with the tokens written by then
        self._began = time.monotonic()

    async def write(self) -> None:
        """Raises TalkalikeError where the engine or the face fails; what was shown by then stays."""
        finished = False
        given = self._prepared
        reply = given.pipeline.reply(given.talk, reactions=given.reactions, whole_messages=given.whole_messages)
        try:
            async with aclosing(reply) as events:
                async for event in events:
                    await self._take(event)
            await self._display.finish()
            finished = True
        except NotShownError:
            raise
        except TalkalikeError:
            await self._release(last=True)  # the model failed: what it had completed is shown
            raise
        finally:
            if not finished:
                await self._break_off()
            if self._journal is not None:
                self._journal.stop()  # the end comes next, and tells the rest
            self._outcome.seconds = self._outcome.seconds or time.monotonic() - self._began

    async def _take(self, event: ReplyEvent) -> None:
        outcome = self._outcome
        match event:
            case ReplyStarted(speaker=speaker, seen=seen):
                if self._journal is not None and self._prepared.record is not None:
                    self._journal.note_seen(speaker, self._prepared.record(seen))
                self._display.start(speaker)
            case Text(index=index, text=text):
                if outcome.first_seconds is None:
                    outcome.first_seconds = time.monotonic() - self._began
                await self._release(last=False)
                outcome.tokens += 1  # about; the engine's own count comes at the end
                if self._journal is not None:
                    self._journal.note_text(index, text)
                await self._display.add_text(index, text)
            case MessageDone():
                await self._release(last=False)
                self._held.append((event, outcome.tokens))
            case Reacted():
                self._held.append((event, outcome.tokens))
                if not isinstance(self._held[0][0], MessageDone):
                    await self._release(last=False)
            case ReplyFinished(reason=reason, tokens=tokens, seconds=seconds):
                await self._release(last=True)
                outcome.state, outcome.tokens, outcome.seconds = ReplyState.DONE, tokens, seconds
                outcome.finish = reason
                outcome.charged = None if outcome.charged is None else tokens
            case Silence():
                outcome.state = ReplyState.SILENT

    async def _release(self, *, last: bool) -> None:
        """Shows what was held. `last`: no message follows it."""
        while self._held:
            event, tokens = self._held.pop(0)
            if isinstance(event, MessageDone):
                shown = await self._display.finish_message(event.index, event.text, last=last)
                if self._note(shown):
                    self._outcome.charged = tokens
            elif await self._display.add_reaction(event.index, event.emoji):
                self._outcome.charged = tokens
                if self._journal is not None:
                    self._journal.note_reaction(event.index, event.emoji)

    async def _break_off(self) -> None:
        """Ends a reply early: what people saw of it is the reply, so that it can be found."""
        if self._note(await self._display.abort()):
            self._outcome.charged = self._outcome.tokens

    def _note(self, shown: Sequence[Sent]) -> bool:
        if self._journal is not None:
            for one in shown:
                self._journal.note_sent(one)
        return bool(shown)


class ReplyJournal:
    """The journal of a reply in the store's table of replies. Belongs to one event loop."""

    def __init__(self, store: Store, reply_id: int) -> None:
        self._store = store
        self._reply_id = reply_id
        self._seen: Mapping[str, Any] | None = None
        self._sent: list[Sent] = []
        self._reactions: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note_seen(self, speaker: str, seen: Mapping[str, Any]) -> None:
        """Notes what the model saw, as `ReplyRecord` describes it."""
        self._seen = seen
        self._write_soon()

    def note_text(self, index: int, chunk: str) -> None:
        """Does nothing: words count once they are shown."""

    def note_sent(self, sent: Sent) -> None:
        """Notes a message that people see."""
        self._sent.append(sent)
        self._write_soon()

    def note_reaction(self, index: int, emoji: str) -> None:
        """Notes a reaction that people see."""
        self._reactions.append(emoji)
        self._write_soon()

    async def end(self, ending: Ending) -> None:
        """Writes the end and all that was not written yet; it happens even if the caller is cancelled meanwhile.

        Raises StoreError where it cannot be written.
        """
        self.stop()
        await self._store.together(record, self._take(ending))

    async def settle(self) -> None:
        """Writes what is known by now, for whoever is about to delete some of it."""
        self.stop()
        if self._writing is not None:
            await self._writing
        await self._write()

    def stop(self) -> None:
        """Starts no further write; one under way is finished."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, ending: Ending | None = None) -> ReplyRecord:
        taken = ReplyRecord(
            reply_id=self._reply_id,
            seen=self._seen,
            sent=tuple(self._sent),
            reactions=tuple(self._reactions),
            ending=ending,
        )
        self._seen, self._sent, self._reactions = None, [], []
        return taken

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON, self._begin_writing)

    def _begin_writing(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        taken = self._take()
        try:
            await self._store.together(record, taken)
        except StoreError as error:  # it is tried again with the next news, at the latest with the end
            _log.warning("What became of reply %s could not be written yet: %s", self._reply_id, error)
            self._seen = self._seen or taken.seen
            self._sent[:0] = taken.sent
            self._reactions[:0] = taken.reactions


def today() -> date:
    """Budgets are renewed at midnight UTC."""
    return datetime.now(UTC).date()
