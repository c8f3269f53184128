"""What a server offers beside the model it was started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from talkalike.engine.eyes import Eye
from talkalike.engine.protocol import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A model that can be asked for by its name, and who speaks in it unless a request says who."""

    engine: Engine
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a server offers beside its first model: others, and an eye, which requests name as a model, too."""

    models: OtherModels | None = None
    eye: Eye | None = None


class OtherModels(Protocol):
    """The models a request can name besides the first."""

    async def names(self) -> Sequence[str]:
        """Those there are now."""
        ...

    async def find(self, model: str) -> Offered | None:
        """The one of this name, None where none is offered. Raises TalkalikeError where it can't be opened."""
        ...
