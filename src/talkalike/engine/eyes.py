"""What an eye is: a picture becomes words. The small one that works offline, a vision model, or a server elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from talkalike.engine.protocol import Sampling
from talkalike.pictures.picture import Picture


class Grade(StrEnum):
    """How closely a picture is looked at, by what it costs: a glance in conversation, a look for text and details."""

    GLANCE = "glance"
    LOOK = "look"
    STUDY = "study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What an eye can do. `answers`: it takes a question about the picture, instead of only naming what it shows."""

    grades: tuple[Grade, ...]
    max_images: int = 1
    answers: bool = False


DESCRIBE = "Describe the picture in a short sentence."
"""What an eye that answers is asked where nobody asks anything."""
SMALL_SIGHT = Sight(grades=(Grade.GLANCE, Grade.LOOK))
"""What the small eye can do."""
OWN_SIGHT = Sight(grades=(Grade.GLANCE,), max_images=9, answers=True)
"""What an eye with weights of its own can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen, in words. `sure`: False where the eye recognised nothing, so that `words` are plain facts alone.

    `tokens`: what the picture itself cost in the model's prompt, where it did. `refused`: a gate let nobody look, and
    the picture is not to be kept.
    """

    words: str
    sure: bool
    seconds: float = 0.0
    tokens: int = 0
    refused: bool = False


class Eye(Protocol):
    """Anything that can look at a picture."""

    @property
    def name(self) -> str:
        """Which eye, with its version: words are kept under it, beside the picture's hash."""
        ...

    @property
    def sight(self) -> Sight:
        """What it can do."""
        ...

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What the picture shows, or the answer to `ask`. Raises TalkalikeError where the eye cannot be reached."""
        ...

    async def close(self) -> None:
        """Frees it. Safe to call twice."""
        ...


# ------------------------------------------------------------------------------------- eyes that take more than one
@dataclass(frozen=True, slots=True, kw_only=True)
class EyeTurn:
    """A turn with pictures where they stand; `role` is "system", "user" or "assistant"."""

    role: str
    parts: tuple[str | Picture, ...]


@runtime_checkable
class ConversingEye(Eye, Protocol):
    """An eye that takes a conversation with up to `sight.max_images` pictures, and says what comes next in it."""

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        """What the assistant says next. Raises TalkalikeError where the eye cannot be reached."""
        ...


@runtime_checkable
class ContinuingEye(Eye, Protocol):
    """An eye that goes on with a text, as models do that were trained on <image>...<|endofchunk|>."""

    async def go_on(
        self, text: str, pictures: tuple[Picture, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE
    ) -> Looked:
        """What follows on `text`, up to the end of the chunk; each <image> in it stands for the next picture."""
        ...
