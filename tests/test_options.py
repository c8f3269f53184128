"""Scoped options: how they are read, which value holds where, and that stored nonsense is named, not obeyed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.chat.options import OPTIONS, Budget, Resolved, check, option, parse, resolve
from talkalike.engine.protocol import Sampling
from talkalike.errors import UserError
from talkalike.options import SCOPES

NUMBERS = [one for one in OPTIONS.values() if one.type in (int, float)]


@pytest.mark.parametrize("key", OPTIONS)
def test_every_option_has_a_valid_default_and_words(key) -> None:
    one = OPTIONS[key]
    check(key, one.default)
    assert one.key == key
    assert one.description.endswith(".")
    assert len(f"{key}: {one.description}") <= 100 + len(key), "it fits a line of the command"
    assert one.scopes
    assert set(one.scopes) <= set(SCOPES)
    assert resolve([]).value(key) == one.default
    assert resolve([]).source(key) == "default"


@given(st.sampled_from(NUMBERS), st.floats(0, 1))
def test_numbers_are_read_as_they_are_written(one, share) -> None:
    value = one.type(one.low + share * (one.high - one.low))
    read = parse(one.key, f" {value!r} ")
    assert read == value
    assert type(read) is one.type
    assert json.loads(json.dumps(read)) == read
    check(one.key, json.loads(json.dumps(read)))


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("stream", "on", True),
        ("stream", "No", False),
        ("seed", "none", None),
        ("seed", "0", 0),
        ("side_talk", "off", ""),
        ("side_talk", "//", "//"),
        ("persona", "  You like cats.\nAnd dogs. ", "You like cats.\nAnd dogs."),
        ("temperature", "1", 1.0),
        ("model", "mia-2", "mia-2"),
    ],
)
def test_what_people_type(key, text, expected) -> None:
    assert parse(key, text) == expected


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("temperature", "hot", "'temperature' is a number, 0 to 5, but was 'hot'"),
        ("temperature", "5.01", "0 to 5, but was 5.01"),
        ("temperature", "nan", "but was nan"),
        ("top_p", "inf", "but was inf"),
        ("top_k", "1.5", "a whole number"),
        ("max_messages", "0", "1 to 64 messages"),
        ("seed", "-1", "or none"),
        ("stream", "maybe", "a switch, on or off, but was 'maybe'"),
        ("persona", "x" * 2001, "0 to 2,000 characters, but was 2,001 long"),
        ("side_talk", "a", "letters"),
        ("side_talk", "! !", "spaces"),
        ("temprature", "1", "Did you mean 'temperature'?"),
        ("xyzzy", "1", "There are: temperature"),
    ],
)
def test_what_is_refused_in_words(key, text, words) -> None:
    with pytest.raises(UserError) as caught:
        parse(key, text)
    assert words in str(caught.value)


def test_the_nearest_value_holds_and_says_where_it_comes_from() -> None:
    layers = [
        ("bot", {"temperature": 0.5, "top_p": 0.5, "seed": 1, "stream": False}),
        ("server", {"temperature": 0.6, "seed": 2}),
        ("channel", {"temperature": 0.7, "seed": None}),
        ("thread", {"temperature": 0.9}),
    ]
    for count, expected in enumerate([0.8, 0.5, 0.6, 0.7, 0.9]):
        resolved = resolve(layers[:count])
        assert resolved.value("temperature") == expected
        assert resolved.source("temperature") == (["default", *SCOPES])[count]
    assert (resolved.value("top_p"), resolved.source("top_p")) == (0.5, "bot")
    assert (resolved.value("seed"), resolved.source("seed")) == (None, "channel"), "none is a value too"
    assert resolved.value("stream") is False
    assert resolved.problems == ()


def test_daily_limits_can_only_become_stricter() -> None:
    key = "daily_replies_user"
    for bot, server, holds, source in [
        (10, 20, 10, "bot"),
        (10, 5, 5, "server"),
        (10, 0, 10, "bot"),
        (0, 7, 7, "server"),
    ]:
        resolved = resolve([("bot", {key: bot}), ("server", {key: server})])
        assert (resolved.value(key), resolved.source(key)) == (holds, source)
        assert resolved.budget() == Budget(replies_user=holds)
    days = resolve([("bot", {"retention_days": 10}), ("server", {"retention_days": 90})])
    assert days.value("retention_days") == 10


def test_values_for_the_engine() -> None:
    assert resolve([]).sampling() == Sampling()
    given_ = {
        "temperature": 0.1, "top_p": 0.2, "top_k": 3, "min_p": 0.4, "repetition_penalty": 1.5, "seed": 6,
        "max_tokens": 70, "max_messages": 2, "best_of": 3,
    }  # fmt: skip
    sampling = resolve([("bot", given_)]).sampling()
    assert {key: getattr(sampling, key) for key in given_} == given_
    sampling.check()
    limits = {"daily_replies_user": 1, "daily_tokens_user": 2, "daily_replies_server": 3, "daily_tokens_server": 4}
    expected = Budget(replies_user=1, tokens_user=2, replies_server=3, tokens_server=4)
    assert resolve([("bot", limits)]).budget() == expected


@given(st.sampled_from(NUMBERS), st.booleans())
def test_the_ends_of_every_range_suit_the_engine(one, high) -> None:
    resolve([("bot", {one.key: one.type(one.high if high else one.low)})]).sampling().check()


def test_stored_nonsense_is_passed_over_and_named() -> None:
    layers = [
        ("bot", {"temperature": 0.5, "model": "x"}),
        ("server", {"temperature": "warm", "oldest_option": 3, "top_k": True, "max_tokens": 0}),
        ("channel", {"daily_replies_user": 5, "persona": None}),
    ]
    resolved = resolve(layers)
    assert (resolved.value("temperature"), resolved.source("temperature")) == (0.5, "bot")
    assert resolved.value("daily_replies_user") == 0
    assert resolved.value("model") == ""
    assert len(resolved.problems) == 7
    for named in ("temperature", "oldest_option", "top_k", "max_tokens", "daily_replies_user", "persona", "model"):
        assert sum(f"'{named}'" in problem for problem in resolved.problems) == 1


def test_asking_for_an_unknown_option() -> None:
    for ask in (Resolved().value, Resolved().source, option):
        with pytest.raises(UserError, match="no option 'nope'"):
            ask("nope")
