"""The small eye as an `Eye`: it looks in a thread, and is opened when it first looks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from talkalike.engine.eyes import SMALL_SIGHT, Grade, Looked, Sight
from talkalike.models.eyes.reading import small_eye_name
from talkalike.models.eyes.small import GLANCED, LOOKED, SmallEye
from talkalike.pictures.picture import Picture


class LocalSmallEye:
    """Names what a picture shows and reads its text; answers no questions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._eye: SmallEye | None = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        return small_eye_name()

    @property
    def sight(self) -> Sight:
        return SMALL_SIGHT

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What it shows. `ask` is not read: it has one answer. Raises UserError where the eye's files are damaged."""
        del ask
        began = time.monotonic()
        eye = await self.open()
        longest = GLANCED if grade is Grade.GLANCE else LOOKED
        seen = await asyncio.to_thread(eye.look, picture, longest=longest)
        return Looked(words=seen.words, sure=seen.recognised, seconds=time.monotonic() - began)

    async def open(self) -> SmallEye:
        """Opens it, if it is not open: whoever serves it does so before somebody waits for it."""
        async with self._opening:
            if self._eye is None:
                self._eye = await asyncio.to_thread(SmallEye, self._folder)
            return self._eye

    async def close(self) -> None:
        self._eye = None
