"""Habits, the two-sample test and verbatim copies, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from likeness_people import assistant, bursts, lena, ruben
from talkalike.evaluation import habits
from talkalike.evaluation.copying import compare_copying
from talkalike.evaluation.habits import HABITS, compare_habits, distances
from talkalike.evaluation.twosample import auc_within_folds, pairwise_wins, two_sample_auc
from talkalike.examples.copies import common_span, find_copies

BY_NAME = {habit.name: habit for habit in HABITS}


def counted(name: str, *messages: str) -> list[float]:
    return list(BY_NAME[name].count(messages))


def test_messages_are_sorted_into_the_right_classes() -> None:
    assert counted("emoji", "hi", "hi :)", "😂😂", "❤️ <3 xD", "👍🏽") == [1, 2, 1, 1]
    assert counted("endings", "hi", "hi.", "hi!", "hi?", "hi...", "hi!?", "(hi)", "wow…") == [1, 1, 1, 1, 2, 1, 1]
    assert counted("first letter", "Hi", "hi", "Ó", "7", ":)") == [1, 2, 2]
    assert counted("shouting", "I am ok", "NO", "OH NO", "A B", "HTML5 IS FUN :D") == [2, 1, 1, 1]
    assert counted("stretching", "so", "soo", "sooo", "noooo wayyy", "www.x.org 1000") == [3, 1, 1, 0]
    assert counted("diacritics", "málo", "x1") == [4, 1]
    assert counted("bursts", "a", "b", "c")[3] == 1 and sum(counted("bursts", "a", "b", "c")) == 1
    assert counted("length", "abc", "")[8] == 1 and sum(counted("length", "abc", "")) == 1  # log2(1 + 3) = 2 doublings


def test_punctuation_counts_characters() -> None:
    found = counted("punctuation", "a, b.", "§«")
    assert found[0] == 2 and found[1] == 1 and found[2] == 1 and found[-1] == 2  # letters; full stop; comma; others


def test_links_and_times_are_no_emoticons() -> None:
    assert [habits.smileys(text) for text in ("http://x.org/a", "at 8:30", "C:/Dos", ":D", "x)", "fox)", "<3<3")] == [
        0, 0, 0, 1, 1, 0, 1,
    ]  # fmt: skip


def test_distances_by_hand() -> None:
    emoji, size = BY_NAME["emoji"], BY_NAME["bursts"]
    rows = np.array([[1.0, 1, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]])
    assert distances(emoji, rows, np.array([3.0, 1, 0, 0])).tolist() == [0.25, 0.75, 0.0]
    one, two_or_four = np.eye(12)[1], np.eye(12)[2] + np.eye(12)[4]
    assert distances(size, np.stack([one, two_or_four]), one).tolist() == [0.0, 2.0]  # the mean distance moved


def test_the_author_is_about_1_and_others_are_farther() -> None:
    report = compare_habits(
        training=bursts(lena, 300, seed=1),
        real=bursts(lena, 60, seed=2),
        double=bursts(lena, 60, seed=3),
        base=bursts(ruben, 60, seed=4),
        bootstrap=100,
    )
    assert [score.name for score in report.habits] == [
        "length",
        "bursts",
        "emoji",
        "endings",
        "punctuation",
        "first letter",
        "stretching",
    ]  # nobody shouts or writes a diacritic here, so these habits are left out
    assert report.double.value is not None and report.double.value < 2
    assert report.base.value is not None and report.base.value > 5
    assert report.base.low is not None and report.base.low > (report.double.high or 0)
    by_name = {score.name: score for score in report.habits}
    assert by_name["first letter"].level_training == 0.0 and by_name["first letter"].level_base == 1.0
    assert by_name["bursts"].base.value is not None and by_name["bursts"].base.value < 3  # both burst alike


def test_a_tiny_own_distance_is_floored_by_chance() -> None:
    """The held-out replies equal the training replies: the own distance is 0, and yet nothing is divided by 0."""
    same = bursts(lena, 40, seed=1)
    report = compare_habits(training=same, real=same, double=bursts(lena, 40, seed=2), base=same, bootstrap=50)
    for score in report.habits:
        assert score.base.value == 0.0, score.name
        assert score.double.value is not None and np.isfinite(score.double.value) and score.double.value < 5, score.name


def test_habits_need_replies_and_equal_arms() -> None:
    few = bursts(lena, 5, seed=1)
    report = compare_habits(training=few, real=few, double=few, base=few)
    assert report.habits == () and "too few" in report.double.why
    with pytest.raises(ValueError, match="different length"):
        compare_habits(training=few, real=few, double=few, base=few[:4])


@given(st.lists(st.text(), max_size=3))
def test_every_text_can_be_counted(messages: list[str]) -> None:
    for habit in HABITS:
        assert habit.count(messages).shape == habit.level.shape


def test_pairwise_wins_by_hand() -> None:
    assert pairwise_wins(np.array([1.0, 3.0]), np.array([2.0, 1.0])).tolist() == [[0.0, 0.5], [1.0, 1.0]]


def test_auc_compares_within_folds_only() -> None:
    real, generated = np.array([5.0, 1.0, 9.0]), np.array([4.0, 2.0, 9.0])
    folds, weights = np.array([0, 0, 1]), np.array([[1.0, 1, 1], [2, 0, 0], [1, 0, 2]])
    # Fold 0: 5 beats 4 and 2, 1 beats none; fold 1: a tie. Across folds nothing counts.
    expected = [2.5 / 5, 4 / 4, (1 + 4 * 0.5) / (1 + 4)]
    assert auc_within_folds(real, generated, folds, weights).tolist() == expected
    # In one fold it is the area that scikit-learn knows, with the weights on both sides.
    scores = np.concatenate([real, generated])
    known = [roc_auc_score([1, 1, 1, 0, 0, 0], scores, sample_weight=np.tile(drawn, 2)) for drawn in weights]
    assert auc_within_folds(real, generated, np.zeros(3, dtype=int), weights) == pytest.approx(known)


def test_two_sample_finds_out_the_base_but_not_the_twin() -> None:
    real = bursts(lena, 60, seed=1)
    base = two_sample_auc(real, bursts(assistant, 60, seed=2), bootstrap=100)
    twin = two_sample_auc(real, bursts(lena, 60, seed=3), bootstrap=100)
    assert base.value == 1.0
    assert twin.value is not None and 0.3 < twin.value < 0.7
    assert twin.low is not None and twin.high is not None and twin.low < twin.value < twin.high
    assert twin == two_sample_auc(real, bursts(lena, 60, seed=3), bootstrap=100)


def test_two_sample_says_when_it_cannot_tell() -> None:
    assert "too few" in two_sample_auc([["a"]] * 19, [["b"]] * 19).why
    assert "empty" in two_sample_auc([[""]] * 30, [[" "]] * 30).why
    identical = two_sample_auc([["same words"]] * 30, [["same words"]] * 30, bootstrap=20)
    assert identical.value == 0.5
    with pytest.raises(ValueError):
        two_sample_auc([["a"]] * 30, [["b"]] * 29)


LONG = "we should really go to the lake before the summer ends"  # more than 30 characters


def test_copies_are_found_by_words_and_by_characters() -> None:
    training = [("Lena", f"well {LONG} I think"), ("Ruben", "x a b c d e f g h y"), ("Ruben", "unrelated words")]
    replies = [
        ["hm", f"{LONG}, no?"],
        ["a b c d e f g h"],  # eight short words of Ruben's, fewer than 30 characters
        ["a b c d e f g i"],
        ["we should really go to the l"],  # 28 characters, seven words
        [],
    ]
    mine, anyone = find_copies(replies, training, author="Lena")
    assert {index: copy.span for index, copy in mine.items()} == {0: LONG}
    assert {index: copy.span for index, copy in anyone.items()} == {0: LONG, 1: "a b c d e f g h"}
    assert anyone[1].speaker == "Ruben"


def test_spans_do_not_cross_messages() -> None:
    training = [("Lena", "this is the first half of it"), ("Lena", "and here the second part is")]
    assert find_copies([["this is the first half of it and here the second part is"]], training, author="Lena") == (
        {}, {},
    )  # fmt: skip


def test_the_longest_span_is_reported() -> None:
    assert common_span("abc " + "x" * 40 + " d", "q" + "x" * 35) == "x" * 35
    assert common_span("short", "short") == ""


def test_copy_rates_of_all_arms_and_the_doubles_longest() -> None:
    other = "nobody expects the spanish inquisition in this town"
    report = compare_copying(
        training=[("Lena", LONG), ("Ruben", other)],
        author="Lena",
        real=[["fresh"], ["words"]],
        double=[[LONG], [other]],
        base=[[other], ["no"]],
    )
    assert (report.real.from_anyone.value, report.double.from_anyone.value, report.base.from_anyone.value) == (
        0,
        1,
        0.5,
    )
    assert (report.double.from_author.value, report.base.from_author.value) == (0.5, 0.0)
    assert [(copy.reply, copy.span, copy.speaker) for copy in report.longest] == [
        (0, LONG, "Lena"),
        (1, other, "Ruben"),
    ]
