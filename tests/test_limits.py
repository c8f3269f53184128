"""Daily limits: exactly so much, and in plain words when it is used up."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chat.options import Budget, Used, refusal

KEYS = [field.name for field in fields(Budget)]
counts = st.integers(0, 5)


def test_what_is_used_has_the_same_names_as_what_may_be_used() -> None:
    assert [field.name for field in fields(Used)] == KEYS


@given(st.fixed_dictionaries(dict.fromkeys(KEYS, counts)), st.fixed_dictionaries(dict.fromkeys(KEYS, counts)))
def test_refused_exactly_where_a_limit_is_reached(budget, used) -> None:
    reached = [key for key in KEYS if budget[key] != 0 and used[key] >= budget[key]]
    assert bool(refusal(Budget(**budget), Used(**used))) is bool(reached)


@pytest.mark.parametrize(
    ("key", "limit", "words"),
    [
        ("replies_user", 1, "You have had today's 1 reply for one person."),
        ("replies_user", 20, "You have had today's 20 replies for one person."),
        ("tokens_user", 5000, "Your replies have reached today's length for one person (5,000 tokens)."),
        ("replies_server", 300, "This server has had its 300 replies for today."),
        ("tokens_server", 9000, "This server's replies have reached today's length (9,000 tokens)."),
    ],
)
def test_the_words_say_which_limit_and_when_it_renews(key, limit, words) -> None:
    assert refusal(Budget(**{key: limit}), Used(**{key: limit})) == f"{words} It renews at midnight UTC."
    assert refusal(Budget(**{key: limit}), Used(**{key: limit - 1})) == ""


def test_no_limits_by_default() -> None:
    assert refusal(Budget(), Used(replies_user=10**9, tokens_server=10**12)) == ""
