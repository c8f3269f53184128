"""Pictures that people send: capped, checked, and written anew, so that nothing but the picture is kept."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from talkalike.pictures.picture import MAX_BYTES, MAX_PIXELS, MAX_SIDE, Picture, UnreadablePictureError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
QUALITY = 88
MOST_UNPACKED = 300_000_000  # pixels of an animation that are unpacked to come to its last frame
_IPHONE = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # brands of HEIF, ISO 23008-12
_SRGB = ImageCms.createProfile("sRGB")


def normalise(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a PNG, JPEG, WebP, AVIF or GIF and writes it anew: upright, in sRGB with 8 bits a channel, without any
    metadata, see-through where it was. Of an animation, its first, middle and last frame.

    What a file is, its first bytes say, never its name. Raises UnreadablePictureError for anything else, a broken file,
    or too many bytes or pixels, which are known before anything is unpacked. Takes up to a second: not for an event
    loop.
    """
    if len(data) > max_bytes:
        raise UnreadablePictureError(
            "The picture is too large.", hint=f"Send one of at most {max_bytes / 2**20:.0f} MiB."
        )
    if data[4:8] == b"ftyp" and data[8:12] in _IPHONE:
        raise UnreadablePictureError(
            "This is a HEIC picture, as iPhones take them, which is not read.", hint="Send it as a JPEG."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is below
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > max_pixels:
                    raise UnreadablePictureError(
                        f"The picture has too many pixels ({opened.width} x {opened.height}).",
                        hint=f"Send one of at most {max_pixels // 1_000_000} megapixels.",
                    )
                return _write_frames(opened)
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
        raise UnreadablePictureError(
            "This file is no picture that can be read.", hint="Send a PNG, JPEG, WebP, AVIF or GIF."
        ) from None


def _write_frames(opened: Image.Image) -> Picture:
    count = int(getattr(opened, "n_frames", 1))
    if count == 1 or opened.format not in ("GIF", "PNG", "WEBP", "AVIF"):  # some phones hang a second JPEG on the first
        return _write([_upright(opened)])
    affordable = max(1, MOST_UNPACKED // (opened.width * opened.height))
    places = sorted({0, count // 2, count - 1}) if count <= affordable else [0]
    seen = []
    for place in places:
        try:
            opened.seek(place)
            seen.append(_upright(opened))
        except (EOFError, OSError, SyntaxError, ValueError):
            if not seen:
                raise
            break  # a file that breaks off: what came before is a picture
    note = f"animated, {len(seen)} of {count} frames"
    return _write(seen, frame_count=count, note=note)


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


def _write(pictures: Sequence[Image.Image], *, frame_count: int = 1, note: str = "") -> Picture:
    """All frames in one form: PNG as soon as one of them is see-through."""
    see_through = any(picture.mode == "RGBA" for picture in pictures)
    written = []
    for picture in pictures:
        picture.info.clear()  # comments and profiles would be written again
        out = io.BytesIO()
        if see_through:
            picture.save(out, "PNG", optimize=True)
        else:
            picture.save(out, "JPEG", quality=QUALITY, optimize=True)
        written.append(out.getvalue())
    return Picture(
        data=written[0],
        width=pictures[0].width,
        height=pictures[0].height,
        content_type="image/png" if see_through else "image/jpeg",
        frames=tuple(written) if len(written) > 1 else (),
        frame_count=frame_count,
        note=note,
    )
