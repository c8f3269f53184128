"""Who answers a question about pictures, what they are given, and what is told with the answer."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from scripted_eyes import AnsweringEye, ChunkEye, NamingEye, TalkingEye, make_picture
from talkalike.chat.seeing.comprehend import PictureQuestion, PicturesAtHand, SeenAnswer, comprehend, cut_at_stops
from talkalike.chat.seeing.defaults import default_pictures, default_tasks
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.engine.eyes import Eye, EyeTurn, Grade, Looked
from talkalike.engine.protocol import Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.options import SAMPLING
from talkalike.pictures.picture import Picture

RED, BLUE, ASKED, OTHER = (make_picture(name) for name in ("red", "blue", "asked", "other"))
TASK = TaskSpec(
    name="mugs",
    instruction="Name the colour.",
    shots=(Shot(picture=RED.ref, output="red"), Shot(picture=BLUE.ref, output="blue")),
    template="<image>Colour:",
    stop=("\n", "###"),
)
QUESTION = PictureQuestion(pictures=(ASKED,), task=TASK, label="mugs@3")
GIVEN = PicturesAtHand(gallery={picture.hash: picture for picture in (RED, BLUE)})
WORDS = {RED.hash: "a red mug", BLUE.hash: "a blue mug", ASKED.hash: "a green mug"}


async def ask_small(
    question: PictureQuestion, given: PicturesAtHand = GIVEN
) -> tuple[SeenAnswer, NamingEye, ScriptedEngine]:
    eye, engine = NamingEye(WORDS), ScriptedEngine([["green\nand more"]], name="a double")
    return await comprehend(question, eye=eye, engine=engine, given=given), eye, engine


async def test_a_text_model_reads_what_the_eye_saw_and_says_that_it_did_not_see() -> None:
    answer, _, engine = await ask_small(QUESTION)
    assert (answer.text, answer.shots, answer.of_shots, answer.renderer) == ("green", 2, 2, "text_only")
    assert (answer.by, answer.eye, answer.task, answer.prompt) == ("a double", "small eye", "mugs@3", "<image>Colour:")
    assert engine.prompts[0].turns == (
        Turn("system", "Name the colour."),
        Turn("user", "[picture: a red mug] Colour:"),
        Turn("assistant", "red"),
        Turn("user", "[picture: a blue mug] Colour:"),
        Turn("assistant", "blue"),
        Turn("user", "[picture: a green mug] Colour:"),
    )
    assert engine.prompts[0].speaker == "assistant"
    assert answer.notes == ("a double read a description by small eye; it did not see the picture.",)
    assert "task mugs@3 · 2 of 2 examples" in answer.footer
    assert "small eye looked, a double answered" in answer.footer
    assert {hash_: looked.words for hash_, looked in answer.seen.items()} == WORDS
    assert answer.tokens == 2  # "green", and the first behind the stop; the rest was not waited for


async def test_what_was_seen_before_is_not_looked_at_again() -> None:
    known = {hash_: Looked(words=words, sure=True) for hash_, words in WORDS.items()}
    answer, eye, engine = await ask_small(QUESTION, replace(GIVEN, words=known))
    assert (eye.looked, dict(answer.seen)) == ([], {})
    assert engine.prompts[0].turns[-1].text == "[picture: a green mug] Colour:"
    closer, eye, _ = await ask_small(replace(QUESTION, grade=Grade.LOOK), replace(GIVEN, words=known))
    assert eye.looked == [(ASKED.hash, Grade.LOOK)]  # the question's only, and not kept as if it were a glance
    assert dict(closer.seen) == {}


async def test_an_eye_that_is_not_sure_gives_no_words_to_invent_from() -> None:
    eye, engine = NamingEye({}), ScriptedEngine([["what's that?"]])
    await comprehend(replace(QUESTION, task=replace(TASK, shots=())), eye=eye, engine=engine)
    assert engine.prompts[0].turns[-1].text == "[picture, not recognised] Colour:"


async def test_without_a_model_the_words_of_the_eye_are_the_answer() -> None:
    eye = NamingEye(WORDS)
    answer = await comprehend(QUESTION, eye=eye, given=GIVEN)
    assert (answer.text, answer.by, answer.shots) == ("a green mug", "small eye", 0)
    assert answer.notes == ("No model answered: these are the words of the eye.",)
    assert eye.looked == [(ASKED.hash, Grade.GLANCE)]


async def test_shots_that_the_model_cannot_read_are_left_out_from_the_furthest_on() -> None:
    eye, engine = NamingEye(WORDS), ScriptedEngine([["green"]], name="a double", context_length=52)
    sampling = Sampling(max_tokens=20)  # leaves 31 for the prompt; it takes 37
    answer = await comprehend(replace(QUESTION, sampling=sampling), eye=eye, engine=engine, given=GIVEN)
    assert answer.dropped == (("1 of 2 examples", "a double reads 52 tokens, its answer included"),)
    assert [turn.text for turn in engine.prompts[0].turns if turn.speaker == "assistant"] == ["blue"]
    assert answer.shots == 1
    assert "left out: 1 of 2 examples, because a double reads 52 tokens" in answer.footer


async def test_an_eye_that_converses_gets_every_picture_in_its_place() -> None:
    eye = TalkingEye(lambda turns: " green ### and so on")
    answer = await comprehend(QUESTION, eye=eye, engine=ScriptedEngine([["never asked"]]), given=GIVEN)
    assert (answer.text, answer.by, answer.renderer, answer.picture_tokens) == (
        "green",
        "talking eye",
        "chat_turns",
        3 * 64,
    )
    assert [turn.parts for turn in eye.turns[0] if turn.role == "user"] == [
        (RED, "Colour:"),
        (BLUE, "Colour:"),
        (ASKED, "Colour:"),
    ]
    assert eye.turns[0][0] == EyeTurn(role="system", parts=("Name the colour.",))
    assert answer.notes == ()


async def test_an_eye_for_two_pictures_gets_the_nearer_shot_and_two_questions_at_once_are_no_problem() -> None:
    eye = TalkingEye(lambda turns: "?", max_images=2)
    answer = await comprehend(QUESTION, eye=eye, given=GIVEN)
    told = (("1 of 2 examples", "there is room for 2 pictures, those of the question included"),)
    assert (answer.shots, answer.dropped) == (1, told)
    both = await comprehend(replace(QUESTION, pictures=(ASKED, OTHER), prompt="Which?"), eye=eye, given=GIVEN)
    assert eye.turns[-1][-1].parts == (ASKED, OTHER, "Which?")
    assert both.shots == 0
    with pytest.raises(UserError, match="about 3 pictures, but what looks at them takes 2"):
        await comprehend(replace(QUESTION, pictures=(ASKED, OTHER, RED)), eye=eye)


async def test_an_eye_that_continues_gets_chunks() -> None:
    eye = ChunkEye("green")
    answer = await comprehend(QUESTION, eye=eye, given=GIVEN)
    chunks = "<image>Colour: red<|endofchunk|><image>Colour: blue<|endofchunk|><image>Colour:"
    assert eye.texts == [("Name the colour.\n" + chunks, (RED, BLUE, ASKED))]
    assert (answer.text, answer.renderer) == ("green", "flamingo_chunks")


async def test_an_eye_for_one_picture_and_a_question_gets_the_words_of_the_task() -> None:
    asked: list[str] = []

    def answer_it(picture: Picture, ask: str) -> str:
        asked.append(ask)
        return "green"

    words = replace(TASK, shots=(Shot(picture=None, output="red"), TASK.shots[1]))
    answer = await comprehend(
        replace(QUESTION, task=words, sampling=Sampling(temperature=0)), eye=AnsweringEye(answer_it), given=GIVEN
    )
    assert asked == ["Name the colour.\n\nColour: red\n\nColour:"]
    assert (answer.text, answer.shots, answer.picture_tokens) == ("green", 1, 64)
    assert answer.dropped[0][0] == "1 of 2 examples"
    assert "no option changed that" in answer.notes[0]
    with pytest.raises(UserError, match="there was none"):
        await comprehend(replace(QUESTION, pictures=()), eye=AnsweringEye(answer_it), given=GIVEN)


@pytest.mark.parametrize("key", [field.name for field in fields(Sampling)])
async def test_every_option_of_a_reply_reaches_whoever_answers(key: str) -> None:
    option = SAMPLING[key]
    sampling = replace(Sampling(), **{key: option.type(option.low + 1)})
    assert sampling != Sampling()
    talking = TalkingEye(lambda turns: "x")
    await comprehend(replace(QUESTION, sampling=sampling), eye=talking, given=GIVEN)
    assert talking.samplings == [sampling]
    given: list[Sampling] = []

    class Watched(ScriptedEngine):
        def stream(self, prompt, sampling):
            given.append(sampling)
            return super().stream(prompt, sampling)

    await comprehend(replace(QUESTION, sampling=sampling), eye=NamingEye(WORDS), engine=Watched([["x"]]), given=GIVEN)
    assert given == [sampling]


@pytest.mark.parametrize("eye", [NamingEye(WORDS), TalkingEye(lambda turns: "?"), ChunkEye("?")])
async def test_a_picture_of_the_task_is_not_its_own_example(eye: Eye) -> None:
    engine = ScriptedEngine([["?"]])
    answer = await comprehend(replace(QUESTION, pictures=(BLUE,)), eye=eye, engine=engine, given=GIVEN)
    assert answer.shots == 1
    assert answer.dropped == (("example 2", "it shows the picture that you ask about"),)


async def test_what_is_wrong_is_said_in_words_whoever_answers() -> None:
    for question, problem in (
        (replace(QUESTION, prompt="<image><image>"), "There is 1 picture, but the prompt has 2 <image>"),
        (replace(QUESTION, pictures=(ASKED,) * 20), "at most 4 pictures at once, but there were 20"),
        (replace(QUESTION, sampling=Sampling(temperature=9)), "temperature"),
    ):
        for eye in (NamingEye(WORDS), TalkingEye(lambda turns: "?"), ChunkEye("?")):
            with pytest.raises(UserError, match=problem):
                await comprehend(question, eye=eye, engine=ScriptedEngine([["?"]]), given=GIVEN)
    broken = ScriptedEngine([TalkalikeError("The connection was lost.")])
    with pytest.raises(TalkalikeError, match="lost"):
        await comprehend(QUESTION, eye=NamingEye(WORDS), engine=broken, given=GIVEN)


async def test_an_example_whose_picture_is_gone_is_left_out_and_told() -> None:
    answer, _, _ = await ask_small(QUESTION, PicturesAtHand(gallery={RED.hash: RED}))
    assert answer.dropped == (("1 of 2 examples", "their pictures are not kept any more"),)
    assert answer.shots == 1


async def test_without_features_the_nearest_are_the_newest_and_the_answer_says_so() -> None:
    task = replace(TASK, selection=Selection.NEAREST, max_shots=1)
    answer, _, engine = await ask_small(replace(QUESTION, task=task))
    assert engine.prompts[0].turns[-2].text == "blue"
    assert "the newest ones were shown" in answer.notes[0]


@pytest.mark.parametrize("name", default_tasks())
async def test_every_default_task_can_be_used(name: str) -> None:
    task = default_tasks()[name]
    eye = TalkingEye(lambda turns: "a boat\nand more")
    given = PicturesAtHand(gallery=default_pictures())
    answer = await comprehend(PictureQuestion(pictures=(ASKED,), task=task, prompt="What?"), eye=eye, given=given)
    assert answer.text == ("a boat" if name == "caption" else "a boat\nand more")
    last = eye.turns[-1][-1].parts
    assert last == (ASKED, "Instruction: What?\nResponse:" if name == "instruct" else "What?")
    assert answer.shots == len(task.shots)


def test_an_answer_ends_at_the_first_stop_behind_its_first_letter() -> None:
    assert cut_at_stops("\n red\nblue", ("###", "\n")) == "red"
    assert cut_at_stops("red", ("\n", "")) == "red"
    assert cut_at_stops("red###", ("\n", "###")) == "red"
