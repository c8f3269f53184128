"""Tasks that are there from the start, with drawings of our own as examples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from talkalike.chat.seeing.values import IMAGE, TEXT, Shot, TaskSpec
from talkalike.pictures.picture import Picture

CAPTION = "caption"
_FOLDER = Path(__file__).parent / "drawings"
_WIDTH, _HEIGHT = 192, 144
_CAPTIONS = {"house": "a red house under a yellow sun", "boat": "a sailing boat on the sea"}


@cache
def drawing(name: str) -> Picture:
    """One of our drawings: "house", "boat", or "grey", which shows nothing."""
    data = (_FOLDER / f"{name}.jpg").read_bytes()
    return Picture(data=data, width=_WIDTH, height=_HEIGHT, content_type="image/jpeg")


@cache
def default_tasks() -> Mapping[str, TaskSpec]:
    """The tasks by name, the one that is used where none is named first."""
    shots = tuple(Shot(picture=drawing(name).ref, output=text) for name, text in _CAPTIONS.items())
    specs = (
        TaskSpec(
            name=CAPTION,
            instruction="Describe the picture in a short sentence.",
            shots=shots,
            template=f"{IMAGE}Caption:",
            stop=("\n",),
        ),
        TaskSpec(name="unconditional", template=IMAGE),
        TaskSpec(
            name="instruct",
            instruction="Do what you are asked about the picture, in full sentences.",
            template=f"{IMAGE}Instruction: {TEXT}\nResponse:",
        ),
        TaskSpec(
            name="read",
            instruction="Write down the text that stands in the picture, and nothing else.",
            template=f"{IMAGE}Text:",
        ),
    )
    return {spec.name: spec for spec in specs}


def default_pictures() -> dict[str, Picture]:
    """The pictures of these tasks, by hash."""
    return {picture.hash: picture for picture in map(drawing, _CAPTIONS)}
