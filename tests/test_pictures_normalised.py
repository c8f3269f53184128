"""Pictures that people send: written anew, without what came along; anything else is refused."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_SIDE
from talkalike.store.judging import pairs
from talkalike.store.talking import conversations
from talkalike.website.services import SiteServices
from website_chat import Talking, begin, numbers, page

pytest_plugins = ("website_site", "website_chat_site")

SECRET = b"taken at home"


def picture(form: str, size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, {"RGBA": (255, 0, 0, 90), "1": 1}.get(mode, "red")).save(out, form, **options)
    return out.getvalue()


def test_metadata_and_what_hangs_on_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6  # lies on its side
    sent = picture("JPEG", exif=exif, comment=SECRET) + b"<script>alert(1)</script>"
    kept = normalise(sent)
    assert SECRET in sent and SECRET not in kept.data and b"<script>" not in kept.data
    assert (kept.width, kept.height, kept.content_type) == (20, 40, "image/jpeg")
    with Image.open(io.BytesIO(kept.data)) as again:
        assert again.size == (20, 40) and not again.getexif()


@pytest.mark.parametrize(
    ("form", "mode", "kind"), [("PNG", "RGBA", "png"), ("PNG", "RGB", "jpeg"), ("GIF", "P", "jpeg")]
)
def test_transparency_is_kept(form: str, mode: str, kind: str) -> None:
    assert normalise(picture(form, mode=mode)).content_type == f"image/{kind}"


def test_large_ones_are_scaled_down_and_huge_ones_refused() -> None:
    kept = normalise(picture("PNG", (MAX_SIDE * 2, MAX_SIDE // 2)))
    assert (kept.width, kept.height) == (MAX_SIDE, MAX_SIDE // 4)
    with pytest.raises(UserError, match="too many pixels"):
        normalise(picture("PNG", (1001, 1000)), max_pixels=1_000_000)
    with pytest.raises(UserError, match="too large"):
        normalise(b"x" * 101, max_bytes=100)


def seen(data: bytes, place: tuple[float, float] = (0.5, 0.5)) -> tuple[int, ...]:
    """The colour at a place of what is kept, given in shares of width and height."""
    kept = normalise(data)
    with Image.open(io.BytesIO(kept.data)) as again:
        shown = again.convert("RGBA")
        x, y = (int(share * (side - 1)) for share, side in zip(place, shown.size, strict=True))
        return tuple(shown.getpixel((x, y)))


def is_near(colour: tuple[int, ...], wanted: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(colour, wanted, strict=False))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_at_the_top_is_at_the_top_however_the_phone_was_held(form: str, orientation: int) -> None:
    upright = Image.new("RGB", (64, 32), "white")
    upright.paste((200, 30, 30), (0, 0, 64, 16))  # red above, and blue in the lower left
    upright.paste((30, 30, 200), (0, 16, 32, 32))
    back = {  # how a camera stores it that says so (Exif 2.3, 4.6.4)
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    stored.save(out, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    kept = normalise(out.getvalue())
    assert (kept.width, kept.height) == (64, 32)
    assert is_near(seen(out.getvalue(), (0.5, 0.2)), (200, 30, 30), by=30)
    assert is_near(seen(out.getvalue(), (0.2, 0.8)), (30, 30, 200), by=30)
    assert is_near(seen(out.getvalue(), (0.8, 0.8)), (255, 255, 255), by=30)


def test_sixteen_bits_are_not_white() -> None:
    ramp = np.tile(np.linspace(0, 65_535, 256).astype(np.uint16), (16, 1))
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    with Image.open(io.BytesIO(normalise(out.getvalue()).data)) as kept:
        values = np.asarray(kept.convert("L"), dtype=float)
    assert values.mean() == pytest.approx(127, abs=2)
    assert values[:, 0].max() < 5 and values[:, -1].min() > 250


@pytest.mark.parametrize(
    ("mode", "colour", "form", "wanted"),
    [
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0, 255)),
        ("1", 1, "PNG", (255, 255, 255, 255)),
        ("L", 100, "PNG", (100, 100, 100, 255)),
        ("LA", (100, 40), "PNG", (100, 100, 100, 40)),
        ("RGBA", (10, 200, 10, 60), "WEBP", (10, 200, 10, 60)),
        ("RGB", (10, 200, 10), "AVIF", (10, 200, 10, 255)),
    ],
)
def test_colours_are_what_they_were(mode: str, colour: Any, form: str, wanted: tuple[int, ...]) -> None:
    out = io.BytesIO()
    Image.new(mode, (40, 20), colour).save(out, form, **({"lossless": True} if form == "WEBP" else {}))
    assert is_near(seen(out.getvalue()), wanted)


def test_a_palette_with_a_hole_stays_see_through() -> None:
    drawn = Image.new("P", (40, 20), 0)
    drawn.putpalette([0, 0, 0, 250, 10, 10])
    drawn.paste(1, (20, 0, 40, 20))
    out = io.BytesIO()
    drawn.save(out, "PNG", transparency=0)
    assert seen(out.getvalue(), (0.2, 0.5))[3] == 0
    assert is_near(seen(out.getvalue(), (0.8, 0.5)), (250, 10, 10, 255))


def test_a_profile_of_colours_is_applied_and_a_broken_one_passed_over() -> None:
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # not one of RGB: of no use here
    for profile in (swapped, b"no profile"):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (10, 200, 10)).save(out, "PNG", icc_profile=profile)
        assert is_near(seen(out.getvalue()), (10, 200, 10))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_near(seen(picture("JPEG", icc_profile=srgb)), (254, 0, 0))


def test_an_iphone_picture_is_named_whatever_the_file_is_called() -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64
    with pytest.raises(UserError, match="HEIC") as told:
        normalise(heic)
    assert "JPEG" in told.value.hint


def test_a_large_raster_in_a_small_file_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture("PNG", (7_000, 7_000), mode="1")
    assert len(data) < 50_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _self: pytest.fail("it was unpacked"))
    with pytest.raises(UserError, match="too many pixels"):
        normalise(data)


@pytest.mark.parametrize("data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", picture("BMP")])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="no picture that can be read"):
        normalise(data)


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "AVIF"]), st.integers(0, 400), st.binary(max_size=8))
def test_broken_files_are_refused_or_read_never_worse(form: str, cut: int, junk: bytes) -> None:
    data = picture(form)
    broken = data[: cut % len(data)] + junk + data[cut % len(data) + len(junk) :]
    for file in (broken, data[: cut % len(data)]):
        try:
            assert normalise(file).width > 0
        except UserError as error:
            assert error.hint


def test_judges_see_what_was_sent_with_a_message_and_nobody_else_does(
    person: Any, guest: Any, talking: Talking, services: SiteServices
) -> None:
    from talkalike.store.tables import judging_tables

    talking(("pretty",), ("red, I think",), ("no",))
    anna, judge, other = person("judge", name="anna"), guest("judge"), guest("judge")
    files = [io.BytesIO(picture("PNG")), io.BytesIO(picture("PNG", (9, 9)))]
    files[0].name, files[1].name = 'a "dog".png', "secret.png"
    address = begin(anna, "what is it?", pictures=files[0])
    anna.post(f"{address}{numbers(page(anna, address), 'theirs')[0]}/again/")
    begin(anna, "and this?", pictures=files[1])
    call = services.store.call
    batch = call(pairs.make_batch, "Dogs", seed=1)
    one, two = call(lambda: list(judging_tables.Item.objects.order_by("id").values_list("id", flat=True)[:2]))
    call(pairs.make_pair, one, two, batch)

    shown = judge.get(f"/judge/{batch}/").content.decode()
    src, alt = re.findall(r'<img src="([^"]+)" alt="([^"]+)" width="40" height="20" loading="lazy">', shown)[0]
    assert shown.count('loading="lazy"') == 1 and alt == "a &quot;dog&quot;.png, which anna sent"
    answer = judge.get(src)
    assert answer["Content-Type"] == "image/jpeg" and normalise(answer.content).width == 40
    assert "private" in answer["Cache-Control"]
    # Not for those to whom the pair was not given, and no other picture of hers.
    assert [who.get(src).status_code for who in (other, guest("viewer"), person())] == [404, 403, 302]
    assert judge.get(src.replace("/judge/1/", "/judge/2/")).status_code == 404
    assert judge.get(re.sub(r"\d+/$", "2/", src)).status_code == 404
    call(conversations.remove, "user:1", 1)
    assert judge.get(src).status_code == 404
