"""What a client of the API asks for: OpenAI's chat completion request, checked and turned into a prompt.

Extensions: `top_k`, `min_p`, `repetition_penalty`, `max_messages`, `best_of` (replies written, of which a reward picks
one), `speaker` (who answers), `conversation` (names the cache to reuse; OpenAI's `user` does the same), `reactions`
(the client knows the sign that makes a text a reaction; otherwise the sign means nothing, and the answer shows a
reaction as its emoji alone). Accepted and without effect:
`frequency_penalty`, `presence_penalty`, `logit_bias`, `metadata`, `store`, `service_tier`, `parallel_tool_calls` and
every other field not named here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from talkalike.engine.protocol import Prompt, Sampling
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn

_MAX_STOPS = 16
_NUMBERS = {  # request field -> our field
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
_INTEGERS = {
    "top_k": "top_k",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_messages": "max_messages",
    "best_of": "best_of",
}


class ApiError(Exception):
    """A refusal in OpenAI's shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One checked request."""

    prompt: Prompt
    sampling: Sampling
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    logprobs: bool
    reactions: bool = False


def parse_chat_request(body: Any, *, model: str, speaker: str, defaults: Sampling) -> ChatRequest:
    """Raises ApiError (400, or 404 for a model that is not `model`). `speaker` answers unless the request says who."""
    if not isinstance(body, dict):
        raise ApiError(400, "The request body must be a JSON object.")
    asked = _value(body, "model", str)
    if asked is None:
        raise ApiError(400, "The request names no model.", param="model")
    if asked != model:
        raise ApiError(404, f"There is no model '{asked}' here, only '{model}'.", code="model_not_found", param="model")
    if _value(body, "n", int) not in (None, 1):
        raise ApiError(400, "Only n = 1 is offered.", param="n")
    if body.get("tools") or body.get("functions"):
        raise ApiError(400, "Tools are not offered.", param="tools")
    if _value(body, "top_logprobs", int):
        raise ApiError(400, "Alternatives (top_logprobs) are not offered, only the tokens' own.", param="top_logprobs")
    answering = _value(body, "speaker", str) or speaker
    reactions = bool(_value(body, "reactions", bool))
    turns = _turns(body.get("messages"), answering)
    if not reactions:
        turns = tuple(Turn(turn.speaker, plain(turn.text)) for turn in turns)
    options = _value(body, "stream_options", dict) or {}
    return ChatRequest(
        prompt=Prompt(turns=turns, speaker=_whole(answering), conversation=_conversation(body, turns)),
        sampling=_sampling(body, defaults),
        stop=_stops(body.get("stop")),
        stream=bool(_value(body, "stream", bool)),
        include_usage=bool(options.get("include_usage")),
        logprobs=bool(_value(body, "logprobs", bool)),
        reactions=reactions,
    )


def _value(body: Mapping[str, Any], field: str, kind: type) -> Any:
    value = body.get(field)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    raise ApiError(400, f"'{field}' has the wrong type; expected {kind.__name__}.", param=field)


def _turns(messages: Any, answering: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "'messages' must be a list with at least one message.", param="messages")
    return tuple(_turn(message, f"messages[{index}]", answering) for index, message in enumerate(messages))


def _turn(message: Any, place: str, answering: str) -> Turn:
    if not isinstance(message, dict):
        raise ApiError(400, f"{place} must be an object.", param=place)
    role, name = message.get("role"), _value(message, "name", str)
    speakers = {"system": "system", "developer": "system", "user": name or "user", "assistant": name or answering}
    if not isinstance(role, str) or role not in speakers:
        raise ApiError(400, f"{place} has a role that is not offered: {role!r}.", param=f"{place}.role")
    return Turn(_whole(speakers[role]), _whole(_text(message.get("content"), place)))


def _whole(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no character and has no tokens; it becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        known = [text for text in texts if isinstance(text, str)]
        if len(known) == len(content):
            return "".join(known)
    raise ApiError(400, f"The content of {place} must be text.", param=f"{place}.content")


def _sampling(body: Mapping[str, Any], defaults: Sampling) -> Sampling:
    chosen = {name: getattr(defaults, name) for name in Sampling.__slots__}
    for field, name in _NUMBERS.items():
        value = body.get(field)
        if value is not None:
            chosen[name] = float(value if isinstance(value, int) else _value(body, field, float))
    for field, name in _INTEGERS.items():
        value = _value(body, field, int)
        if value is not None:
            chosen[name] = value
    return Sampling(**chosen)


def _stops(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(text, str) for text in stops):
        raise ApiError(400, f"'stop' must be a text or a list of at most {_MAX_STOPS} texts.", param="stop")
    return tuple(stops)


def _conversation(body: Mapping[str, Any], turns: tuple[Turn, ...]) -> str:
    """The name given, else a hash of how the conversation began, which stays the same as it grows."""
    given = _value(body, "conversation", str) or _value(body, "user", str)
    if given:
        return str(given)
    opening = next((index + 1 for index, turn in enumerate(turns) if turn.speaker != "system"), len(turns))
    digest = hashlib.sha256()
    for turn in turns[:opening]:
        for part in (turn.speaker, turn.text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
