"""An eye of a model's own: what it answers with kept pictures and prefixes is what a new one answers."""

from __future__ import annotations

import asyncio

import pytest
import torch

from drawn_pictures import SEEN, as_picture, draw, some_drawings
from random_small_eye import random_small_eye
from talkalike.engine.cache import PicturePlace, PrefixCache
from talkalike.engine.eyes import ContinuingEye
from talkalike.engine.own_eye import MOST_IMAGES, OwnEye, open_own_eye
from talkalike.engine.protocol import ContextTooLongError, Sampling
from talkalike.errors import UserError
from talkalike.models.eyes.adapter import make_adapter
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.files import EyeAbout, save_adapter
from talkalike.models.eyes.gated import GatedShape
from talkalike.models.eyes.grid import CELLS, CHANNELS, GRID_VERSION, picture_grids
from talkalike.models.eyes.lite0 import load_lite0
from talkalike.models.eyes.seen import IMAGE
from talkalike.models.load import load_network
from talkalike.workspace.cards import Card, Catalog
from tiny_model import build_tiny_llama

DRAWN = Sampling(temperature=2, repetition_penalty=1, max_tokens=8, seed=4)
PICTURES = [as_picture(draw(one, seed=number)) for number, one in enumerate(some_drawings(12, pairs=SEEN, seed=5))]
A, B = PICTURES[:2]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A tiny base, and an eye of each kind with random weights."""
    folder = tmp_path_factory.mktemp("own")
    random_small_eye(folder / "small")
    catalog = Catalog(folder / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    network = load_network(catalog.path("tiny"), dtype=torch.float32, device=torch.device("cpu"))
    grids_of_all = torch.stack(list(picture_grids(load_lite0(folder / "small"), PICTURES)))
    torch.manual_seed(0)
    for shape in (
        ConnectorShape(cells=CELLS, channels=CHANNELS, width=64, tokens=4),
        GatedShape(cells=CELLS, channels=CHANNELS, width=64, layers=2, every=1, latents=4, gate=0.9),
    ):
        catalog.path(shape.kind).mkdir()
        adapter = make_adapter(shape, network)
        adapter.scaling.fit(grids_of_all)
        loud = adapter.norm.weight if shape.kind == "connector" else adapter.resampler.norm.weight
        loud.data.mul_(4)  # the tiny model's own weights say much
        about = EyeAbout(
            **{shape.kind: shape}, encoder=GRID_VERSION, base="tiny", vocabulary="", end=0, prompt="Output:"
        )
        save_adapter(adapter, about, catalog.path(shape.kind))
        created = "2026-01-01T00:00:01+00:00"
        catalog.save_card(Card(name=shape.kind, kind="eye", created=created, method=shape.kind, parents=("tiny",)))
    return catalog


def opened(catalog: Catalog, name: str) -> OwnEye:
    return open_own_eye(catalog, name, encoder=catalog.root.parent / "small", dtype="float32")


def answers(eye: OwnEye, *asked: tuple[str, tuple]) -> list[str]:
    """What it says to each, one after the other."""

    async def ask() -> list[str]:
        return [(await eye.go_on(text, pictures, DRAWN)).words for text, pictures in asked]

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", ["connector", "gated"])
def test_equal_words_about_other_pictures_are_answered_as_by_a_new_eye(catalog: Catalog, kind: str) -> None:
    asked = [("<image>what is it?", (one,)) for one in (A, B, A)]
    asked += [("<image>Output: red<|endofchunk|><image>Output:", pair) for pair in ((A, B), (B, B), (A, A), (A, B))]
    cold = [answers(opened(catalog, kind), one)[0] for one in asked]
    eye = opened(catalog, kind)
    assert answers(eye, *asked) == cold
    assert cold[0] == cold[2] != cold[1], "the picture makes a difference"
    assert len(set(cold[3:])) > 1
    assert eye.work.encoded == 2, "each picture is encoded once"


@pytest.mark.parametrize("kind", ["connector", "gated"])
def test_a_second_question_and_a_tasks_examples_are_not_computed_anew(catalog: Catalog, kind: str) -> None:
    eye = opened(catalog, kind)
    shots = "".join(f"<image>Output: {name}<|endofchunk|>" for name in ("red", "blue") * 4)

    def told(work: str, pictures: tuple) -> tuple[int, int]:
        encoded, read = eye.work.encoded, eye.work.read
        answers(eye, (work, pictures))
        return eye.work.encoded - encoded, eye.work.read - read

    first = told(shots + "<image>Output:", tuple(PICTURES[:9]))
    assert first[0] == 9
    again = told(shots + "<image>Output:", (*PICTURES[:8], PICTURES[9]))
    assert again[0] == 1, "of a task with eight examples the question alone is encoded"
    assert again[1] < first[1] / 4, "and read"
    assert told(shots + "<image>What else?", (*PICTURES[:8], PICTURES[9]))[0] == 0


def test_an_eye_says_what_it_cannot_take(catalog: Catalog) -> None:
    eye = opened(catalog, "connector")
    assert isinstance(eye, ContinuingEye)
    for text, pictures, said in (
        ("<image>a", (A, B), "2 pictures for 1 places"),
        ("<image>" * (MOST_IMAGES + 1), tuple(PICTURES[: MOST_IMAGES + 1]), "at most 9 pictures"),
    ):
        with pytest.raises(UserError, match=said):
            answers(eye, (text, pictures))
    with pytest.raises(ContextTooLongError, match="this eye reads 1,024 at once"):
        answers(eye, ("<image>" + "a b " * 2000, (A,)))
    assert answers(eye, ("<image>go on", (A,))) == answers(opened(catalog, "connector"), ("<image>go on", (A,)))
    with pytest.raises(UserError, match="is no eye"):
        open_own_eye(catalog, "tiny", encoder=catalog.root.parent / "small")
    looked = asyncio.run(eye.look(A))
    assert looked.tokens == 4
    asyncio.run(eye.close())


def test_a_prefix_ends_at_another_picture_and_at_its_very_place(catalog: Catalog) -> None:
    cache = PrefixCache(load_network(catalog.path("tiny"), dtype=torch.float32, device=torch.device("cpu")))
    tokens = [5, IMAGE, IMAGE, 6, IMAGE, IMAGE, 7]
    places = [PicturePlace(name, place) for name in "ab" for place in range(2)]
    cache.tokens, cache.places = list(tokens), list(places)
    assert cache.common_prefix(tokens, places) == 7
    assert cache.common_prefix(tokens, [*places[:2], PicturePlace("c", 0), places[3]]) == 4
    assert cache.common_prefix(tokens, [places[0], PicturePlace("a", 2), *places[2:]]) == 2
    assert cache.common_prefix(tokens) == 1, "without knowing the picture none is the same"
    assert cache.keep_common_prefix(tokens[:5], places[:3]) == 5
    assert cache.places == places[:3]
    cache.crop(2)
    assert cache.places == places[:1]
