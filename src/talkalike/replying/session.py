"""The way of one reply: admitted, claimed, in line, written, accounted for. The only place that ends a reply.

In one place one reply is written at a time. Whatever happens, the place is freed and the reply's end is in the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from talkalike.chat.conversation import Talk
from talkalike.errors import TalkalikeError
from talkalike.replying.queue import WaitingLine
from talkalike.replying.writing import (
    Display,
    Journal,
    NotShownError,
    ReplyInputs,
    ReplyJournal,
    ReplyOutcome,
    ReplyWriting,
)
from talkalike.store.recording import Ending, ReplyState
from talkalike.store.store import Store

REMEMBERED = 2_000

_log = logging.getLogger(__name__)


class Face(Protocol):
    """What one face does for one reply. Its methods are called in this order."""

    @property
    def place(self) -> int:
        """Where it is written: of one place one reply at a time."""
        ...

    @property
    def answers(self) -> Hashable:
        """What it answers, under which it is found after its end."""
        ...

    async def admit(self) -> bool:
        """Decides whether there is to be a reply, and tells people why not."""
        ...

    async def claim(self) -> int | None:
        """Begins it in the store; its id, or None where somebody answers that already."""
        ...

    def open_journal(self, reply_id: int) -> Journal:
        """Opens the journal in which the reply is noted."""
        ...

    async def show_place(self, reply_id: int, position: Callable[[int], int | None]) -> None:
        """Shows the place in the line while it waits; cancelled when the wait is over."""
        ...

    async def still_allowed(self) -> bool:
        """Decides again after a wait, in which much may have changed."""
        ...

    async def prepare(self, reply_id: int) -> ReplyInputs | None:
        """All that it is written with; None where what it answers is gone."""
        ...

    async def on_written(self, talk: Talk) -> None:
        """Called once the reply was written completely."""
        ...

    async def on_failure(self, error: TalkalikeError) -> str:
        """Tells people that the reply failed; returns the problem in words for the store."""
        ...

    def on_lost(self, *, seen: bool) -> str | None:
        """Called when the process ends: the problem for the store, or None where the next process answers anew."""
        ...

    async def on_ended(self, outcome: ReplyOutcome) -> None:
        """Called once the end is stored."""
        ...


FaceT = TypeVar("FaceT", bound=Face)


@dataclass(slots=True, eq=False, kw_only=True)
class OngoingReply(Generic[FaceT]):
    """A reply on its way. `id` is the store's, `stopped` why it was stopped from outside."""

    face: FaceT
    id: int | None = None
    display: Display | None = None
    journal: Journal | None = None
    outcome: ReplyOutcome = field(default_factory=ReplyOutcome)
    stopped: ReplyState | None = None
    began: float = field(default_factory=time.monotonic)
    task: asyncio.Task[Any] | None = None
    _runs: bool = False

    @property
    def visible(self) -> bool:
        """Whether somebody may have seen some of it."""
        return self.display is not None and self.display.begun

    def stop(self, why: ReplyState) -> None:
        """Ends it wherever it is; what was shown stays."""
        if self.stopped is None and self.task is not None and not self.task.done():
            self.stopped = why
            if self._runs:  # else it finds out itself: a task that is cancelled before its first step never runs
                self.task.cancel()

    async def wait(self) -> None:
        """Until it has ended; whoever waits can leave without stopping it."""
        if self.task is not None:
            await asyncio.wait({self.task})

    def begin(self) -> None:
        """Marks that the task runs; raises CancelledError where the reply was stopped before."""
        self._runs = True
        if self.stopped is not None:
            raise asyncio.CancelledError


class ReplySession(Generic[FaceT]):
    """The replies of one face. Belongs to one event loop."""

    def __init__(self, line: WaitingLine) -> None:
        self.line = line
        self.replies: set[OngoingReply[FaceT]] = set()  # on their way
        self.ending: set[OngoingReply[FaceT]] = set()  # written; their end is on its way into the store
        self._ended: OrderedDict[Hashable, tuple[OngoingReply[FaceT], float]] = OrderedDict()

    def start(self, reply: OngoingReply[FaceT]) -> asyncio.Task[None]:
        """Begins a reply; nobody has to wait for it."""
        task = asyncio.get_running_loop().create_task(self._run(reply))
        reply.task = task
        self.replies.add(reply)
        task.add_done_callback(lambda _: self._let_go(reply))  # its end is stored, or it never ran
        task.add_done_callback(_log_failure)
        return task

    async def stop(self, reply: OngoingReply[FaceT], why: ReplyState) -> None:
        """Stops a reply, and waits until it has let go of everything."""
        if reply not in self.ending:
            reply.stop(why)
        if reply.task is not asyncio.current_task():
            await reply.wait()

    def by_id(self, reply_id: int) -> OngoingReply[FaceT] | None:
        """The reply, while it is on its way."""
        return next((one for one in self.replies if one.id == reply_id), None)

    def being_written(self) -> list[OngoingReply[FaceT]]:
        """The replies whose turn it is."""
        return [one for one in self.replies if one.id is not None and self.line.position(one.id) == 0]

    def last_ended(self, answers: Hashable) -> tuple[OngoingReply[FaceT], float] | None:
        """The last reply to something that ended here lately, and when (on the monotonic clock)."""
        return self._ended.get(answers)

    def recently_ended(self) -> list[OngoingReply[FaceT]]:
        """The replies that ended here lately, oldest first."""
        return [reply for reply, _ in self._ended.values()]

    def forget(self, answers: Hashable) -> None:
        """Forgets a reply whose message is gone."""
        self._ended.pop(answers, None)

    async def settle(self) -> None:
        """Writes down what is known of the replies under way, so that deleting somebody's data finds it."""
        for reply in tuple(self.replies):
            if reply.journal is not None:
                await reply.journal.settle()

    def _let_go(self, reply: OngoingReply[FaceT]) -> None:
        self.replies.discard(reply)
        self.ending.discard(reply)

    async def _run(self, reply: OngoingReply[FaceT]) -> None:
        """One reply from beginning to end. However it ends, its place is freed and its end is in the store."""
        async with AsyncExitStack() as held:  # the turn ends once the end is stored: the next reply may read it
            await self._live(reply, held)

    async def _live(self, reply: OngoingReply[FaceT], held: AsyncExitStack) -> None:
        face, outcome = reply.face, reply.outcome
        try:
            reply.begin()
            if not await face.admit():
                return
            await self._claim(reply)
            if reply.id is not None:
                waited = await held.enter_async_context(self._turn(reply, reply.id))
                if waited and not await face.still_allowed():
                    outcome.state = ReplyState.CANCELLED
                else:
                    await self._write(reply, reply.id)
        except asyncio.CancelledError:
            if reply.stopped is None:
                outcome.state = ReplyState.LOST
                outcome.problem = face.on_lost(seen=reply.visible) or ""
                if not outcome.problem:
                    reply.id = None
                raise
            outcome.state = reply.stopped
        except NotShownError as error:
            outcome.state, outcome.problem = ReplyState.FAILED, str(error)
        except TalkalikeError as error:
            outcome.state, outcome.problem = ReplyState.FAILED, str(error)
            outcome.problem = await face.on_failure(error)
        finally:
            if reply.id is not None:
                await self._account(reply, reply.id)

    async def _claim(self, reply: OngoingReply[FaceT]) -> None:
        if reply.id is not None:
            return
        claim = asyncio.ensure_future(reply.face.claim())
        try:
            reply.id = await asyncio.shield(claim)
        except asyncio.CancelledError:
            reply.id = await claim  # the store finishes what it began; its end must be stored too
            raise

    @asynccontextmanager
    async def _turn(self, reply: OngoingReply[FaceT], reply_id: int) -> AsyncGenerator[bool, None]:
        """Waits in the line, and says whether it had to."""
        place = reply.face.place
        telling: asyncio.Task[None] | None = None
        if not self.line.free(place):
            telling = asyncio.get_running_loop().create_task(reply.face.show_place(reply_id, self.line.position))
        try:
            async with self.line.turn(place, reply_id):
                if telling is not None:
                    telling.cancel()
                yield telling is not None
        finally:
            if telling is not None:
                telling.cancel()

    async def _write(self, reply: OngoingReply[FaceT], reply_id: int) -> None:
        prepared = await reply.face.prepare(reply_id)
        if prepared is None:
            return
        reply.display = prepared.display
        reply.journal = reply.face.open_journal(reply_id)
        await ReplyWriting(prepared, outcome=reply.outcome, journal=reply.journal).write()
        await reply.face.on_written(prepared.talk)

    async def _account(self, reply: OngoingReply[FaceT], reply_id: int) -> None:
        """Stores the end of a reply that was begun."""
        self.replies.discard(reply)
        self.ending.add(reply)
        self._ended[reply.face.answers] = (reply, time.monotonic())
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        journal = reply.journal or reply.face.open_journal(reply_id)
        try:
            await journal.end(reply.outcome.ending())
        finally:
            await reply.face.on_ended(reply.outcome)


async def end_as_lost(store: Store, reply_id: int, problem: str) -> None:
    """Stores the end of a reply whose process ended before it did."""
    await ReplyJournal(store, reply_id).end(Ending(state=ReplyState.LOST, problem=problem))


def _log_failure(task: asyncio.Task[None]) -> None:
    """Logs an error that nobody expected; the reply has ended as failed."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A reply failed.", exc_info=error)
