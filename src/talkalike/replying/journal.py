"""What becomes of one reply, on its way into the store.

A quick reply is written down once, at its end. Of one that takes longer, what is known is written meanwhile, so that
after a crash the store knows what people have seen of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from talkalike.store.recording import Ending, Record, Sent, record
from talkalike.store.store import Store, StoreError

SOON = 0.5  # seconds until what is new is written, if the reply has not ended by then

_log = logging.getLogger(__name__)


class Journal(Protocol):
    """Where it is noted what becomes of one reply."""

    def saw(self, speaker: str, seen: Mapping[str, Any]) -> None:
        """The model begins to write, in this person's voice: what it saw, as the store may keep it."""
        ...

    def wrote(self, index: int, chunk: str) -> None:
        """The next bit of message `index`."""
        ...

    def sent(self, sent: Sent) -> None:
        """What people see of a message."""
        ...

    def reacted(self, index: int, emoji: str) -> None:
        """A reaction that people see."""
        ...

    def stop(self) -> None:
        """Nothing further is written before the end."""
        ...

    async def settle(self) -> None:
        """Writes what is known by now, for whoever is about to delete some of it."""
        ...

    async def end(self, ending: Ending) -> None:
        """Writes the end and all that was not written yet. Raises StoreError where it cannot be written."""
        ...


class ReplyJournal:
    """A reply's in the store's table of replies. Belongs to one event loop."""

    def __init__(self, store: Store, reply_id: int) -> None:
        self._store = store
        self._reply_id = reply_id
        self._seen: Mapping[str, Any] | None = None
        self._sent: list[Sent] = []
        self._reactions: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def saw(self, speaker: str, seen: Mapping[str, Any]) -> None:
        """What the model saw, as `Record` tells."""
        self._seen = seen
        self._write_soon()

    def wrote(self, index: int, chunk: str) -> None:
        """Words count once they are shown."""

    def sent(self, sent: Sent) -> None:
        """A message of the reply."""
        self._sent.append(sent)
        self._write_soon()

    def reacted(self, index: int, emoji: str) -> None:
        """The double reacted."""
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
        """Nothing further is written; what is being written is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, ending: Ending | None = None) -> Record:
        taken = Record(
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
