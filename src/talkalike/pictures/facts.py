"""What can be said of a picture without recognising anything in it: its shape, its colours, whether it moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import pixels_in_shape

_SIDE = 96  # pixels it is looked at with
_MUCH = 0.2  # share of the picture from which on a colour is named
_FLAT = 0.75  # share of neighbours of one colour, as in drawings and on screens; photographs have less
_HUES = (
    (15, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (195, "turquoise"),
    (260, "blue"),
    (290, "violet"),
)


def describe_plainly(picture: Picture) -> str:
    """A phrase such as "a wide picture with flat colours, mostly white and blue". Takes some milliseconds."""
    seen = pixels_in_shape(picture, _SIDE).astype(int)
    shape = picture.width / picture.height
    form = "wide" if shape > 1.2 else "tall" if shape < 1 / 1.2 else "square"
    flat = " with flat colours" if _flat_share(seen) >= _FLAT else ""
    moves = "animated " if picture.frame_count > 1 else ""
    named = main_colours(seen)
    article = "an" if moves else "a"
    return f"{article} {moves}{form} picture{flat}" + (f", mostly {' and '.join(named)}" if named else "")


def main_colours(seen: NDArray[np.int_]) -> list[str]:
    """The names of the at most two colours that cover most of (height, width, 3) values from 0 to 255."""
    names, counts = np.unique(_colour_names(seen.reshape(-1, 3)), return_counts=True)
    ranked = sorted(zip(counts / counts.sum(), names, strict=True), reverse=True)
    return [str(name) for share, name in ranked[:2] if share >= _MUCH]


def _flat_share(seen: NDArray[np.int_]) -> float:
    across = np.abs(np.diff(seen, axis=1)).max(axis=2) <= 3
    return float(across.mean()) if across.size else 1.0


def _colour_names(values: NDArray[np.int_]) -> NDArray[np.str_]:
    high, low = values.max(axis=1), values.min(axis=1)
    spread = np.maximum(high - low, 1)
    red, green, blue = values.T
    sector = np.select(
        [high == red, high == green], [(green - blue) / spread, 2 + (blue - red) / spread], 4 + (red - green) / spread
    )
    hue = (60 * sector) % 360
    names = np.select([hue < limit for limit, _ in _HUES], [name for _, name in _HUES], "pink")
    names = np.where(hue >= 345, "red", names)
    grey = (high - low) < np.maximum(24, 0.15 * high)
    brown = (names == "orange") & (high < 170)
    names = np.where(brown, "brown", names)
    names = np.where(grey, "grey", names)
    names = np.where(grey & (low > 215), "white", names)
    return np.where(high < 45, "black", names)
