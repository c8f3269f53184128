"""Markup that a cut must not break: what is hidden stays hidden, and every letter keeps its style, in each part."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkalike.chat.markup import codes, cover_open_spoiler, spans
from talkalike.chat.splitting import split

MARKS = ("||", "**", "__", "~~")
limits = st.integers(60, 200)

words = st.lists(st.sampled_from(["ab", "longer", "word", "end.", "x" * 40, "\n", "- item"]), min_size=1, max_size=25)
styled = st.tuples(st.lists(st.sampled_from(MARKS), unique=True, max_size=3), words.map(" ".join).map(str.strip))
pieces = st.lists(styled.filter(lambda piece: bool(piece[1])), min_size=1, max_size=6)
hostile = st.text(st.sampled_from("ab| \n"), max_size=500)
anything = st.text(st.sampled_from("ab `|*_~>#-\n\\ 1."), max_size=500)


def written(piece: tuple[list[str], str]) -> str:
    marks, text = piece
    return "".join(marks) + text + "".join(reversed(marks))


def letters(text: str) -> list[tuple[str, frozenset[str]]]:
    """Each sign that is no markup, with the styles around it. For text whose marks are well nested."""
    found: list[tuple[str, frozenset[str]]] = []
    opened: list[str] = []
    position = 0
    while position < len(text):
        mark = text[position : position + 2]
        if mark in MARKS:
            opened = [one for one in opened if one != mark] if mark in opened else [*opened, mark]
            position += 2
            continue
        if not text[position].isspace():
            found.append((text[position], frozenset(opened)))
        position += 1
    assert not opened
    return found


def hidden(text: str) -> list[tuple[str, bool]]:
    """Each letter, and whether Discord hides it: from two bars to the next two, with at least one sign between."""
    found: list[tuple[str, bool]] = []
    for index, piece in enumerate(re.split(r"\|\|([\s\S]+?)\|\|", text)):
        found += [(sign, index % 2 == 1) for sign in piece if sign.isalpha()]
    return found


@given(pieces, limits)
def test_every_letter_keeps_its_styles(document, limit):
    text = " ".join(map(written, document))
    parts = split(text, limit)
    assert all(len(part) <= limit for part in parts)
    assert [letter for part in parts for letter in letters(part)] == letters(text)


@given(hostile, limits)
@example("||" + "a" * 150 + "||", 60)
@example("a" * 50 + " ||" + "b " * 60 + "|| c", 60)
def test_what_is_hidden_stays_hidden_whatever_the_text(text, limit):
    parts = split(text, limit)
    shown = [letter for part in parts for letter in hidden(part)]
    assert [letter for letter, _ in shown] == [letter for letter, _ in hidden(text)]
    assert not [1 for (_, was), (_, now) in zip(hidden(text), shown, strict=True) if was and not now]


@given(hostile, st.integers(0, 500))
@example("||a||", 4)
def test_what_will_be_hidden_is_hidden_while_it_is_written(text, written_so_far):
    so_far = hidden(cover_open_spoiler(text[:written_so_far]))
    for (letter, later), (same, now) in zip(hidden(text), so_far, strict=False):
        assert letter == same
        assert now or not later


@given(anything, limits)
def test_any_text_is_cut_into_parts_that_fit(text, limit):
    for part in split(text, limit):
        assert len(part) <= limit and part.strip()


def test_an_open_block_after_an_open_spoiler_is_closed_before_it():
    assert cover_open_spoiler("see ||```py\nx = 1") == "see ||```py\nx = 1\n```||"
    assert cover_open_spoiler("see ||") == "see "
    assert cover_open_spoiler("`a || b`") == "`a || b`"
    assert cover_open_spoiler("a \\|| b") == "a \\|| b"  # two bars, the first of them escaped


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("*a* and **b** and ***c***", ["*", "**", "***"]),
        ("_a_ but snake_case_names and __b__", ["_", "__"]),
        ("2 * 3 * 4, a ~~ b", []),
        ("**a *b* c**", ["**", "*"]),
        ("**a ||b** c||", ["**"]),
        ("`**a**` \\**b**", []),
        ("||a\n```\n**b**\n```||", ["||"]),
    ],
)
def test_what_is_a_style(text, marks):
    assert [span.mark for span in spans(text, list(codes(text)))] == marks


@pytest.mark.parametrize(
    ("opening", "again"),
    [("> ", "> "), ("> ## ", "> ## "), (">>> ", ">>> "), ("# ", "# "), ("-# ", "-# "), ("- ", ""), ("1. ", "")],
)
def test_a_line_that_is_cut_goes_on_as_it_began(opening, again):
    first, second, *_ = split(opening + "word " * 40, 100)
    assert first.startswith(opening + "word")
    assert second.startswith(again + "word")


def test_lists_are_cut_between_their_items_and_before_the_outer_ones():
    items = "".join(f"- item {number} of the list\n  - and one below it\n" for number in range(8))
    parts = split(items, 100)
    assert len(parts) > 2
    assert all(part.startswith("- item") for part in parts)


def test_a_spoiler_around_code_is_opened_outside_of_it():
    parts = split("||secret:\n```py\n" + "x = 1\n" * 40 + "```\ndone||", 100)
    assert len(parts) > 2
    assert all(part.startswith("||") and part.rstrip().endswith("||") for part in parts)
    assert all(part.count("```") == 2 for part in parts)


def test_many_signs_take_no_time():
    assert len(split("**a __b ||" * 2_000)) >= 10
    assert split("*" * 5_000)
