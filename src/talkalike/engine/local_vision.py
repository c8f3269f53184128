"""A vision model in this process as an eye that takes a conversation with pictures; it writes in a thread."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from talkalike.engine.eyes import DESCRIBE, EyeTurn, Grade, Looked, Sight
from talkalike.engine.protocol import Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.eyes.vision import GLANCE, LOOK, STUDY, VisionModel, VisionTurn
from talkalike.pictures.picture import Picture

MOST_IMAGES = 9
DESCRIPTION = 60  # tokens
_CLOSE = {Grade.GLANCE: GLANCE, Grade.LOOK: LOOK, Grade.STUDY: STUDY}


class LocalVisionEye:
    """A `ConversingEye` over a `VisionModel`, which is opened when it first looks."""

    def __init__(self, folder: Path, *, name: str, device: str = "auto", dtype: str = "auto") -> None:
        self.name = name
        self._make = lambda: VisionModel(folder, device=device, dtype=dtype)
        self._model: VisionModel | None = None
        self._opening = asyncio.Lock()

    @property
    def sight(self) -> Sight:
        return Sight(grades=tuple(Grade), max_images=MOST_IMAGES, answers=True)

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """The answer to `ask`, or a description, with the likeliest words."""
        turns = (EyeTurn(role="user", parts=(picture, ask or DESCRIBE)),)
        return await self.converse(turns, Sampling(temperature=0, max_tokens=DESCRIPTION), grade=grade)

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        """What the assistant says next."""
        sampling.check()
        if sampling.best_of > 1:
            raise UserError("A vision model does not choose the best of several answers.", hint="Set best_of to 1.")
        began = time.monotonic()
        model = await self.open()
        shown = [VisionTurn(role=turn.role, parts=turn.parts) for turn in turns]
        written = await asyncio.to_thread(model.write, shown, _CLOSE[grade], _generating(sampling))
        if not written.text:
            raise TalkalikeError(f"{self.name} said nothing about the picture.", hint="Ask again, or otherwise.")
        return Looked(words=written.text, sure=True, seconds=time.monotonic() - began, tokens=written.picture_tokens)

    async def open(self) -> VisionModel:
        """Opens it, if it is not open: whoever serves it does so before somebody waits for it."""
        async with self._opening:
            if self._model is None:
                self._model = await asyncio.to_thread(self._make)
            return self._model

    async def close(self) -> None:
        self._model = None


def _generating(sampling: Sampling) -> dict[str, Any]:
    """The options as transformers' `generate` names them."""
    options: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "repetition_penalty": sampling.repetition_penalty,
        "do_sample": sampling.temperature > 0,
    }
    if sampling.temperature > 0:
        options |= {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p or None,
            "seed": sampling.seed,
        }
    return options
