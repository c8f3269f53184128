"""What a task by example is: shots (a picture and what is to be answered), and how they are put before a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from talkalike.pictures.picture import PictureRef

IMAGE = "<image>"  # where a picture stands, in a template and in a prompt
TEXT = "{text}"  # where the words of an example, or of a question, stand in a template
MOST_EXAMPLES = 200  # of a task
MOST_SHOTS = 8  # put before one question
MOST_PICTURES = 4  # asked about at once
DEFAULT_TEMPLATE = f"{IMAGE}Output:"


class Selection(StrEnum):
    """Which examples are shown where there are more than fit: the first, the last, or those like the picture."""

    ALL = "all"
    NEWEST = "newest"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One example of a task. `text`: what stands where the template says {text}; `picture`: None for words alone."""

    picture: PictureRef | None
    text: str = ""
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as somebody describes it. `template` holds one <image> and may hold one {text}; `stop` ends an answer."""

    name: str
    instruction: str = ""
    shots: tuple[Shot, ...] = ()
    template: str = DEFAULT_TEMPLATE
    stop: tuple[str, ...] = ()
    selection: Selection = Selection.ALL
    max_shots: int = MOST_SHOTS


# --------------------------------------------------------------------------------------------- what a model is asked
Part = str | PictureRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question about pictures with the shots before it, the nearest last.

    `prompt` is the question's own chunk: what stands in it for a picture is <image>, once for each of `pictures`.
    `words`: what an eye saw, by a picture's hash, for models that read words only.
    """

    prompt: str
    pictures: tuple[PictureRef, ...] = ()
    instruction: str = ""
    template: str = DEFAULT_TEMPLATE
    shots: tuple[Shot, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLimits:
    """What a renderer's text demands of whoever reads it, or what a reader can take.

    `interleaves`: pictures may stand in several turns. `needs_system`: an instruction stands in a turn of the system.
    """

    max_images: int
    interleaves: bool = True
    needs_system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskTurn:
    """A turn as it is shown to a model; `role` is "system", "user" or "assistant"."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedAsk:
    """An ask, written for a kind of model: either `raw`, a text with <image> for each of `pictures`, or `turns`.

    `shots`: how many are in it. `dropped`: what is not, and why, in words for a person.
    """

    renderer: str
    turns: tuple[AskTurn, ...] = ()
    raw: str = ""
    pictures: tuple[PictureRef, ...] = ()
    shots: int = 0
    dropped: tuple[tuple[str, str], ...] = ()
