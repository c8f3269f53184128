"""The small eye: which of 1,000 kinds of thing a picture shows, the text in it, its shape and colours.

It says nothing of what it is not sure of, and nothing of who somebody is: it knows no faces.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from talkalike.models.eyes.kinds import describe_kind
from talkalike.models.eyes.lite0 import SIDE, load_lite0, load_names, shares
from talkalike.models.eyes.reading import Read, open_reader
from talkalike.pictures.facts import describe_plainly
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import frame_count, pixels, pixels_in_shape

GLANCED, LOOKED = 1024, 2048  # pixels of the longest side at which text is read


@dataclass(frozen=True, slots=True)
class SmallSight:
    """What it saw: `kinds` of things, `text`, and `facts` that need no recognising."""

    kinds: tuple[str, ...]
    text: str
    facts: str

    @property
    def recognised(self) -> bool:
        return bool(self.kinds or self.text)

    @property
    def words(self) -> str:
        """One line for a person or a model; the facts alone where nothing was recognised."""
        if not self.recognised:
            return self.facts
        seen = ["; then ".join(self.kinds)] if self.kinds else []
        return "; ".join([*seen, *([f'text: "{self.text}"'] if self.text else [])])


class SmallEye:
    """The network and the reader in memory. Safe to use from several threads: one looks at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where what was fetched is damaged."""
        self._network = load_lite0(folder)
        self._names = load_names(folder)
        self._read: Read | None = open_reader()
        self._lock = threading.Lock()

    def look(self, picture: Picture, *, longest: int = GLANCED) -> SmallSight:
        """Looks at every frame; reads the first one's text at `longest` pixels. Takes 0.1 s, and 1 s where it reads."""
        with self._lock:
            kinds = dict.fromkeys(self._kind(picture, frame) for frame in range(frame_count(picture)))
            return SmallSight(
                kinds=tuple(filter(None, kinds)), text=self._text(picture, longest), facts=describe_plainly(picture)
            )

    def _kind(self, picture: Picture, frame: int) -> str:
        return describe_kind(shares(self._network, pixels(picture, SIDE, frame)[None])[0], self._names)

    def _text(self, picture: Picture, longest: int) -> str:
        return self._read(pixels_in_shape(picture, longest)) if self._read else ""
