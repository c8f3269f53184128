"""A vision model of transformers as an eye: encoded once, never answering about the picture before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from talkalike.engine.eyes import EyeTurn, Grade
from talkalike.engine.local_vision import LocalVisionEye
from talkalike.engine.protocol import Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.eyes import vision
from talkalike.models.eyes.fetching import fetch_eye
from talkalike.models.eyes.vision import GLANCE, LOOK, STUDY, VisionModel, VisionTurn
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture
from talkalike.workspace.eyes import EyeCatalog
from test_pictures_looked_at import animation, as_bytes
from tiny_vision import write_tiny_llava, write_tiny_vision

GREEDY = {"max_new_tokens": 8, "do_sample": False}


def drawn(colour: str, size: tuple[int, int] = (90, 60)) -> Picture:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), fill=colour)
    return normalise(as_bytes(picture))


A, B = drawn("red"), drawn("blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vision(tmp_path_factory.mktemp("vision") / "tiny-vision")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llava(tmp_path_factory.mktemp("vision") / "tiny-llava")


def asked(*parts: str | Picture) -> list[VisionTurn]:
    return [VisionTurn(role="user", parts=parts)]


def cold(folder: Path, turns: list[VisionTurn], closeness: vision.Closeness = GLANCE) -> str:
    return VisionModel(folder, dtype="float32").write(turns, closeness, GREEDY).text


def test_the_same_words_about_another_picture_are_answered_as_by_a_cold_model(folder: Path) -> None:
    warm = VisionModel(folder, dtype="float32")
    wanted = {picture.hash: cold(folder, asked(picture, "What is it?")) for picture in (A, B)}
    assert wanted[A.hash] != wanted[B.hash]
    for picture in (A, B, A, A, B):
        assert warm.write(asked(picture, "What is it?"), GLANCE, GREEDY).text == wanted[picture.hash]
    assert warm.encodes == 2


def test_another_family_remembers_as_well_as_it_sees_anew(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asked(A, "What is it?")
    longer = [*first, VisionTurn(role="assistant", parts=("hm",)), *asked(B, "And this?")]
    warm = VisionModel(llava, dtype="float32")
    said = [warm.write(turns, LOOK, GREEDY) for turns in (first, longer, asked(B, "What is it?"), first)]
    assert warm.encodes == 2 and said[0].text == said[3].text != said[2].text and said[0].picture_tokens == 16
    monkeypatch.setattr(vision, "_ROWS_ALONE", frozenset())
    plain = VisionModel(llava, dtype="float32")
    assert [plain.write(turns, LOOK, GREEDY).text for turns in (first, longer)] == [said[0].text, said[1].text]
    assert plain.encodes == 3, "a family that is not known is given its pictures each time"


def test_a_persona_before_a_picture_leaves_it_whole(folder: Path) -> None:
    warm = VisionModel(folder, dtype="float32")
    persona = VisionTurn(role="system", parts=("You are Anna.",))
    tokens = [warm.write([*before, *asked(A, "?")], GLANCE, GREEDY).picture_tokens for before in ([], [persona])]
    after_words = warm.write([*asked("hello"), VisionTurn(role="assistant", parts=("hi",)), *asked(A)], GLANCE, GREEDY)
    assert tokens == [4, 4] and after_words.picture_tokens == 4


def test_a_second_question_reads_only_what_is_new(folder: Path) -> None:
    warm = VisionModel(folder, dtype="float32")
    first = warm.write(asked(A, "What is it?"), GLANCE, GREEDY)
    assert first.encoded == 1 and first.read == first.prompt_tokens and first.picture_tokens == 4
    longer = [*asked(A, "What is it?"), VisionTurn(role="assistant", parts=(first.text,)), *asked("Why?")]
    second = warm.write(longer, GLANCE, GREEDY)
    assert second.encoded == 0 and second.text == cold(folder, longer)
    assert second.read < second.prompt_tokens - first.prompt_tokens + 12
    with_another = [*longer, *asked(B, "And this?")]
    third = warm.write(with_another, GLANCE, GREEDY)
    assert third.encoded == 1 and third.text == cold(folder, with_another)
    exchanged = [*asked(B, "What is it?"), *longer[1:]]  # the same tokens, another picture
    assert warm.write(exchanged, GLANCE, GREEDY).text == cold(folder, exchanged)


def test_one_picture_twice_and_two_in_either_order(folder: Path) -> None:
    warm = VisionModel(folder, dtype="float32")
    for turns in (asked(A, A, "same?"), asked(A, B, "same?"), asked(B, A, "same?"), asked(A, "x", A, "same?")):
        assert warm.write(turns, GLANCE, GREEDY).text == cold(folder, turns)
    assert warm.encodes == 2


def test_closer_looks_cost_more_and_are_kept_apart(folder: Path) -> None:
    warm = VisionModel(folder, dtype="float32")
    wide = drawn("red", (600, 300))
    tokens = [warm.write(asked(wide, "?"), close, GREEDY).picture_tokens for close in (GLANCE, LOOK, STUDY, GLANCE)]
    assert tokens[0] == tokens[3] == 4 < tokens[1] <= tokens[2]
    assert warm.encodes == 3
    assert warm.write(asked(wide, "?"), LOOK, GREEDY).text == cold(folder, asked(wide, "?"), LOOK)


def test_an_animation_is_three_pictures(folder: Path) -> None:
    moving = normalise(animation("GIF"))
    written = VisionModel(folder, dtype="float32").write(asked(moving, "?"), GLANCE, GREEDY)
    assert written.encoded == 3 and written.picture_tokens == 12


def test_what_is_kept_has_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "MOST_FEATURES", 1)
    warm = VisionModel(folder, dtype="float32")
    for picture in (A, B, A):
        warm.write(asked(picture, "?"), GLANCE, GREEDY)
    assert warm.encodes == 3
    warm.forget()
    assert warm.write(asked(A, "?"), GLANCE, GREEDY).text == cold(folder, asked(A, "?"))


def test_too_long_a_conversation_is_told(folder: Path) -> None:
    with pytest.raises(TalkalikeError, match="room for 2,048"):
        VisionModel(folder, dtype="float32").write(asked(A, "word " * 500), GLANCE, {"max_new_tokens": 8})


def test_the_words_of_a_picture_token_are_not_one(folder: Path) -> None:
    """Whoever types them is neutralised before; a model asked past that says so instead of mixing pictures up."""
    with pytest.raises((TalkalikeError, ValueError)):
        VisionModel(folder, dtype="float32").write(asked(A, "<image> and <image>"), GLANCE, GREEDY)


def test_it_is_fetched_from_a_folder_and_looks(folder: Path, tmp_path: Path) -> None:
    catalog = EyeCatalog(tmp_path / "eyes")
    card = fetch_eye(str(folder), catalog, say=lambda _: None)
    assert (card.name, card.kind) == ("tiny-vision", "vision") and catalog.cards() == [card]

    async def look() -> None:
        eye = LocalVisionEye(catalog.path(card.name), name=card.name, dtype="float32")
        one = await eye.look(A, ask="What?")
        again = await eye.look(A, ask="What?", grade=Grade.GLANCE)
        assert one.words == again.words and one.tokens == 4
        drawn_words = Sampling(temperature=1.5, seed=1, max_tokens=9)
        turns = (EyeTurn(role="user", parts=(A, "What?")),)
        said = [await eye.converse(turns, replace(drawn_words, seed=seed)) for seed in (1, 1, 2)]
        assert said[0].words == said[1].words != said[2].words
        with pytest.raises(UserError, match="best_of"):
            await eye.converse(turns, replace(drawn_words, best_of=2))
        await eye.close()

    asyncio.run(look())


def test_what_is_no_vision_model_is_told(tmp_path: Path) -> None:
    catalog = EyeCatalog(tmp_path / "eyes")
    with pytest.raises(UserError, match="neither known nor a folder"):
        fetch_eye("smolvlm256", catalog, say=lambda _: None)
    text_only = tmp_path / "text-only"
    text_only.mkdir()
    (text_only / "config.json").write_text('{"model_type": "llama"}')
    (text_only / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="takes no pictures"):
        fetch_eye(str(text_only), catalog, say=lambda _: None)
    assert catalog.cards() == [] and list((tmp_path / "eyes").iterdir()) == []
