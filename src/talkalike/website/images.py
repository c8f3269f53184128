"""Pictures that people send: capped, checked, and written anew, so that nothing but the picture is kept."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageOps, UnidentifiedImageError

from talkalike.errors import UserError

MAX_BYTES = 8 * 2**20
MAX_PIXELS = 40_000_000
MAX_SIDE = 2048  # longer ones are scaled down
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
QUALITY = 88


class Readable(Protocol):
    """An open binary file, or a Django upload."""

    def read(self, count: int, /) -> bytes:
        """Reads at most `count` bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of ours: its bytes, its size in pixels and its type ("image/png" or "image/jpeg")."""

    data: bytes
    width: int
    height: int
    content_type: str


def reencode(source: Readable, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a PNG, JPEG, WebP or GIF (its first frame) and writes it anew, upright, without any metadata.

    Raises UserError for anything else, a broken file, or too many bytes or pixels.
    """
    data = source.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError("The picture is too large.", hint=f"Send one of at most {max_bytes / 2**20:.0f} MiB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is below
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > max_pixels:  # known before anything is unpacked
                raise UserError(
                    f"The picture has too many pixels ({picture.width} x {picture.height}).",
                    hint=f"Send one of at most {max_pixels // 1_000_000} megapixels.",
                )
            return _encode(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError):
        # What Pillow raises for files that are broken, or no pictures.
        raise UserError("This file is no picture that can be read.", hint="Send a PNG, JPEG, WebP or GIF.") from None


def _encode(picture: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((MAX_SIDE, MAX_SIDE))
    see_through = upright.has_transparency_data
    bare = upright.convert("RGBA" if see_through else "RGB")
    bare.info.clear()  # comments and profiles would be written again
    out = io.BytesIO()
    if see_through:
        bare.save(out, "PNG", optimize=True)
    else:
        bare.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Picture(
        data=out.getvalue(),
        width=bare.width,
        height=bare.height,
        content_type="image/png" if see_through else "image/jpeg",
    )
