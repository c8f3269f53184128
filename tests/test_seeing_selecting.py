"""Which shots are shown: never the picture that is asked about nor a copy of it, the nearest last."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from drawn_examples import DRAWINGS
from scripted_eyes import TalkingEye, make_picture
from talkalike.chat.seeing import prints
from talkalike.chat.seeing.comprehend import PictureQuestion, PicturesAtHand, comprehend
from talkalike.chat.seeing.prints import PicturePrint, prints_of, take_print
from talkalike.chat.seeing.selecting import KnownOfPictures, select_shots
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.pictures.picture import Picture, UnreadablePictureError
from talkalike.pictures.pixels import pixels

NAMES = ("one", "two", "three", "four", "five")
PICTURES = {name: make_picture(name).ref for name in NAMES}
SHOTS = tuple(Shot(picture=PICTURES[name], output=name) for name in NAMES)
ASKED = make_picture("asked").ref


def spec(selection: Selection, most: int, shots: tuple[Shot, ...] = SHOTS) -> TaskSpec:
    return TaskSpec(name="numbers", shots=shots, selection=selection, max_shots=most)


def chosen(task: TaskSpec, known: KnownOfPictures | None = None) -> list[str]:
    return [shot.output for shot in select_shots(task, [ASKED], known or KnownOfPictures()).shots]


def features(**vectors: tuple[float, ...]) -> KnownOfPictures:
    by_hash = {(ASKED if name == "asked" else PICTURES[name]).hash: vector for name, vector in vectors.items()}
    return KnownOfPictures(features=by_hash)


def test_all_begins_at_the_first_and_newest_ends_at_the_last() -> None:
    assert chosen(spec(Selection.ALL, 3)) == ["one", "two", "three"]
    assert chosen(spec(Selection.NEWEST, 3)) == ["three", "four", "five"]
    assert chosen(spec(Selection.NEWEST, 8)) == list(NAMES)
    for selection in Selection:
        assert chosen(spec(selection, 0)) == []


def test_the_nearest_stand_last_and_equally_near_ones_always_in_the_same_order() -> None:
    near = features(asked=(1, 0), one=(1, 1), two=(0, 1), three=(1, 0.2), four=(-1, 0))
    words = Shot(picture=None, output="words")
    assert chosen(spec(Selection.NEAREST, 2), near) == ["one", "three"]
    assert chosen(spec(Selection.NEAREST, 6, (words, *SHOTS)), near) == ["words", "five", "four", "two", "one", "three"]
    same = features(asked=(1, 0), **dict.fromkeys(NAMES, (1, 1)))
    orders = [chosen(spec(Selection.NEAREST, 8, shots), same) for shots in (SHOTS, SHOTS[::-1])]
    assert orders[0] == orders[1]


def test_without_features_the_newest_are_shown_and_it_is_said() -> None:
    found = select_shots(spec(Selection.NEAREST, 2), [ASKED])
    assert [shot.output for shot in found.shots] == ["four", "five"]
    assert "the newest ones were shown" in found.notes[0]


@pytest.mark.parametrize("selection", Selection)
def test_the_picture_that_is_asked_about_is_never_a_shot(selection: Selection) -> None:
    near = features(asked=(1, 0), one=(1, 1), three=(1, 0.001), four=(0, 1))
    for asked, known in ((PICTURES["three"], KnownOfPictures()), (ASKED, near)):
        found = select_shots(spec(selection, 8), [asked], known)
        assert "three" not in [shot.output for shot in found.shots]
        assert len(found.shots) == 4
        assert found.dropped == (("example 3", "it shows the picture that you ask about"),)


# ------------------------------------------------------------------------------------------------------------ copies
def print_of(image: Image.Image) -> PicturePrint:
    return take_print(np.asarray(image.convert("RGB").resize((64, 64))))


def saved(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out)


def shape(colour: str, *, at: int = 40) -> Image.Image:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).rectangle((at, 40, at + 48, 88), fill=colour)
    return image


@pytest.mark.parametrize("name", ["house", "boat"])
def test_a_copy_is_recognised_saved_scaled_or_dimmed(name: str) -> None:
    original = DRAWINGS[name]()
    first = print_of(original)
    dimmed = Image.eval(original, lambda level: round(level * 0.95))
    for copy in (saved(original, 30), original.resize((640, 480)), original.resize((96, 72)), dimmed):
        assert first.is_near(print_of(copy))


def test_the_same_drawing_in_another_colour_or_place_is_no_copy() -> None:
    first = print_of(shape("red"))
    assert first.is_near(print_of(saved(shape("red"), 40)))
    for other in (shape("blue"), shape("green"), shape("orange"), shape("red", at=64), DRAWINGS["house"]()):
        assert not first.is_near(print_of(other))


def test_pages_with_other_words_are_no_copies_and_a_dimmed_wide_picture_is_one() -> None:
    def page(text: str) -> Picture:
        image = Image.new("RGB", (320, 200), "white")
        ImageDraw.Draw(image).text((20, 80), text, fill="black", font=ImageFont.load_default(size=22))
        return as_picture(image)

    wide = DRAWINGS["house"]().resize((400, 150))
    dimmed = as_picture(Image.eval(wide, lambda level: round(level * 0.8)))
    pictures = [page("HELLO WORLD"), page("41752 99021"), as_picture(wide), dimmed]
    words, other, first, copy = prints_of({one.hash: one for one in pictures}).values()
    assert not words.is_near(other)
    assert first.is_near(copy)


def test_a_copy_of_the_picture_asked_about_is_no_shot() -> None:
    prints = {PICTURES[name].hash: print_of(shape(colour)) for name, colour in (("one", "red"), ("two", "blue"))}
    known = KnownOfPictures(prints={**prints, ASKED.hash: print_of(saved(shape("blue"), 40))})
    assert chosen(spec(Selection.ALL, 8, SHOTS[:2]), known) == ["one"]


def as_picture(image: Image.Image, kind: str = "PNG") -> Picture:
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 50} if kind == "JPEG" else {}))
    return Picture(data=out.getvalue(), width=image.width, height=image.height, content_type=f"image/{kind.lower()}")


async def test_a_copy_is_recognised_from_its_bytes_whoever_asks() -> None:
    red, blue = (as_picture(shape(colour)) for colour in ("red", "blue"))
    task = TaskSpec(name="shapes", shots=tuple(Shot(picture=one.ref, output="x") for one in (red, blue)))
    copy = as_picture(shape("blue").resize((96, 96)), "JPEG")
    eye, given = TalkingEye(lambda turns: "y"), PicturesAtHand(gallery={one.hash: one for one in (red, blue)})
    answer = await comprehend(PictureQuestion(pictures=(copy,), task=task), eye=eye, given=given)
    assert answer.dropped == (("example 2", "it shows the picture that you ask about"),)
    assert answer.shots == 1


def test_prints_are_taken_of_what_can_be_opened_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    red, broken = as_picture(shape("red")), make_picture("broken")
    found = prints_of({red.hash: red, broken.hash: broken})
    assert list(found) == [red.hash]
    assert found[red.hash].is_near(print_of(shape("red")))
    monkeypatch.setattr(prints, "pixels", None)  # nothing is opened a second time
    assert prints_of({red.hash: red}) == found


def test_see_through_is_white_and_a_wide_picture_is_whole_in_its_square() -> None:
    image = Image.new("RGBA", (80, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 39, 39), fill=(0, 0, 255, 255))
    seen = pixels(as_picture(image), 40)
    assert seen.shape == (40, 40, 3) and seen.dtype == np.uint8
    assert seen[20, 5].tolist() == [0, 0, 255]
    assert seen[20, 35].tolist() == seen[2, 5].tolist() == [255, 255, 255]
    animated = replace(as_picture(shape("red")), frames=tuple(as_picture(shape(c)).data for c in ("red", "blue")))
    assert pixels(animated, 8, 1)[3, 4].tolist() == [0, 0, 255]
    with pytest.raises(UnreadablePictureError, match="cannot be opened"):
        pixels(make_picture("broken"), 8)
