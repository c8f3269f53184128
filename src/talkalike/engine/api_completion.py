"""OpenAI's older request, without a chat: a text, or token ids, that the model continues as they are.

Markers in the text are markers: whoever asks here has rendered the conversation by themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from talkalike.engine.api_fields import (
    NEUTRAL,
    ApiError,
    check_fields,
    conversation_of,
    sampling_of,
    stops_of,
    value,
    wants_usage,
    whole,
)
from talkalike.engine.api_request import ReplyRequest
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.options import SAMPLING

_OF_A_CHAT = frozenset({"max_messages", "best_of"})
_HONOURED = frozenset(
    {"model", "prompt", "stream", "stream_options", "stop", "logprobs", "max_completion_tokens"}
    | {"conversation", "prompt_cache_key", "user"}
    | SAMPLING.keys() - _OF_A_CHAT
)
_SHARED = ("n", "frequency_penalty", "presence_penalty", "logit_bias", "store")
_NEUTRAL = {field: NEUTRAL[field] for field in _SHARED} | {
    "best_of": ((1,), "Only one continuation is written here."),
    "echo": ((False,), "The prompt is not sent back; put it before the answer yourself."),
    "suffix": (("",), "A text is continued at its end, never filled in before a suffix."),
}


def parse_completion_request(body: Any, *, model: str, defaults: Sampling) -> ReplyRequest:
    """Raises ApiError (400, or 404 for a model that is not `model`)."""
    check_fields(body, honoured=_HONOURED, neutral=_NEUTRAL, model=model)
    alternatives = value(body, "logprobs", int)
    if alternatives:
        raise ApiError(
            400,
            "Only the written tokens' own probabilities are offered (logprobs = 0), no alternatives.",
            code="unsupported_value",
            param="logprobs",
        )
    return ReplyRequest(
        prompt=Prompt(raw=_raw(body.get("prompt")), conversation=conversation_of(body)),
        sampling=replace(sampling_of(body, defaults), max_messages=1, best_of=1),
        stop=stops_of(body),
        stream=bool(value(body, "stream", bool)),
        include_usage=wants_usage(body),
        logprobs=alternatives is not None,
        reactions=True,  # a text is a text
    )


def _raw(prompt: Any) -> str | tuple[int, ...]:
    """The one prompt; left out, a new text begins."""
    several = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], str | list)
    if several and len(prompt) > 1:
        raise ApiError(400, "Only one prompt a request is offered.", param="prompt")
    one = prompt[0] if several else prompt
    if one is None or isinstance(one, str):
        return whole(one or "")
    if isinstance(one, list) and one and all(type(token) is int and 0 <= token < 2**31 for token in one):
        return tuple(one)
    raise ApiError(400, "'prompt' must be a text or a list of token ids.", param="prompt")
