"""A picture as numbers."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from talkalike.pictures.picture import Picture, UnreadablePictureError

_WHITE = (255, 255, 255)


def pixels(picture: Picture, side: int, frame: int = 0) -> NDArray[np.uint8]:
    """The picture, or one of its frames, as (side, side, 3): whole, in the middle of a white square.

    What is see-through is white. Raises UnreadablePictureError for bytes that are no picture of ours.
    """
    data = picture.frames[frame] if picture.frames else picture.data
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
            opened.draft("RGB", (side, side))  # a JPEG is unpacked no larger than needed
            seen = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
            if seen.mode == "RGBA":
                seen = Image.alpha_composite(Image.new("RGBA", seen.size, (*_WHITE, 255)), seen).convert("RGB")
            return np.asarray(ImageOps.pad(seen, (side, side), color=_WHITE))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnreadablePictureError("This picture cannot be opened.", hint="Send it again.") from error
