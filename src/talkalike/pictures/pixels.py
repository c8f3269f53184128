"""A picture as it is looked at: opaque, as numbers or as a file that every server reads."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from talkalike.pictures.picture import Picture, UnreadablePictureError

_WHITE, _GREY = (255, 255, 255), (128, 128, 128)
_NEARLY_WHITE = 225  # mean of what is not see-through, above which white ground would hide it
_QUALITY = 90


def pixels(picture: Picture, side: int, frame: int = 0) -> NDArray[np.uint8]:
    """The picture, or one of its frames, as (side, side, 3): whole, in the middle of a white square.

    See-through parts are white, or grey where the drawing itself is nearly white. Raises UnreadablePictureError for
    bytes that are no picture of ours.
    """
    return np.asarray(ImageOps.pad(_opaque(picture, side, frame), (side, side), color=_WHITE))


def pixels_in_shape(picture: Picture, longest: int, frame: int = 0) -> NDArray[np.uint8]:
    """The same as (height, width, 3), neither side above `longest`, never enlarged."""
    return np.asarray(_within(_opaque(picture, longest, frame), longest))


def as_jpeg(picture: Picture, longest: int, frame: int = 0) -> bytes:
    """The same as a JPEG: the one form that every vision server reads."""
    out = io.BytesIO()
    _within(_opaque(picture, longest, frame), longest).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def plain_square(colour: tuple[int, int, int], side: int = 64) -> Picture:
    """A square of one colour (red, green, blue), for asking whether an eye sees anything at all."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, "JPEG", quality=_QUALITY)
    return Picture(data=out.getvalue(), width=side, height=side, content_type="image/jpeg")


def frame_count(picture: Picture) -> int:
    """How many frames can be looked at."""
    return max(1, len(picture.frames))


def _opaque(picture: Picture, longest: int, frame: int) -> Image.Image:
    data = picture.frames[frame] if picture.frames else picture.data
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
            opened.draft("RGB", (longest, longest))  # a JPEG is unpacked no larger than needed
            if not opened.has_transparency_data:
                return opened.convert("RGB")
            seen = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnreadablePictureError("This picture cannot be opened.", hint="Send it again.") from error
    return Image.alpha_composite(Image.new("RGBA", seen.size, (*_ground(seen), 255)), seen).convert("RGB")


def _ground(seen: Image.Image) -> tuple[int, int, int]:
    values = np.asarray(seen.resize((64, 64), Image.Resampling.BOX), dtype=float)
    cover = values[..., 3]
    if not cover.sum():
        return _WHITE
    mean = (values[..., :3].mean(axis=2) * cover).sum() / cover.sum()
    return _GREY if mean > _NEARLY_WHITE else _WHITE


def _within(seen: Image.Image, longest: int) -> Image.Image:
    seen.thumbnail((longest, longest))
    return seen
