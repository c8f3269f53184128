"""The fields of the API's requests: honoured, without effect, or refused in words; none is passed over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from talkalike.engine.api_fields import HARMLESS, NEUTRAL, ApiError
from talkalike.engine.api_request import ReplyRequest, parse_chat_request, parse_completion_request
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.options import SAMPLING

HELLO = [{"role": "user", "content": "hey"}]


def chat(**fields: Any) -> ReplyRequest:
    body = {"model": "m", "messages": HELLO, **fields}
    return parse_chat_request(body, model="m", speaker="Bob", defaults=Sampling())


def text(**fields: Any) -> ReplyRequest:
    body = {"model": "m", "prompt": "hey", **fields}
    return parse_completion_request(body, model="m", defaults=Sampling(max_messages=5, best_of=4))


def refusal(parse: Any, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(**fields)
    assert caught.value.status == 400
    assert caught.value.message.endswith((".", "?")), caught.value.message
    return caught.value


# ------------------------------------------------------------------------------------------------------ the fields


def test_every_field_of_the_official_client_is_decided_about():
    ours = {"model", "messages", "prompt", "max_completion_tokens", "stream", "stream_options", "stop", "logprobs"}
    ours |= {"user", "prompt_cache_key"} | SAMPLING.keys() | HARMLESS | NEUTRAL.keys()
    params = chat_create_params.CompletionCreateParamsBase.__annotations__
    assert len(params) > 25
    undecided = {field for field in params if field not in ours}
    assert not undecided, "a field that nobody decided about is refused; say so, or honour it"
    for field in completion_create_params.CompletionCreateParamsBase.__annotations__:
        given = {"prompt": "x", "model": "m"}.get(field)
        text(**{field: given}) if given else text(**{field: None})


@pytest.mark.parametrize("field", sorted(NEUTRAL))
def test_a_field_that_is_not_honoured_is_refused_unless_it_changes_nothing(field):
    values, why = NEUTRAL[field]
    for value in (*values, None):
        assert chat(**{field: value}) == chat()
    for value in (2, 0.5, -1, "x", {"type": "json_object"}, {"5": 1}, [{"type": "function"}], True):
        if value in values:
            continue
        error = refusal(chat, **{field: value})
        assert (error.param, error.code) == (field, "unsupported_value")
        assert field in error.message
        assert why in error.message


@given(st.text(min_size=1, max_size=90), st.sampled_from([0, "x", [1], {"a": 1}, False, 0.5]))
def test_a_field_that_there_is_not_is_refused_by_name(field, value):
    if field in NEUTRAL or field in HARMLESS:
        return
    try:
        chat(**{field: value})
    except ApiError as error:
        assert field[:80] in error.message or error.param == field
    else:
        assert field in {"stop", "user", "logprobs", "stream"} or chat(**{field: value}) != chat()


def test_a_field_that_is_nearly_right_is_shown():
    assert "Did you mean 'temperature'?" in refusal(chat, temprature=1).message
    assert "Did you mean 'max_tokens'?" in refusal(text, max_token=1).message
    assert "include_usage" not in refusal(chat, stream_options={"include_use": True}).message
    for field in sorted(HARMLESS):
        assert chat(**{field: {"any": "thing"}}) == chat()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["messages", "prompt", "stop", "stream", "stream_options", "user", "speaker", "logprobs", *SAMPLING, *NEUTRAL]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3), st.booleans())
def test_any_value_in_any_field_is_taken_or_refused_in_words(fields, old):
    try:
        call = text(**fields) if old else chat(**fields)
        call.sampling.check()
    except ApiError as error:
        assert error.status == 400
        assert error.message


def test_minus_one_means_what_clients_mean_by_it():
    for parse in (chat, text):
        assert (
            parse(max_tokens=-1).sampling.max_tokens == parse(max_completion_tokens=-1).sampling.max_tokens == 131_072
        )
        assert parse(top_k=-1).sampling.top_k == 0
        assert parse(seed=-1).sampling.seed is None
        for field in ("max_tokens", "top_k", "seed", "top_p", "temperature"):
            refusal(parse, **{field: -2})
        assert "0 to 1, but was -1" in refusal(parse, top_p=-1).message


# ---------------------------------------------------------------------------------------------------- the messages


def test_an_assistant_that_said_nothing_is_left_out():
    silent = {"role": "assistant", "content": None}
    asked = chat(messages=[*HELLO, silent, {"role": "user", "content": "so?"}])
    assert [turn.text for turn in asked.prompt.turns] == ["hey", "so?"]
    said_back = {"role": "assistant", "content": "hm", "refusal": None, "tool_calls": None, "annotations": []}
    refused = {"role": "assistant", "content": None, "refusal": "I will not."}
    asked = chat(messages=[*HELLO, said_back, refused])
    assert [(turn.speaker, turn.text) for turn in asked.prompt.turns] == [
        ("user", "hey"), ("Bob", "hm"), ("Bob", "I will not."),
    ]  # fmt: skip
    for role in ("user", "system", "developer"):
        assert "messages[0]" in refusal(chat, messages=[{"role": role, "content": None}]).message
    with_tools = {**silent, "tool_calls": [{"id": "1"}]}
    assert "Tools are not offered" in refusal(chat, messages=[*HELLO, with_tools]).message
    assert "weather" in refusal(chat, messages=[{**HELLO[0], "weather": "mild"}]).message


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "text", "x" * 99])
def test_a_part_that_is_no_text_is_refused_by_its_name(kind):
    parts = [{"type": "text", "text": "what is this"}, {"type": kind, kind: {"url": "data:image/png;base64,iVBO"}}]
    error = refusal(chat, messages=[{"role": "user", "content": parts}])
    assert (error.param, error.code) == ("messages[0].content[1]", "unsupported_content")
    assert kind[:40] in error.message
    assert "reads text alone" in error.message
    for part in (3, None, {}, {"type": None}, {"type": ["text"], "text": "x"}):
        assert "[0]" in refusal(chat, messages=[{"role": "user", "content": [part]}]).message


def test_what_texts_have_not_is_refused_in_words():
    for fields, words in (
        ({"echo": True}, "not sent back"),
        ({"suffix": "end"}, "filled in"),
        ({"best_of": 3}, "one continuation"),
        ({"n": 2}, "one reply a request"),
        ({"logprobs": 2}, "no alternatives"),
        ({"logprobs": True}, "wrong type"),
        ({"prompt": ["a", "b"]}, "one prompt a request"),
        ({"prompt": {"text": "a"}}, "a text or a list of token ids"),
        ({"messages": HELLO}, "no field 'messages'"),
        ({"max_messages": 2}, "no field 'max_messages'"),
        ({"logit_bias": {"5": 1}}, "likelier"),
    ):
        assert words in refusal(text, **fields).message
    asked = text(best_of=1, echo=False, suffix=None, user="anna", seed=4)
    assert (asked.sampling, asked.prompt) == (Sampling(seed=4, max_messages=1), Prompt(raw="hey", conversation="anna"))
