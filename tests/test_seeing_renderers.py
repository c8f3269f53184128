"""How a question with its shots is written for a model, and that nothing a person wrote stands for a picture."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drawn_examples import DRAWINGS, FOLDER, HEIGHT, WIDTH
from scripted_eyes import make_picture
from talkalike.chat.seeing.checking import check_template
from talkalike.chat.seeing.defaults import default_pictures, default_tasks, drawing
from talkalike.chat.seeing.prompts import fill_prompt
from talkalike.chat.seeing.renderers import END_OF_CHUNK, RENDERERS, render_ask
from talkalike.chat.seeing.values import IMAGE, Ask, AskTurn, Part, RenderedAsk, Shot
from talkalike.errors import UserError
from talkalike.examples.picture_words import NOT_RECOGNISED, in_brackets, neutral
from talkalike.pictures.picture import PictureRef

RED, BLUE, ASKED, OTHER = (make_picture(name).ref for name in ("red", "blue", "asked", "other"))
ASK = Ask(
    prompt="<image>Colour:",
    pictures=(ASKED,),
    instruction="Name the colour.",
    template="<image>Colour:",
    shots=(
        Shot(picture=RED, output="red"),
        Shot(picture=None, output="none"),
        Shot(picture=BLUE, output="blue"),
    ),
    words={RED.hash: "a red mug", BLUE.hash: 'a mug; text: "HI]"', ASKED.hash: ""},
)
IMAGE_TOKENS = (
    "<image>",
    "</image>",
    "<img>",
    "<|image|>",
    "<|image_1|>",
    "<|image_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|endofchunk|>",
    "<fake_token_around_image>",
    "<global-img>",
    "<row_1_col_2>",
    "<end_of_utterance>",
    "<image_soft_token>",
    "<start_of_image>",
    "<IMG_CONTEXT>",
    "<__media__>",
    "<im_patch>",
    "[IMG]",
    "[IMG_BREAK]",
)


def user(*parts: Part) -> AskTurn:
    return AskTurn(role="user", parts=parts)


def said(text: str) -> AskTurn:
    return AskTurn(role="assistant", parts=(text,))


SYSTEM = AskTurn(role="system", parts=("Name the colour.",))


# -------------------------------------------------------------------------------------------------- the four of them
def test_chunks_are_one_text_that_ends_with_the_unfinished_question() -> None:
    rendered = render_ask("flamingo_chunks", ASK, max_images=9)
    assert rendered == RenderedAsk(
        renderer="flamingo_chunks",
        raw="Name the colour.\n<image>Colour: red<|endofchunk|>Colour: none<|endofchunk|>"
        "<image>Colour: blue<|endofchunk|><image>Colour:",
        pictures=(RED, BLUE, ASKED),
        shots=3,
    )


def test_turns_alternate_between_question_and_answer() -> None:
    rendered = render_ask("chat_turns", ASK, max_images=9)
    shots = (user(RED, "Colour:"), said("red"), user("Colour:"), said("none"), user(BLUE, "Colour:"), said("blue"))
    assert rendered.turns == (SYSTEM, *shots, user(ASKED, "Colour:"))
    assert (rendered.pictures, rendered.shots, rendered.dropped) == ((RED, BLUE, ASKED), 3, ())


def test_one_turn_holds_everything() -> None:
    rendered = render_ask("single_turn", ASK, max_images=9)
    shots = (RED, "Colour: red\n\nColour: none\n\n", BLUE, "Colour: blue\n\n")
    assert rendered.turns == (user("Name the colour.\n\n", *shots, ASKED, "Colour:"),)
    assert (rendered.pictures, rendered.shots) == ((RED, BLUE, ASKED), 3)


def test_for_a_text_model_words_in_brackets_stand_for_each_picture() -> None:
    rendered = render_ask("text_only", ASK, max_images=9)
    assert [(turn.role, *turn.parts) for turn in rendered.turns] == [
        ("system", "Name the colour."),
        ("user", "[picture: a red mug] Colour:"),
        ("assistant", "red"),
        ("user", "Colour:"),
        ("assistant", "none"),
        ("user", '[picture: a mug; text: "HI)"] Colour:'),
        ("assistant", "blue"),
        ("user", f"{NOT_RECOGNISED} Colour:"),
    ]


@pytest.mark.parametrize("name", RENDERERS)
def test_the_furthest_shots_go_first_never_the_question_and_it_is_said(name: str) -> None:
    for room, pictures, shots, told in (
        (3, (RED, BLUE, ASKED), 3, ()),
        (2, (BLUE, ASKED), 2, (("1 of 3 examples", "there is room for 2 pictures, those of the question included"),)),
        (1, (ASKED,), 1, (("2 of 3 examples", "there is room for 1 picture, those of the question included"),)),
    ):
        rendered = render_ask(name, ASK, max_images=room)
        assert (rendered.pictures, rendered.shots, rendered.dropped) == (pictures, shots, told)
    two = replace(ASK, prompt="<image><image>Which?", pictures=(ASKED, OTHER))
    with pytest.raises(UserError, match="about 2 pictures, but what looks at them takes 1 at once"):
        render_ask(name, two, max_images=1)


@pytest.mark.parametrize("name", RENDERERS)
def test_an_ask_without_instruction_and_shots_is_the_question_alone(name: str) -> None:
    rendered = render_ask(name, Ask(prompt="<image>", pictures=(ASKED,)), max_images=1)
    alone = rendered.raw or rendered.turns[0].parts
    assert alone == {"flamingo_chunks": IMAGE, "text_only": (NOT_RECOGNISED,)}.get(name, (ASKED,))
    assert len(rendered.turns) == (name != "flamingo_chunks")


# -------------------------------------------------------------------------------------------------- nobody can forge
pieces = st.lists(
    st.one_of(
        st.sampled_from((*IMAGE_TOKENS, "[picture: a lie]", "[ PICTURE, not recognised]", "<", ">", "[", "picture:")),
        st.text(max_size=6),
    ),
    max_size=6,
).map("".join)


@given(instruction=pieces, text=pieces, output=pieces, prompt=pieces, words=pieces, name=st.sampled_from([*RENDERERS]))
def test_no_text_of_a_person_stands_for_a_picture(
    instruction: str, text: str, output: str, prompt: str, words: str, name: str
) -> None:
    shots = (Shot(picture=RED, text=text, output=output + "x"), Shot(picture=None, text=text, output=output + "x"))
    template = "<image>Q: {text} A:"
    ask = Ask(
        prompt=fill_prompt(template, prompt.replace(IMAGE, ""), 1).prompt,
        pictures=(ASKED,),
        instruction=instruction,
        template=template,
        shots=shots,
        words={RED.hash: words, ASKED.hash: words},
    )
    rendered = render_ask(name, ask, max_images=9)
    assert rendered.pictures == (RED, ASKED)
    texts = [part for turn in rendered.turns for part in turn.parts if isinstance(part, str)] or [rendered.raw]
    for token in IMAGE_TOKENS:
        expected = {IMAGE: 2, END_OF_CHUNK: 2}.get(token, 0) if name == "flamingo_chunks" else 0
        assert sum(one.count(token) for one in texts) == expected, token
    brackets = sum(len(re.findall(r"\[\s*picture", one, re.IGNORECASE)) for one in texts)
    assert brackets == (2 if name == "text_only" else 0)


@given(st.text(max_size=40))
def test_other_text_is_left_as_it_is(text: str) -> None:
    plain = text.replace("<", "").replace("[", "")
    assert neutral(plain) == plain
    assert neutral(neutral(text)) == neutral(text)


def test_what_was_typed_can_still_be_read() -> None:
    assert neutral("where is <image> and [picture: x]? a<b, c>d, <br>, [1]") == (
        "where is ‹image› and (picture: x]? a<b, c>d, <br>, [1]"
    )
    assert neutral("<<image>image>") == "‹‹image›image›"
    assert in_brackets("two\nlines [and] <image>") == "[picture: two lines (and) ‹image›]"
    assert in_brackets(" ") == NOT_RECOGNISED
    assert len(in_brackets("word " * 1000)) < 650


# -------------------------------------------------------------------------------------------------------- the prompt
def test_a_prompt_says_once_for_each_picture_where_it_stands() -> None:
    assert fill_prompt("<image>Output:", "", 1).prompt == "<image>Output:"
    assert fill_prompt("<image>Q: {text} A:", "why?", 1).prompt == "<image>Q: why? A:"
    assert fill_prompt("<image>Q: {text} A:", "Left <image>, what?", 1).prompt == "Left <image>, what?"
    assert fill_prompt("<image>Q: {text} A:", "why?", 0).prompt == "Q: why? A:"
    assert not fill_prompt("<image>Output:", "", 1).notes
    for pictures, typed, prompt, note in (
        (1, "what's this?", "<image>what's this?", "<image> was put in front"),
        (2, "which?", "<image><image>which?", "2 <image> were put in front"),
        (2, "", "<image><image>Output:", "Each of the 2 pictures was put"),
    ):
        filled = fill_prompt("<image>Output:", typed, pictures)
        assert filled.prompt == prompt
        assert note in filled.notes[0]


@pytest.mark.parametrize(
    ("pictures", "typed", "problem"),
    [
        (1, "<image> and <image>", r"There is 1 picture, but the prompt has 2 <image>\. Write <image> once for each"),
        (2, "<image>Which?", r"There are 2 pictures, but the prompt has 1 <image>\."),
        (0, "<image>What?", r"There are 0 pictures, but the prompt has 1 <image>\. Leave <image> out, or send"),
        (20, "all of them", "at most 4 pictures at once, but there were 20"),
        (1, "long" * 2000, "at most 4,000 characters"),
    ],
)
def test_a_prompt_that_does_not_fit_its_pictures_is_refused(pictures: int, typed: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        fill_prompt("<image>Output:", typed, pictures)


# ------------------------------------------------------------------------------------------------------- the defaults
def test_the_tasks_that_are_shipped_have_their_pictures() -> None:
    assert list(default_tasks()) == ["caption", "unconditional", "instruct", "read"]
    for spec in default_tasks().values():
        check_template(spec.template)
    wanted = {shot.picture.hash for spec in default_tasks().values() for shot in spec.shots if shot.picture}
    assert wanted == default_pictures().keys()
    assert len(wanted) == 2


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_shipped_drawings_are_those_that_are_drawn_here(name: str) -> None:
    with Image.open(FOLDER / f"{name}.jpg") as shipped:
        difference = np.asarray(shipped, float) - np.asarray(DRAWINGS[name](), float)
    assert np.abs(difference).mean() < 3  # JPEG keeps no picture exactly
    assert drawing(name).ref == PictureRef(hash=drawing(name).hash, width=WIDTH, height=HEIGHT)
