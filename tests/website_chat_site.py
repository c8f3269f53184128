"""A site with somebody to talk to: engines that say what a test wrote down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from chat_script import ScriptedWords
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.engine.protocol import Piece, Prompt, Sampling
from talkalike.website.services import SiteServices


class GatedWords(ScriptedWords):
    """Says nothing while its gate is closed."""

    def __init__(self, *bursts: Any, **options: Any) -> None:
        super().__init__(*bursts, **options)
        self.gate = asyncio.Event()
        self.gate.set()

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        async with aclosing(super().stream(prompt, sampling)) as pieces:
            await self.gate.wait()
            async for piece in pieces:
                yield piece


@pytest.fixture
def talking(services: SiteServices) -> Any:
    """Gives the site engines: `talking(("hey", "you"), ("bye",))` is the model "mira-2", beside one named "base"."""

    def make(*bursts: Any, **options: Any) -> GatedWords:
        engine = GatedWords(*bursts, name="mira-2", **options)
        services.engines = OpenEngines(
            engines={"mira-2": engine, "base": ScriptedWords(("I am the base.",), name="base")},
            described=(Voice(model="mira-2", speaker="Mira"), Voice(model="base", speaker="Base")),
        )
        return engine

    return make
