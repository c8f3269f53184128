"""The small eye, with its real weights: what it names, reads, and keeps silent about."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn
from PIL import Image, ImageDraw

from small_eye import small_eye_folder as small_eye_folder
from talkalike.engine.eyes import Grade
from talkalike.engine.local_eye import LocalSmallEye
from talkalike.errors import UserError
from talkalike.models.eyes import kinds
from talkalike.models.eyes.kinds import FAMILIES, describe_kind
from talkalike.models.eyes.lite0 import KINDS, NAMES_FILE, WEIGHTS_FILE, features, load_lite0, load_names, shares
from talkalike.models.eyes.small import SmallEye, SmallSight
from talkalike.pictures.facts import describe_plainly
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import pixels
from test_pictures_looked_at import as_bytes

PHOTOS = Path(sklearn.__file__).parent / "datasets" / "images"


def written(text: str, size: tuple[int, int] = (640, 200)) -> Picture:
    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((30, 60), text, fill="black", font_size=36)
    return normalise(as_bytes(page))


@pytest.fixture(scope="module")
def eye(small_eye_folder: Path) -> SmallEye:
    return SmallEye(small_eye_folder)


def test_the_network_is_the_one_that_was_trained(small_eye_folder: Path) -> None:
    """A photograph of a temple and one of a flower: the likeliest kinds, though neither is sure enough to be said."""
    network, names = load_lite0(small_eye_folder), load_names(small_eye_folder)
    seen = np.stack([pixels(normalise((PHOTOS / name).read_bytes()), 224) for name in ("china.jpg", "flower.jpg")])
    found = shares(network, seen)
    assert found.shape == (2, KINDS) and np.allclose(found.sum(axis=1), 1, atol=1e-4)
    assert {names[place] for place in np.argsort(-found[0])[:2]} == {"bell tower", "stupa"}
    assert np.allclose(found, np.concatenate([shares(network, seen[:1]), shares(network, seen[1:])]), atol=1e-5)
    grid = features(network, seen)
    assert (grid.pooled.shape, grid.fine.shape, grid.coarse.shape) == ((2, 1280), (2, 14, 14, 112), (2, 7, 7, 1280))


def test_it_says_nothing_of_what_it_does_not_know(eye: SmallEye) -> None:
    seen = eye.look(normalise((PHOTOS / "flower.jpg").read_bytes()))
    assert not seen.recognised and seen.words == seen.facts == "a wide picture, mostly turquoise and black"


def test_it_reads(eye: SmallEye) -> None:
    seen = eye.look(written("meet me at 7 by the old bridge"))
    assert seen.text == "meet me at 7 by the old bridge" and seen.kinds == ()
    assert seen.words == 'text: "meet me at 7 by the old bridge"'


def test_without_the_reader_it_names_only(small_eye_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkalike.models.eyes.reading.can_read", lambda: False)
    assert not SmallEye(small_eye_folder).look(written("hello there")).recognised


def test_a_family_is_said_before_a_kind_and_pages_are_not_things() -> None:
    names = [f"kind {number}" for number in range(KINDS)]
    names[207], names[879], names[922] = "golden retriever", "umbrella", "menu"

    def said(**at: float) -> str:
        found = np.zeros(KINDS, dtype=np.float32)
        for place, share in at.items():
            found[int(place[1:])] = share
        return describe_kind(found, names)

    assert said(k207=0.4, k208=0.35) == "a dog"
    assert said(k207=0.6, k208=0.2) == "a dog, perhaps a golden retriever"
    assert said(k207=0.4, k282=0.35) == "an animal"
    assert said(k207=0.4, k282=0.25) == ""
    assert (said(k879=0.79), said(k879=0.8), said(k922=0.99)) == ("", "an umbrella", "")


def test_families_name_kinds_that_there_are() -> None:
    for name, members in FAMILIES:
        numbers = kinds._numbers(members)
        assert len(numbers) == len(set(numbers)) and all(0 <= number < KINDS for number in numbers), name


def test_words_join_what_was_seen() -> None:
    assert SmallSight(("a dog", "a cat"), "HI", "").words == 'a dog; then a cat; text: "HI"'


@pytest.mark.parametrize(
    ("colour", "size", "words"),
    [
        ("red", (60, 20), "a wide picture with flat colours, mostly red"),
        ("white", (20, 60), "a tall picture with flat colours, mostly white"),
        ((10, 10, 12), (40, 40), "a square picture with flat colours, mostly black"),
        ((120, 70, 20), (40, 40), "a square picture with flat colours, mostly brown"),
        ((90, 180, 230), (40, 40), "a square picture with flat colours, mostly blue"),
    ],
)
def test_plain_facts(colour: str | tuple[int, int, int], size: tuple[int, int], words: str) -> None:
    assert describe_plainly(normalise(as_bytes(Image.new("RGB", size, colour)))) == words


def test_as_an_eye_it_opens_late_and_tells_what_is_damaged(small_eye_folder: Path, tmp_path: Path) -> None:
    async def look(folder: Path) -> str:
        eye = LocalSmallEye(folder)
        assert not eye.sight.answers
        looked = await eye.look(written("hello there"), grade=Grade.LOOK, ask="what is it?")
        await eye.close()
        return looked.words

    assert asyncio.run(look(small_eye_folder)) == 'text: "hello there"'
    for file, problem in ((WEIGHTS_FILE, "cannot be opened"), (NAMES_FILE, "cannot be read")):
        damaged = shutil.copytree(small_eye_folder, tmp_path / file)
        (damaged / file).write_bytes((damaged / file).read_bytes()[:100])
        with pytest.raises(UserError, match=problem) as told:
            asyncio.run(look(damaged))
        assert "eye fetch small" in told.value.hint
