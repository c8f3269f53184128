"""A trained eye of a model's own in this process, which is opened when it first looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from talkalike.engine.eyes import OWN_SIGHT, Grade, Looked, Sight
from talkalike.engine.own_eye import OwnEye, open_own_eye
from talkalike.engine.protocol import Sampling
from talkalike.pictures.picture import Picture
from talkalike.workspace.cards import Catalog


class LocalOwnEye:
    """A `ContinuingEye` over an `OwnEye`. `encoder`: the small eye's folder."""

    def __init__(self, catalog: Catalog, name: str, *, encoder: Path, dtype: str = "auto") -> None:
        self.name = name
        self._make = lambda: open_own_eye(catalog, name, encoder=encoder, dtype=dtype)
        self._eye: OwnEye | None = None
        self._opening = asyncio.Lock()

    @property
    def sight(self) -> Sight:
        return OWN_SIGHT

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What it says of the picture as it was trained to, or after `ask`."""
        return await (await self.open()).look(picture, grade=grade, ask=ask)

    async def go_on(
        self, text: str, pictures: tuple[Picture, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE
    ) -> Looked:
        """What follows on `text`, up to the end of the chunk."""
        return await (await self.open()).go_on(text, pictures, sampling, grade=grade)

    async def open(self) -> OwnEye:
        """Opens it, if it is not open. Raises UserError where something of it is missing."""
        async with self._opening:
            if self._eye is None:
                self._eye = await asyncio.to_thread(self._make)
            return self._eye

    async def close(self) -> None:
        eye, self._eye = self._eye, None
        if eye is not None:
            await eye.close()
