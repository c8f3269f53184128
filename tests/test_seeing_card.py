"""The card of a task: true shots against shots that can teach nothing, with eyes whose abilities are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from scripted_eyes import NamingEye, TalkingEye, make_picture
from talkalike.charts.plotter import draw, save
from talkalike.chat.seeing.card import TaskCard, card_charts, card_json, is_right, make_card, read_card
from talkalike.chat.seeing.comprehend import PicturesAtHand
from talkalike.chat.seeing.selecting import KnownOfPictures
from talkalike.chat.seeing.trials import TrialPlan, TrialResult, plan_trials, run_trials
from talkalike.chat.seeing.values import Selection, Shot, TaskSpec
from talkalike.engine.eyes import EyeTurn, Looked
from talkalike.engine.scripted import ScriptedEngine
from talkalike.pictures.picture import Picture

LABELS = {"red": "dax", "blue": "wug", "green": "fep"}  # made-up names: only the examples tell what is meant
ARMS = ["0", "0+2t", "1", "2", "4", "8", "shuffled labels", "blank shots", "blank query"]


def make_plan(each: int = 8, *, selection: Selection = Selection.ALL, max_shots: int = 8) -> TrialPlan:
    pictures = {f"{colour} {number}": make_picture(f"{colour} {number}") for number in range(each) for colour in LABELS}
    shots = tuple(Shot(picture=seen.ref, output=LABELS[name.split()[0]]) for name, seen in pictures.items())
    spec = TaskSpec(name="names", shots=shots, template="<image>Name:", selection=selection, max_shots=max_shots)
    return TrialPlan(spec=spec, pictures={seen.hash: seen for seen in pictures.values()})


def colour_of(picture: Picture) -> str:
    """What this eye sees: the first word of a picture of ours, nothing in a grey one."""
    return next((colour for colour in LABELS if picture.data.startswith(colour.encode())), "")


def pairs_of(turns: tuple[EyeTurn, ...]) -> list[tuple[str, str]]:
    """What was seen in each example, and what was answered."""
    seen = [
        next((colour_of(part) for part in turn.parts if isinstance(part, Picture)), "no picture")
        for turn in turns
        if turn.role == "user"
    ]
    said = [str(turn.parts[0]) for turn in turns if turn.role == "assistant"]
    return list(zip(seen, [*said, ""], strict=True))


def learner(turns: tuple[EyeTurn, ...]) -> str:
    """Says what the last example of the same colour says: all that can be learned from examples."""
    *shots, (asked, _) = pairs_of(turns)
    return next((said for colour, said in reversed(shots) if colour == asked), "?")


def copier(turns: tuple[EyeTurn, ...]) -> str:
    """Says what most examples say: it learns the form, and looks at no picture."""
    *shots, _ = pairs_of(turns)
    return Counter(said for _, said in shots).most_common(1)[0][0] if shots else "?"


def knower(turns: tuple[EyeTurn, ...]) -> str:
    """Knows the answer without any example."""
    return LABELS.get(pairs_of(turns)[-1][0], "?")


async def measure(plan: TrialPlan, answer: Callable[[tuple[EyeTurn, ...]], str], *, max_images: int = 9) -> TaskCard:
    eye = TalkingEye(answer, max_images=max_images)
    results = [one async for one in run_trials(plan_trials(plan), eye=eye, given=PicturesAtHand(gallery=plan.pictures))]
    return make_card(plan, results, eye=eye.name)


def shares(card: TaskCard) -> dict[str, float]:
    return {arm.name: arm.share.share or 0.0 for arm in card.arms}


async def test_what_examples_teach_shows_and_every_control_falls_where_it_must() -> None:
    card = await measure(make_plan(), learner)
    found = shares(card)
    assert list(found) == ARMS
    assert (found["0"], found["0+2t"], found["blank shots"], found["blank query"]) == (0, 0, 0, 0)
    assert found["1"] < found["2"] < found["4"] <= found["8"]
    assert found["8"] > 0.85  # three of 24 have no example of their colour among those shown
    assert 0.1 < found["shuffled labels"] < 0.6
    assert card.lift is not None and card.lift.control == "shuffled labels"
    assert 0.2 < card.lift.low < card.lift.value == pytest.approx(found["8"] - found["shuffled labels"])
    assert card.says[0].startswith("The examples help:")
    assert len(card.says) == 1
    assert card.n == 24


async def test_an_eye_that_copies_the_form_gets_no_lift_and_is_called_blind() -> None:
    card = await measure(make_plan(), copier)
    assert card.lift is not None and card.lift.low < 0.05
    assert "The examples help" not in " ".join(card.says)
    assert "It is not shown that the picture is seen" in " ".join(card.says)
    assert "Always saying the commonest answer would be right in 33 % of cases." in card.says


async def test_an_eye_that_needs_no_examples_is_told_from_one_that_learns() -> None:
    card = await measure(make_plan(), knower)
    assert shares(card)["0"] == shares(card)["shuffled labels"] == shares(card)["blank shots"] == 1
    assert shares(card)["blank query"] == 0
    assert card.says == ("The examples teach at most the form of an answer: with their labels shuffled it is as good.",)


async def test_below_twelve_examples_nobody_is_asked_and_nothing_is_said() -> None:
    plan = make_plan(3)  # nine
    assert plan_trials(plan) == ()
    card = await measure(plan, learner)
    assert card.says == (
        "Nothing can be said yet: the task has 9 examples with a picture, and at least 12 are needed.",
    )
    assert (card.arms, card.lift, card_charts(card)) == ((), None, ())
    assert plan_trials(make_plan(4))


async def test_an_eye_for_one_picture_at_a_time_is_shown_no_examples_and_the_card_says_so() -> None:
    card = await measure(make_plan(4), learner, max_images=1)
    (says,) = card.says
    assert says.startswith("Nothing can be said of the examples: the eye talking eye was shown none")
    few = await measure(make_plan(4), learner, max_images=4)
    assert any("Of 8 examples only 3.0 were shown" in one for one in few.says)


def test_an_example_is_never_asked_about_with_itself_or_a_copy_as_a_shot() -> None:
    plan = make_plan(5)
    first, copy = (shot.picture for shot in plan.spec.shots[:2])
    assert first is not None and copy is not None
    plan = TrialPlan(
        spec=plan.spec,
        pictures=plan.pictures,
        known=KnownOfPictures(features={first.hash: (1.0, 0.0), copy.hash: (1.0, 0.001)}),
    )
    asked = 0
    for trial in plan_trials(plan):
        shown = {shot.picture.hash for shot in trial.question.task.shots if shot.picture}
        query = trial.question.pictures[0].hash
        assert query not in shown
        if query in (first.hash, copy.hash):
            asked += 1
            assert not shown & {first.hash, copy.hash}
    assert asked == 2 * (len(ARMS) - 1)


def test_each_arm_asks_about_the_same_pictures_and_the_same_seed_plans_the_same() -> None:
    plan = make_plan()
    trials = plan_trials(plan)
    assert trials == plan_trials(plan)
    assert trials != plan_trials(TrialPlan(spec=plan.spec, pictures=plan.pictures, seed=1))
    by_arm = {arm: [trial for trial in trials if trial.arm == arm] for arm in ARMS}
    asked = [trial.question.pictures[0].hash for trial in by_arm["8"]]
    assert sorted(asked) == sorted(plan.pictures)
    for arm in ARMS[:-1]:
        assert [trial.question.pictures[0].hash for trial in by_arm[arm]] == asked
    for true, shuffled in zip(by_arm["8"], by_arm["shuffled labels"], strict=True):
        outputs = [[shot.output for shot in trial.question.task.shots] for trial in (true, shuffled)]
        assert sorted(outputs[0]) == sorted(outputs[1])
        assert outputs[0] != outputs[1]
        assert [shot.picture for shot in true.question.task.shots] == [
            shot.picture for shot in shuffled.question.task.shots
        ]
    assert {len({shot.picture for shot in trial.question.task.shots}) for trial in by_arm["blank shots"]} == {1}
    assert {shot.picture for trial in by_arm["0+2t"] for shot in trial.question.task.shots} == {None}


def test_a_task_that_shows_three_examples_is_tried_with_up_to_three() -> None:
    assert make_plan(max_shots=3).levels == (1, 2, 3)
    arms = {trial.arm for trial in plan_trials(make_plan(max_shots=3))}
    assert arms == {"0", "0+2t", "1", "2", "3", *ARMS[-3:]}


async def test_a_text_model_is_measured_through_the_words_of_its_eye() -> None:
    plan = make_plan(4)
    eye = NamingEye({hash_: colour_of(picture) for hash_, picture in plan.pictures.items()})
    by_colour = {f"[picture: {colour}] Name:": label for colour, label in LABELS.items()}

    def answer(prompt):
        learned = {turn.text: after.text for turn, after in zip(prompt.turns, prompt.turns[1:], strict=False)}
        return [learned.get(prompt.turns[-1].text, "?") if prompt.turns[-1].text in by_colour else "?"]

    given = PicturesAtHand(gallery=plan.pictures, words={next(iter(plan.pictures)): Looked(words="red", sure=True)})
    trials = plan_trials(plan)
    results = [one async for one in run_trials(trials, eye=eye, engine=ScriptedEngine(answer), given=given)]
    assert len(eye.looked) == len(set(eye.looked)) == 12  # eleven pictures and the grey one, each once
    card = make_card(plan, results, eye=eye.name)
    assert card.lift is not None and card.lift.value > 0.4


def test_sentences_are_compared_by_likeness_and_names_word_by_word() -> None:
    plan = make_plan()
    answers = [(f"a {name} on the wooden table {place}", place) for place, name in enumerate(["mug", "cat", "hat"] * 5)]
    results = [
        TrialResult(arm=arm, expected=text, text=text if arm == "8" else "a mug", shots=8)
        for arm in ("8", "shuffled labels", "blank shots", "blank query")
        for text, _ in answers
    ]
    card = make_card(plan, results, eye="an eye")
    assert card.measure == "alike"
    assert shares(card)["8"] == pytest.approx(1)
    assert 0 < shares(card)["blank query"] < 0.5
    assert is_right(" Dax!", "dax")
    assert is_right("ＤＡＸ", "dax")
    assert not is_right("a dax", "dax")
    assert not is_right("!", "?")


async def test_the_card_is_kept_as_json_and_drawn(tmp_path: Path) -> None:
    for plan in (make_plan(4), make_plan(2)):
        card = await measure(plan, learner)
        assert read_card(json.loads(json.dumps(card_json(card)))) == card
    assert read_card({}) is None
    nearest = await measure(make_plan(4, selection=Selection.NEAREST), learner)
    assert nearest.says[-1].startswith("The nearest examples could not be found")
    charts = card_charts(nearest)
    assert len(charts) == 2
    drawn = str(draw(charts[0], width=720))
    assert "shuffled labels" in drawn and "examples shown" in drawn
    assert "two examples in words only" in str(draw(charts[1], width=720))
    save(charts, tmp_path / "card.svg", title="names")
    assert (tmp_path / "card.svg").read_text(encoding="utf-8").startswith("<svg")
