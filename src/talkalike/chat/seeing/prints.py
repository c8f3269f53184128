"""Prints of pictures, by which a copy is told that was saved anew, scaled or dimmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkalike.pictures.picture import Picture, UnreadablePictureError
from talkalike.pictures.pixels import pixels

Pixels = NDArray[np.uint8]  # (height, width, 3)

_GRID = 16  # fields of a print along each side
_MOST_APART = 24.0  # of 255 levels, between any two fields of a picture and its copy
_SIDE = 96  # pixels along each side that a print is taken from
_MOST_KEPT = 1000
_kept: dict[str, PicturePrint] = {}  # by a picture's hash, the oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePrint:
    """What is left of a picture when it is saved anew, scaled or dimmed: 16 x 16 fields of red, green and blue."""

    fields: tuple[float, ...]

    def is_near(self, other: PicturePrint) -> bool:
        """Whether it is a copy, as far as can be told. The same drawing in another colour or place is none."""
        return float(np.abs(np.subtract(self.fields, other.fields)).max()) <= _MOST_APART


def take_print(of: Pixels) -> PicturePrint:
    """The print of a picture, from its pixels in any size of 16 x 16 or more."""
    rows, columns = (np.linspace(0, size, _GRID + 1).astype(int) for size in of.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(of.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1)
    levels = sums / (np.diff(rows)[:, None] * np.diff(columns)[None, :])[..., None]
    bright = levels * (128.0 / max(1.0, float(levels.mean())))  # so that brighter and darker copies are alike
    return PicturePrint(fields=tuple(float(level) for level in bright.ravel()))


def _without_margins(square: Pixels, picture: Picture) -> Pixels:
    """What of the square is the picture itself: margins stay white in a darker copy, too."""
    longest = max(picture.width, picture.height)
    high, wide = (max(_GRID, round(_SIDE * size / longest)) for size in (picture.height, picture.width))
    top, left = (_SIDE - high) // 2, (_SIDE - wide) // 2
    return square[top : top + high, left : left + wide]


def prints_of(pictures: Mapping[str, Picture]) -> dict[str, PicturePrint]:
    """The prints of those of these pictures that can be opened, by hash. Takes a few milliseconds for each new one."""
    found: dict[str, PicturePrint] = {}
    for hash_, picture in pictures.items():
        made = _kept.get(hash_)
        if made is None:
            try:
                made = take_print(_without_margins(pixels(picture, _SIDE), picture))
            except UnreadablePictureError:
                continue
            _kept[hash_] = made
            if len(_kept) > _MOST_KEPT:
                _kept.pop(next(iter(_kept)), None)
        found[hash_] = made
    return found
