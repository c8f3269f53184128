"""The models a face can talk through: which there are, and how each fares. What runs them is not the face's concern."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from talkalike.engine.protocol import Engine
from talkalike.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A model that can answer, and whose voice it has. `likeness` is its score (0..1), where it was measured."""

    model: str
    speaker: str
    base: str = ""
    trained_at: datetime | None = None
    likeness: float | None = None
    fictional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How one model's process fares. `problem` says in words what went wrong last; empty while all is well."""

    model: str
    running: bool
    restarts: int = 0
    memory_bytes: int = 0
    problem: str = ""


class Engines(Protocol):
    """Opens models by name and keeps them open. Safe to use from many conversations at once."""

    @property
    def default(self) -> str:
        """The model that answers where nothing else was chosen."""
        ...

    def voices(self) -> tuple[Voice, ...]:
        """Every model that can be chosen, newest first."""
        ...

    async def open(self, model: str) -> Engine:
        """The model's engine, started if need be. Raises UserError for an unknown name, TalkalikeError on failure."""
        ...

    def forget(self, conversations: Iterable[str] | None) -> None:
        """Deletes what models saved of these conversations (by `Talk.id`), or of all (None)."""
        ...

    def health(self) -> tuple[Health, ...]:
        """Each model that was opened so far."""
        ...

    async def close(self) -> None:
        """Stops them all. Safe to call twice."""
        ...


@dataclass(slots=True, kw_only=True)
class OpenEngines:
    """`Engines` over engines that are open already: a remote server, a scripted one, tests."""

    engines: Mapping[str, Engine]
    described: tuple[Voice, ...]
    problems: dict[str, str] = field(default_factory=dict)
    forgotten: list[tuple[str, ...] | None] = field(default_factory=list)

    @property
    def default(self) -> str:
        """The first model of those that were given."""
        return self.described[0].model

    def voices(self) -> tuple[Voice, ...]:
        """The models that were given."""
        return self.described

    async def open(self, model: str) -> Engine:
        """The engine of that name. Raises UserError for an unknown one."""
        if model not in self.engines:
            raise UserError(f"There is no model '{model}'.", hint=f"There is: {', '.join(self.engines)}.")
        return self.engines[model]

    def forget(self, conversations: Iterable[str] | None) -> None:
        """Nothing is saved here; `forgotten` lists what was to go."""
        self.forgotten.append(None if conversations is None else tuple(conversations))

    def health(self) -> tuple[Health, ...]:
        """All are running; `problems` are shown as they are."""
        return tuple(Health(model=name, running=True, problem=self.problems.get(name, "")) for name in self.engines)

    async def close(self) -> None:
        for engine in self.engines.values():
            await engine.close()
