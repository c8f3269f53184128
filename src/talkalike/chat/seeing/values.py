"""What a task by example is: shots (a picture and what is to be answered), and how they are put before a question."""

from __future__ import annotations

from dataclasses import dataclass
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
