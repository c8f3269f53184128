"""What Lite0 sees in each part of a picture: the frozen grid that connectors and gated layers are trained on.

Two depths of the network, one with a cell for every 8 pixels and one for every 16, laid together into 4 x 4 cells: the
finer one still knows colours and edges, the coarser one shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from talkalike.models.eyes.lite0 import Lite0, as_input
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import pixels

GRID_VERSION = "lite0-grid-1"
SIDE = 128  # pixels of the square that is looked at
CELLS = 16
_EIGHTH, _SIXTEENTH = 4, 10  # the last blocks with a cell for every 8 and every 16 pixels
CHANNELS = 16 * 40 + 4 * 112
_AT_ONCE = 32


@torch.inference_mode()
def grids(network: Lite0, seen: NDArray[np.uint8]) -> Tensor:
    """Pictures (n, 128, 128, 3) as grids (n, 16, 1088) in half precision."""
    x = functional.relu6(network.stem(as_input(seen)))
    fine = x
    for number, block in enumerate(network.blocks[: _SIXTEENTH + 1]):
        x = block(x)
        if number == _EIGHTH:
            fine = x
    parts = [functional.pixel_unshuffle(fine, 4), functional.pixel_unshuffle(x, 2)]
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).half().contiguous()


def picture_grids(network: Lite0, pictures: Sequence[Picture]) -> Iterator[Tensor]:
    """The grid (16, 1088) of each picture, its first frame; about 10 ms each."""
    for start in range(0, len(pictures), _AT_ONCE):
        seen = np.stack([pixels(picture, SIDE) for picture in pictures[start : start + _AT_ONCE]])
        yield from grids(network, seen)
