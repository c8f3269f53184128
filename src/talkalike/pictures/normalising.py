"""Pictures that people send: capped, checked, and written anew, so that nothing but the picture is kept."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from talkalike.errors import UserError

MAX_BYTES = 8 * 2**20
MAX_PIXELS = 40_000_000
MAX_SIDE = 2048  # longer ones are scaled down
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
QUALITY = 88
_IPHONE = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # brands of HEIF, ISO 23008-12
_SRGB = ImageCms.createProfile("sRGB")


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


def normalise(source: Readable, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a PNG, JPEG, WebP, AVIF or GIF (its first frame) and writes it anew: upright, in sRGB with 8 bits a
    channel, without any metadata, see-through where it was.

    What a file is, its first bytes say, never its name. Raises UserError for anything else, a broken file, or too many
    bytes or pixels, which are known before anything is unpacked.
    """
    data = source.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError("The picture is too large.", hint=f"Send one of at most {max_bytes / 2**20:.0f} MiB.")
    if data[4:8] == b"ftyp" and data[8:12] in _IPHONE:
        raise UserError("This is a HEIC picture, as iPhones take them, which is not read.", hint="Send it as a JPEG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is below
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > max_pixels:
                raise UserError(
                    f"The picture has too many pixels ({picture.width} x {picture.height}).",
                    hint=f"Send one of at most {max_pixels // 1_000_000} megapixels.",
                )
            return _write(_upright(picture))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        RuntimeError,
        ValueError,
        SyntaxError,
        EOFError,
    ):
        # What Pillow raises for files that are broken, or no pictures.
        raise UserError(
            "This file is no picture that can be read.", hint="Send a PNG, JPEG, WebP, AVIF or GIF."
        ) from None


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as people see it, in RGB or RGBA, no side longer than MAX_SIDE."""
    picture.draft(picture.mode, (MAX_SIDE, MAX_SIDE))  # a JPEG of twice that and more is unpacked at half its size
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((MAX_SIDE, MAX_SIDE))
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    if upright.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut off all above 255
        return Image.fromarray((np.asarray(upright).clip(0, 65_535) // 257).astype(np.uint8)).convert("RGB")
    profile = upright.info.get("icc_profile")
    if profile and upright.mode in ("RGB", "RGBA", "CMYK"):
        try:
            seen = ImageCms.profileToProfile(
                upright, ImageCms.ImageCmsProfile(io.BytesIO(profile)), _SRGB, outputMode=mode
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            seen = None  # a broken profile, or one of another kind of colours
        upright = seen or upright
    return upright.convert(mode)


def _write(picture: Image.Image) -> Picture:
    picture.info.clear()  # comments and profiles would be written again
    out = io.BytesIO()
    see_through = picture.mode == "RGBA"
    if see_through:
        picture.save(out, "PNG", optimize=True)
    else:
        picture.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Picture(
        data=out.getvalue(),
        width=picture.width,
        height=picture.height,
        content_type="image/png" if see_through else "image/jpeg",
    )
