"""Pictures among tokens: where they stand, which one a token sees, and on which tokens there is loss.

A document is token ids with `IMAGE` at each place that a picture takes; how many places one takes, its adapter says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkalike.errors import UserError

IMAGE = -1  # stands among token ids where a picture is: no token of any vocabulary, so no model can write it


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenByTokens:
    """What the T tokens of one pass see of N pictures.

    `media_NKD`: what the adapter made of each picture. `picture_T`: the picture that a token sees, the last one up to
    it in its own document; -1 where there is none. `place_T`: which of a picture's places this is; -1 for words.
    """

    media_NKD: Tensor
    picture_T: Tensor
    place_T: Tensor


def see_row(ids_T: Tensor, lengths: Sequence[int], media_NKD: Tensor, *, places: int) -> SeenByTokens:
    """What the tokens of a row see whose documents have these lengths; each sees pictures of its own document alone."""
    is_place_T = ids_T == IMAGE
    before_T = is_place_T.cumsum(0)  # places up to here, this one counted
    place_T = torch.where(is_place_T, (before_T - 1) % places, -1)
    picture_T = (before_T + places - 1) // places - 1
    starts = torch.tensor([0, *np.cumsum(lengths)[:-1].tolist()], device=ids_T.device)
    first_D = (before_T[starts] - is_place_T[starts].long()) // places  # pictures before each document
    first_T = first_D.repeat_interleave(torch.tensor(list(lengths), device=ids_T.device))
    return SeenByTokens(
        media_NKD=media_NKD, picture_T=torch.where(picture_T >= first_T, picture_T, -1), place_T=place_T
    )


def loss_mask(ids_T: NDArray[np.int32], *, end: int, pad: int | None = None) -> NDArray[np.bool_]:
    """On which tokens there is loss: on what follows a picture, up to the end of its chunk, that end included.

    None on pictures and padding, before the first picture, nor between the end of a chunk and the next picture. Raises
    UserError where nothing is left: its loss would be no number.
    """
    mask_T = np.zeros(len(ids_T), dtype=np.bool_)
    within = False
    for place, token in enumerate(ids_T.tolist()):
        if token == IMAGE:
            within = True
            continue
        mask_T[place] = within and token != pad
        within = within and token != end
    if not mask_T.any():
        raise UserError("A sample has no text after a picture, so nothing can be learned from it.", hint="Add a text.")
    return mask_T
