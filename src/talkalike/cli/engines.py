"""The workspace's models as engines, each in a process of its own, opened when somebody first wants to talk to it."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from talkalike.chat.engines import Health, Voice
from talkalike.cli.talking import chosen_model
from talkalike.cli.workspace import Workspace
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Engine
from talkalike.errors import UserError
from talkalike.workspace.cards import Card
from talkalike.workspace.serving import serving_model

VOICES_SECONDS = 5.0  # how long a list of models read from the disk is believed
MOST_OPEN = 3  # models in memory at once; the one used longest ago is closed first


class WorkspaceEngines:
    """`talkalike.chat.engines.Engines` over the workspace's catalog."""

    def __init__(self, opened: Workspace, *, default: str | None = None) -> None:
        self._opened = opened
        self._named = default
        self._default = chosen_model(opened, default).name
        self._engines: dict[str, ProcessEngine] = {}
        self._lock = asyncio.Lock()
        self._voices: tuple[Voice, ...] = ()
        self._read_at = -math.inf

    @property
    def default(self) -> str:
        """The model named at the start, else the one that was promoted, else the one trained last, else the base."""
        self.voices()
        return self._default

    @property
    def voice(self) -> Voice:
        """The default model's."""
        return next(voice for voice in self.voices() if voice.model == self.default)

    def voices(self) -> tuple[Voice, ...]:
        """Every model with a readable card, newest first."""
        now = time.monotonic()
        if now - self._read_at > VOICES_SECONDS:
            self._voices = tuple(_voice(card) for card in reversed(self._opened.catalog().cards()))
            self._read_at = now
            self._default = self._named or serving_model(self._opened.models) or self._default
        return self._voices

    async def open(self, model: str) -> Engine:
        """The model's process, started if need be."""
        async with self._lock:
            if model in self._engines:
                self._engines[model] = self._engines.pop(model)  # the one used last stands last
                return self._engines[model]
            if model not in (voice.model for voice in self.voices()):
                raise UserError(f"There is no model '{model}'.", hint="`/model show` lists those there are.")
            while len(self._engines) >= MOST_OPEN:
                await self._engines.pop(next(iter(self._engines))).close()
            engine = ProcessEngine(
                model, command=partial(self._command, model), log=self._opened.runs / "serving" / f"{model}.log"
            )
            await engine.start()
            self._engines[model] = engine
            return engine

    def health(self) -> tuple[Health, ...]:
        """Each process."""
        return tuple(
            Health(
                model=engine.model,
                running=engine.running,
                restarts=engine.restarts,
                memory_bytes=engine.memory_bytes,
                problem=engine.problem,
            )
            for engine in self._engines.values()
        )

    async def close(self) -> None:
        """Ends them all."""
        async with self._lock:
            engines, self._engines = list(self._engines.values()), {}
            await asyncio.gather(*(engine.close() for engine in engines))

    def _command(self, model: str, listening: int) -> Sequence[str]:
        program = (sys.executable, "-m", "talkalike.cli.main", "serve", "--engine")
        return (*program, "--model", model, "--inherit", str(listening), "--workspace", str(self._opened.root))


def _voice(card: Card) -> Voice:
    return Voice(
        model=card.name,
        speaker=card.speakers[0] if card.speakers else "assistant",
        base=card.base,
        trained_at=datetime.fromisoformat(card.created),
        likeness=card.likeness.value if card.likeness else None,
        fictional=card.fictional,
    )
