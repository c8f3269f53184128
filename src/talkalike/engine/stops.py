"""Stop strings: a reply ends where one of them would begin, also when it arrives in several pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from talkalike.engine.protocol import Piece


class StopStrings:
    """Lets pieces through, but holds back text that may yet turn out to be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held: list[Piece] = []
        self.found = False

    def push(self, piece: Piece) -> list[Piece]:
        """What may be shown now. After `found` turned true nothing more is to be pushed."""
        self._held.append(piece)
        text = "".join(held.text for held in self._held)
        places = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if places:
            self.found = True
            return self._release(min(places))
        return self._release(len(text) - max((_overlap(text, stop) for stop in self._stops), default=0))

    def rest(self) -> list[Piece]:
        """What was held back, once the reply is over."""
        held, self._held = self._held, []
        return held

    def _release(self, count: int) -> list[Piece]:
        shown: list[Piece] = []
        while self._held and count > 0:
            piece = self._held.pop(0)
            if len(piece.text) > count:
                self._held.insert(0, replace(piece, text=piece.text[count:], token_ids=(), logprobs=()))
                piece = replace(piece, text=piece.text[:count])
            count -= len(piece.text)
            shown.append(piece)
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
