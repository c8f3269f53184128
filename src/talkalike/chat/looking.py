"""Looking at the pictures of a conversation: each one once, for a short while, and never at a reply's expense.

    shared = await onlooker.look([picture, …])  # in the same order; raises nothing

What an eye saw is kept by the picture's hash. A look that takes longer than a reply waits goes on by itself, and its
words are there the next time. An eye that fails is left alone for a while: the conversation goes on without it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from talkalike.chat.shared_pictures import SharedPicture
from talkalike.engine.eyes import Eye, Grade, Looked
from talkalike.errors import TalkalikeError
from talkalike.pictures.picture import Picture

SECONDS = 5.0  # that a reply waits for an eye
LEFT_ALONE = 30.0  # seconds without a new look after one has failed
KEPT = 2_000  # pictures whose words are in memory
LATE = "looking at it takes a while"
FAILED = "the eye could not be reached"

_log = logging.getLogger(__name__)


class KeptWords(Protocol):
    """Where what was seen outlives the process."""

    async def recall(self, hashes: Collection[str], *, eye: str, grade: Grade) -> Mapping[str, Looked]:
        """What this eye saw in those pictures that it has looked at, by hash."""
        ...

    async def keep(self, hash: str, looked: Looked, *, eye: str, grade: Grade) -> None:  # noqa: A002  # its own word
        """Keeps what was seen."""
        ...


class Onlooker:
    """An eye (None: there is none) for all conversations of a process. Belongs to one event loop.

    `at_once`: pictures that are looked at at the same time.
    """

    def __init__(
        self,
        eye: Eye | None,
        kept: KeptWords | None = None,
        *,
        seconds: float = SECONDS,
        at_once: int = 1,
        grade: Grade = Grade.GLANCE,
    ) -> None:
        self.eye = eye
        self._kept = kept
        self._seconds = seconds
        self._grade = grade
        self._free = asyncio.Semaphore(at_once)
        self._known: OrderedDict[str, Looked] = OrderedDict()
        self._looking: dict[str, asyncio.Task[str]] = {}  # by hash; what went wrong, in words
        self._rests_until = 0.0

    async def look(self, pictures: Sequence[Picture]) -> list[SharedPicture]:
        """Each picture with what was seen in it, or with why it was not. The first are looked at first."""
        if self.eye is None or not pictures:
            return [SharedPicture(ref=picture.ref) for picture in pictures]
        by_hash = {picture.hash: picture for picture in pictures}
        await self._recall(by_hash)
        looking = {hash_: self._begin(picture) for hash_, picture in by_hash.items() if hash_ not in self._known}
        if looking:
            await asyncio.wait(looking.values(), timeout=self._seconds)
        return [self._shared(picture, looking.get(picture.hash)) for picture in pictures]

    async def words(self, hashes: Collection[str]) -> dict[str, Looked]:
        """What was seen before in those of these pictures that this eye has looked at."""
        await self._recall(hashes)
        return {hash_: self._known[hash_] for hash_ in hashes if hash_ in self._known}

    async def close(self) -> None:
        """Ends what is being looked at, and the eye. Safe to call twice."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)
        if self.eye is not None:
            await self.eye.close()

    def forget(self) -> None:
        """Nothing stays in memory of what was seen: somebody's data was deleted."""
        self._known.clear()

    def _shared(self, picture: Picture, task: asyncio.Task[str] | None) -> SharedPicture:
        looked = self._known.get(picture.hash)
        if looked is not None:
            return SharedPicture(ref=picture.ref, looked=looked)
        ended = task is not None and task.done() and not task.cancelled()
        return SharedPicture(ref=picture.ref, unseen=task.result() if task is not None and ended else LATE)

    async def _recall(self, wanted: Collection[str]) -> None:
        missing = [hash_ for hash_ in wanted if hash_ not in self._known]
        if self._kept is None or self.eye is None or not missing:
            return
        try:
            for hash_, looked in (await self._kept.recall(missing, eye=self.eye.name, grade=self._grade)).items():
                self._remember(hash_, looked)
        except TalkalikeError as error:
            _log.warning("What was seen before could not be read: %s", error)

    def _begin(self, picture: Picture) -> asyncio.Task[str]:
        """The look at this picture that is under way, or a new one."""
        hash_ = picture.hash
        if hash_ not in self._looking:
            task = asyncio.get_running_loop().create_task(self._see(picture), name=f"look at {hash_[:8]}")
            self._looking[hash_] = task
            task.add_done_callback(lambda _: self._looking.pop(hash_, None))
        return self._looking[hash_]

    async def _see(self, picture: Picture) -> str:
        """Looks and remembers; returns what went wrong, in words for the model and for people."""
        assert self.eye is not None  # nobody begins to look without one
        async with self._free:
            if time.monotonic() < self._rests_until:
                return FAILED
            try:
                looked = await self.eye.look(picture, grade=self._grade)
            except TalkalikeError as error:
                _log.warning("A picture was not seen: %s", error)
                self._rests_until = time.monotonic() + LEFT_ALONE
                return FAILED
            except Exception:  # noqa: BLE001  # whatever an eye is made of: the conversation goes on
                _log.exception("The eye %s failed.", self.eye.name)
                self._rests_until = time.monotonic() + LEFT_ALONE
                return "the eye failed"
        self._remember(picture.hash, looked)
        if self._kept is not None and not looked.refused:
            try:
                await self._kept.keep(picture.hash, looked, eye=self.eye.name, grade=self._grade)
            except TalkalikeError as error:
                _log.warning("What was seen could not be kept: %s", error)
        return ""

    def _remember(self, hash_: str, looked: Looked) -> None:
        self._known[hash_] = looked
        self._known.move_to_end(hash_)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
