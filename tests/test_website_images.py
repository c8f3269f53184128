"""Pictures that people send: written anew, without what came along; anything else is refused."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from talkalike.errors import UserError
from talkalike.store.judging import pairs
from talkalike.store.talking import conversations
from talkalike.website.images import MAX_SIDE, reencode
from talkalike.website.services import SiteServices
from website_chat import Talking, begin, numbers, page

pytest_plugins = ("website_site", "website_chat_site")

SECRET = b"taken at home"


def picture(form: str, size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "red" if mode != "RGBA" else (255, 0, 0, 90)).save(out, form, **options)
    return out.getvalue()


def test_metadata_and_what_hangs_on_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6  # lies on its side
    sent = picture("JPEG", exif=exif, comment=SECRET) + b"<script>alert(1)</script>"
    kept = reencode(io.BytesIO(sent))
    assert SECRET in sent and SECRET not in kept.data and b"<script>" not in kept.data
    assert (kept.width, kept.height, kept.content_type) == (20, 40, "image/jpeg")
    with Image.open(io.BytesIO(kept.data)) as again:
        assert again.size == (20, 40) and not again.getexif()


@pytest.mark.parametrize(
    ("form", "mode", "kind"), [("PNG", "RGBA", "png"), ("PNG", "RGB", "jpeg"), ("GIF", "P", "jpeg")]
)
def test_transparency_is_kept(form: str, mode: str, kind: str) -> None:
    assert reencode(io.BytesIO(picture(form, mode=mode))).content_type == f"image/{kind}"


def test_large_ones_are_scaled_down_and_huge_ones_refused() -> None:
    kept = reencode(io.BytesIO(picture("PNG", (MAX_SIDE * 2, MAX_SIDE // 2))))
    assert (kept.width, kept.height) == (MAX_SIDE, MAX_SIDE // 4)
    with pytest.raises(UserError, match="too many pixels"):
        reencode(io.BytesIO(picture("PNG", (1001, 1000))), max_pixels=1_000_000)
    with pytest.raises(UserError, match="too large"):
        reencode(io.BytesIO(b"x" * 101), max_bytes=100)


@pytest.mark.parametrize("data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", picture("BMP")])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="no picture that can be read"):
        reencode(io.BytesIO(data))


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.integers(0, 400), st.binary(max_size=8))
def test_broken_files_are_refused_or_read_never_worse(form: str, cut: int, junk: bytes) -> None:
    data = picture(form)
    broken = data[: cut % len(data)] + junk + data[cut % len(data) + len(junk) :]
    for file in (broken, data[: cut % len(data)]):
        try:
            assert reencode(io.BytesIO(file)).width > 0
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
    assert answer["Content-Type"] == "image/jpeg" and reencode(io.BytesIO(answer.content)).width == 40
    assert "private" in answer["Cache-Control"]
    # Not for those to whom the pair was not given, and no other picture of hers.
    assert [who.get(src).status_code for who in (other, guest("viewer"), person())] == [404, 403, 302]
    assert judge.get(src.replace("/judge/1/", "/judge/2/")).status_code == 404
    assert judge.get(re.sub(r"\d+/$", "2/", src)).status_code == 404
    call(conversations.remove, "user:1", 1)
    assert judge.get(src).status_code == 404
