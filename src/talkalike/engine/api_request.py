"""What a client of the API asks for: OpenAI's requests, for a chat or for a text, checked and turned into a prompt.

Extensions: the options of `talkalike.options` that OpenAI lacks, `speaker` (who answers), `conversation` (names the
cache to reuse; `prompt_cache_key` and `user` do the same), `reactions` (the client knows the sign that makes a text a
reaction; otherwise the sign means nothing, and the answer shows a reaction as its emoji alone). `api_fields` says what
becomes of every other field.

A text (or token ids) goes on as it is: markers in it are markers, for whoever asks has rendered it by themselves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
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
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn
from talkalike.options import SAMPLING

_ALWAYS = frozenset(
    {"model", "stream", "stream_options", "stop", "logprobs", "max_completion_tokens"}
    | {"conversation", "prompt_cache_key", "user"}
)
_OF_A_CHAT = _ALWAYS | {"messages", "speaker", "reactions", *SAMPLING}
_OF_A_TEXT = _ALWAYS | {"prompt", *SAMPLING} - {"max_messages", "best_of"}
_NEUTRAL_OF_A_TEXT = {
    **{field: NEUTRAL[field] for field in ("n", "frequency_penalty", "presence_penalty", "logit_bias", "store")},
    "best_of": ((1,), "Only one continuation is written here."),
    "echo": ((False,), "The prompt is not sent back; put it before the answer yourself."),
    "suffix": (("",), "A text is continued at its end, never filled in before a suffix."),
}
_OF_A_MESSAGE = frozenset({"role", "name", "content", "refusal", "id", "annotations"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRequest:
    """One checked request, for a chat or for a text that is to go on."""

    prompt: Prompt
    sampling: Sampling
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    logprobs: bool = False
    reactions: bool = False


def parse_chat_request(body: Any, *, model: str, speaker: str, defaults: Sampling) -> ReplyRequest:
    """Raises ApiError (400, or 404 for a model that is not `model`). `speaker` answers unless the request says who."""
    check_fields(body, honoured=_OF_A_CHAT, neutral=NEUTRAL, model=model)
    answering = value(body, "speaker", str) or speaker
    reactions = bool(value(body, "reactions", bool))
    turns = _turns(body.get("messages"), answering)
    if not reactions:
        turns = tuple(Turn(turn.speaker, plain(turn.text)) for turn in turns)
    prompt = Prompt(turns=turns, speaker=whole(answering), conversation=conversation_of(body) or _opening(turns))
    request = _request(body, prompt, sampling_of(body, defaults))
    return replace(request, logprobs=bool(value(body, "logprobs", bool)), reactions=reactions)


def parse_completion_request(body: Any, *, model: str, defaults: Sampling) -> ReplyRequest:
    """OpenAI's older request, without a chat. Raises ApiError (400, or 404 for a model that is not `model`)."""
    check_fields(body, honoured=_OF_A_TEXT, neutral=_NEUTRAL_OF_A_TEXT, model=model)
    alternatives = value(body, "logprobs", int)
    if alternatives:
        raise ApiError(
            400,
            "Only the written tokens' own probabilities are offered (logprobs = 0), no alternatives.",
            code="unsupported_value",
            param="logprobs",
        )
    prompt = Prompt(raw=_raw(body.get("prompt")), conversation=conversation_of(body))
    request = _request(body, prompt, replace(sampling_of(body, defaults), max_messages=1, best_of=1))
    return replace(request, logprobs=alternatives is not None, reactions=True)  # a text is a text


def _request(body: dict[str, Any], prompt: Prompt, sampling: Sampling) -> ReplyRequest:
    return ReplyRequest(
        prompt=prompt,
        sampling=sampling,
        stop=stops_of(body),
        stream=bool(value(body, "stream", bool)),
        include_usage=wants_usage(body),
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


def _turns(messages: Any, answering: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "'messages' must be a list with at least one message.", param="messages")
    turns = (_turn(message, f"messages[{index}]", answering) for index, message in enumerate(messages))
    return tuple(turn for turn in turns if turn is not None)


def _turn(message: Any, place: str, answering: str) -> Turn | None:
    """None where an assistant's message has no content: it said nothing."""
    if not isinstance(message, dict):
        raise ApiError(400, f"{place} must be an object.", param=place)
    role, name = message.get("role"), value(message, "name", str)
    speakers = {"system": "system", "developer": "system", "user": name or "user", "assistant": name or answering}
    if not isinstance(role, str) or role not in speakers:
        raise ApiError(400, f"{place} has a role that is not offered: {role!r}.", param=f"{place}.role")
    unknown = [field for field, given in message.items() if given and field not in _OF_A_MESSAGE]
    if unknown:
        field = f"{place}.{unknown[0][:80]}"
        why = "Tools are not offered." if "call" in unknown[0] else "Leave it out."
        raise ApiError(400, f"There is no field '{field}' here. {why}", code="unknown_parameter", param=field)
    content = message.get("content")
    if content is None and role == "assistant":
        content = value(message, "refusal", str)
        if content is None:
            return None
    return Turn(whole(speakers[role]), whole(_text(content, place)))


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ApiError(400, f"The content of {place} must be text.", param=f"{place}.content")
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(kind) if kind in ("text", "refusal") else None
        if not isinstance(text, str):
            param = f"{place}.content[{index}]"
            problem = f"is of the type {kind[:40]!r}" if isinstance(kind, str) else "has no type"
            raise ApiError(
                400,
                f"{param} {problem}, but this model reads text alone. Leave it out, or say in words what it shows.",
                code="unsupported_content",
                param=param,
            )
        texts.append(text)
    return "".join(texts)


def _opening(turns: tuple[Turn, ...]) -> str:
    """A hash of how the conversation began, which stays the same as it grows."""
    opening = next((index + 1 for index, turn in enumerate(turns) if turn.speaker != "system"), len(turns))
    digest = hashlib.sha256()
    for turn in turns[:opening]:
        for part in (turn.speaker, turn.text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
