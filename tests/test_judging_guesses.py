"""The friends' blind test: names hidden, sides in random order, one guess each, honest results."""

from __future__ import annotations

import pytest

from judging_world import judge
from talkalike.store.judging import guesses, judges
from talkalike.store.judging.guesses import Pseudonyms, Writing
from talkalike.store.judging.judgement_values import Reason, RefusedError, Side
from talkalike.store.judging.statistics import wilson
from talkalike.store.store import Store

pytest_plugins = ("store_databases",)
WEB = {"face": "web"}
CONTEXT = [("Anna Berg", "Ben, did Carl call?"), ("Carl", "yes, Berg!"), ("Ben", "ok"), ("Anna Berg", "Carla too")]


def ask(store: Store, round_id: int, number: int, arm: str = "double", model: str = "tuned") -> int:
    context = [*CONTEXT, ("Carl", f"number {number}")]
    real, other = Writing(messages=(f"real {number}",)), Writing(messages=(f"{arm} {number}",), model=model, arm=arm)
    return store.call(guesses.add_question, round_id, context, "Ben", real=real, other=other)


def side_of(view: guesses.Question, *, real: bool) -> Side:
    return Side.LEFT if view.replies.left.messages[0].startswith("real") == real else Side.RIGHT


def test_people_in_the_context_have_other_names_wherever_they_are_named(store: Store) -> None:
    round_id = store.call(guesses.make_round, "friends")
    real = Writing(messages=("Ann will tell Anna", "carl?"))
    other = Writing(messages=("ask CARL or Dora",), model="tuned", arm="double")
    store.call(guesses.add_question, round_id, CONTEXT, "Ben", real=real, other=other, hide=["Dora"])
    view = store.call(guesses.next_question, round_id, judge(store))
    assert view is not None
    assert view.replies.context == (
        ("Friend 1", "Ben, did Friend 2 call?"),
        ("Friend 2", "yes, Friend 1!"),
        ("Ben", "ok"),
        ("Friend 1", "Carla too"),
    )
    sides = {view.replies.left.messages, view.replies.right.messages}
    assert sides == {
        ("Ann will tell Friend 1", "Friend 2?"),
        ("ask Friend 2 or Friend 3",),
    }
    assert view.replies.speaker == "Ben"


def test_names_with_signs_and_shared_parts_are_replaced() -> None:
    masked = Pseudonyms(["J.P. (work)", "Ana Maria", "Ana", ""])
    assert masked.text("j.p. (work) met Maria and ANA, not Anabel") == "Friend 1 met Friend 2 and Friend 2, not Anabel"
    assert masked.name("nobody") == "nobody"
    assert Pseudonyms([]).text("Anna") == "Anna"


def test_everybody_guesses_once_and_is_told(store: Store) -> None:
    round_id, other = store.call(guesses.make_round, "one"), store.call(guesses.make_round, "two")
    for number in range(6):
        ask(store, round_id, number)
    ask(store, other, 0)
    anna, ben = judge(store), judge(store)
    sides = []
    for left in range(6, 0, -1):
        view = store.call(guesses.next_question, round_id, anna)
        assert view is not None and (view.answered, view.left_to_answer) == (6 - left, left)
        told = store.call(guesses.guess, view.replies.id, anna, side_of(view, real=True), **WEB)
        assert (told.right, told.arm, told.model) == (True, "double", "tuned")
        sides.append(told.real)
        # Who was told cannot guess again, and the first guess stays.
        again = store.call(guesses.guess, view.replies.id, anna, side_of(view, real=False), **WEB)
        assert again.right
    assert store.call(guesses.next_question, round_id, anna) is None
    assert set(sides) == {Side.LEFT, Side.RIGHT}
    view = store.call(guesses.next_question, round_id, ben)
    assert view is not None
    assert not store.call(guesses.guess, view.replies.id, ben, side_of(view, real=False), **WEB).right
    (result,) = store.call(guesses.results, round_id)
    assert result.taken_for_real == wilson(1, 7)
    assert store.call(guesses.results, other) == ()
    assert [(row.questions, row.guesses) for row in store.call(guesses.rounds)] == [(1, 0), (6, 7)]


def test_the_base_model_stands_beside_and_a_context_is_asked_about_once(store: Store) -> None:
    round_id = store.call(guesses.make_round, "arms")
    for number in range(3):
        ask(store, round_id, number)
        ask(store, round_id, number, arm="base", model="base")
    assert ask(store, round_id, 0) == ask(store, round_id, 0)
    for _ in range(4):
        who = judge(store)
        contexts = []
        while (view := store.call(guesses.next_question, round_id, who)) is not None:
            contexts.append(view.replies.context)
            said = view.replies.left.messages + view.replies.right.messages
            fooled = "double" in said[0] + said[1]
            store.call(guesses.guess, view.replies.id, who, side_of(view, real=not fooled), **WEB)
        assert len(contexts) == len(set(contexts)) == 3  # who knows the real reply is not asked about it again
    double, base = store.call(guesses.results)
    assert (double.arm, double.taken_for_real.share, base.arm, base.taken_for_real.share) == ("double", 1, "base", 0)
    assert double.taken_for_real.n + base.taken_for_real.n == 12
    assert double.taken_for_real.n == 6  # both arms as often


def test_closed_tests_blocked_guests_and_unknown_questions_are_refused(store: Store) -> None:
    round_id = store.call(guesses.make_round, "friends")
    question_id, anna = ask(store, round_id, 1), judge(store)

    def refusal(who: int, question: int) -> Reason:
        with pytest.raises(RefusedError) as told:
            store.call(guesses.guess, question, who, Side.LEFT, **WEB)
        return told.value.reason

    assert refusal(999, question_id) is Reason.UNKNOWN
    assert refusal(anna, 999) is Reason.UNKNOWN
    store.call(judges.set_blocked, anna, True)
    assert refusal(anna, question_id) is Reason.BLOCKED
    store.call(guesses.set_open, round_id, False)
    assert refusal(judge(store), question_id) is Reason.CLOSED
    with pytest.raises(RefusedError):
        store.call(guesses.next_question, round_id, judge(store))
