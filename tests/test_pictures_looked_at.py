"""Pictures as they are looked at: animations in three frames, and nothing see-through in what an eye gets."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from talkalike.pictures import normalising
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture, UnreadablePictureError
from talkalike.pictures.pixels import as_jpeg, frame_count, pixels, pixels_in_shape


def animation(form: str, count: int = 7, size: tuple[int, int] = (40, 20)) -> bytes:
    """Black at first, red in the middle, blue at the end."""
    colours = ["black"] * (count // 2) + ["red"] + ["blue"] * (count - count // 2 - 1)
    frames = [Image.new("RGB", size, colour) for colour in colours]
    for number, frame in enumerate(frames):  # equal frames would be joined into one
        frame.putpixel((number % size[0], 0), (200, 200, number % 256))
    out = io.BytesIO()
    frames[0].save(out, form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {}))
    return out.getvalue()


def logo(ink: tuple[int, int, int], ground: tuple[int, ...], mode: str) -> Image.Image:
    drawn = Image.new(mode, (64, 64), ground)
    ImageDraw.Draw(drawn).ellipse((16, 16, 48, 48), fill=(*ink, 255) if mode == "RGBA" else ink)
    return drawn


def as_bytes(drawn: Image.Image, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    drawn.save(out, form, **({"lossless": True} if form == "WEBP" else {}))
    return out.getvalue()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_middle_and_last_frame(form: str) -> None:
    kept = normalise(animation(form))
    assert (kept.frame_count, frame_count(kept), kept.note) == (7, 3, "animated, 3 of 7 frames")
    assert kept.frames[0] == kept.data
    middles = [pixels_in_shape(kept, 40, frame)[10, 20] for frame in range(3)]
    for seen, wanted in zip(middles, [(0, 0, 0), (255, 0, 0), (0, 0, 255)], strict=True):
        assert np.abs(seen.astype(int) - wanted).max() < 12


def test_two_frames_are_both_seen_and_one_is_no_animation() -> None:
    assert normalise(animation("GIF", 2)).note == "animated, 2 of 2 frames"
    assert normalise(animation("GIF", 1)) == Picture(
        data=normalise(animation("GIF", 1)).data, width=40, height=20, content_type="image/jpeg"
    )


def test_of_an_animation_that_is_long_to_unpack_only_the_first_frame_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalising, "MOST_UNPACKED", 40 * 20 * 6)
    kept = normalise(animation("WEBP"))
    assert (frame_count(kept), kept.note) == (1, "animated, 1 of 7 frames")
    assert np.abs(pixels_in_shape(kept, 40)[10, 20].astype(int)).max() < 12


def test_an_animation_that_breaks_off_is_what_came_before() -> None:
    whole = animation("GIF", 9, (64, 64))
    kept = normalise(whole[: len(whole) * 2 // 3])
    assert 1 <= frame_count(kept) <= 3 and kept.width == 64


def test_the_hash_knows_all_frames_and_the_shape() -> None:
    one, other = normalise(animation("GIF", 7)), normalise(animation("GIF", 8))
    assert one.data == other.data and one.hash != other.hash
    flat = {"data": b"x", "content_type": "image/png"}
    assert Picture(width=6, height=4, **flat).hash != Picture(width=4, height=6, **flat).hash


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("ink", [(0, 0, 0), (200, 30, 30)])
def test_a_logo_without_ground_looks_like_the_same_on_white(form: str, ink: tuple[int, int, int]) -> None:
    see_through = normalise(as_bytes(logo(ink, (0, 0, 0, 0), "RGBA"), form))
    on_white = normalise(as_bytes(logo(ink, (255, 255, 255), "RGB")))
    assert see_through.content_type == "image/png"
    for a, b in [
        (pixels(see_through, 32), pixels(on_white, 32)),
        (pixels_in_shape(see_through, 64), pixels_in_shape(on_white, 64)),
    ]:
        assert np.abs(a.astype(int) - b).mean() < 4


def test_a_white_logo_without_ground_does_not_vanish() -> None:
    kept = normalise(as_bytes(logo((255, 255, 255), (0, 0, 0, 0), "RGBA")))
    seen = pixels(kept, 64).astype(int)
    assert seen[32, 32].min() > 250 and np.abs(seen[4, 4] - 128).max() < 3
    nothing = normalise(as_bytes(Image.new("RGBA", (8, 8), (0, 0, 0, 0))))
    assert pixels(nothing, 8).min() == 255


def test_the_shape_is_kept_on_white() -> None:
    seen = pixels(normalise(as_bytes(Image.new("RGB", (100, 25), (0, 0, 255)))), 64).astype(int)
    assert seen.shape == (64, 64, 3) and seen[4, 32].min() > 250 and np.abs(seen[32, 32] - (0, 0, 255)).max() < 12


def test_what_leaves_for_another_computer_is_an_opaque_jpeg_of_the_wanted_size() -> None:
    sent = as_jpeg(normalise(as_bytes(logo((0, 0, 0), (0, 0, 0, 0), "RGBA"), "WEBP")), 32)
    with Image.open(io.BytesIO(sent)) as again:
        assert (again.format, again.mode, again.size) == ("JPEG", "RGB", (32, 32))
        assert again.getpixel((2, 2)) > (240, 240, 240)


def test_bytes_that_are_no_picture_of_ours_are_told() -> None:
    with pytest.raises(UnreadablePictureError, match="cannot be opened"):
        pixels(Picture(data=b"GIF89a", width=1, height=1, content_type="image/png"), 8)
