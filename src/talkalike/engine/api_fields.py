"""The fields of a request: which there are, which change nothing, and a sentence for each that is not offered.

A field that would change the reply and is not honoured is refused, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkalike.engine.protocol import Sampling
from talkalike.errors import UserError, did_you_mean
from talkalike.options import SAMPLING

_MAX_STOPS = 16
_PENALTY = "Set repetition_penalty instead."
_NO_TOOLS = "Tools are not offered."
_TEXT_ONLY = "Replies are plain text."

HARMLESS = frozenset(  # said about the request; no reply would differ
    {"metadata", "service_tier", "parallel_tool_calls", "safety_identifier", "prediction"}
    | {"prompt_cache_retention", "prompt_cache_options"}
)
NEUTRAL: Mapping[str, tuple[tuple[Any, ...], str]] = {  # the values that change nothing; why there are no others
    "n": ((1,), "Only one reply a request is offered."),
    "frequency_penalty": ((0,), f"It is not offered. {_PENALTY}"),
    "presence_penalty": ((0,), f"It is not offered. {_PENALTY}"),
    "logit_bias": (({},), "No token can be made likelier by itself."),
    "response_format": (({"type": "text"},), f"{_TEXT_ONLY} No form such as JSON is promised."),
    "modalities": ((["text"],), _TEXT_ONLY),
    "audio": ((), _TEXT_ONLY),
    "top_logprobs": ((0,), "Only the written tokens' own probabilities are offered, no alternatives."),
    "tools": (([],), _NO_TOOLS),
    "functions": (([],), _NO_TOOLS),
    "tool_choice": (("none", "auto"), _NO_TOOLS),
    "function_call": (("none", "auto"), _NO_TOOLS),
    "web_search_options": ((), _NO_TOOLS),
    "reasoning_effort": (("none",), "These models do not think before they answer."),
    "verbosity": (("medium",), "Set max_tokens or max_messages to say how long a reply may be."),
    "moderation": ((), "Texts are not judged here."),
    "store": ((False,), "Nothing is kept here."),
}
_AS_USUAL = {"max_tokens": SAMPLING["max_tokens"].high, "top_k": 0, "seed": None}  # -1, as many clients write it
_OTHER_NAMES = {"max_completion_tokens": "max_tokens"}


class ApiError(Exception):
    """A refusal in OpenAI's shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def check_fields(
    body: Any, *, honoured: frozenset[str], neutral: Mapping[str, tuple[tuple[Any, ...], str]], model: str
) -> None:
    """Raises ApiError: 400 for a field that is unknown or not offered, 404 for a model that is not `model`.

    A field that is null counts as left out, here and everywhere.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "The request body must be a JSON object.")
    asked = value(body, "model", str)
    if asked is None:
        raise ApiError(400, "The request names no model.", param="model")
    if asked != model:
        raise ApiError(404, f"There is no model '{asked}' here, only '{model}'.", code="model_not_found", param="model")
    known = honoured | HARMLESS | neutral.keys()
    for field, given in body.items():
        if given is None or field in honoured or field in HARMLESS:
            continue
        if field not in known:
            hint = did_you_mean(field, known, otherwise="Leave it out.")
            raise ApiError(
                400, f"There is no field '{field[:80]}' here. {hint}", code="unknown_parameter", param=field[:80]
            )
        values, why = neutral[field]
        if given not in values:
            what = f"'{field}' has a value that is not offered. {why}"
            raise ApiError(400, what, code="unsupported_value", param=field)


def value(body: Mapping[str, Any], field: str, kind: type) -> Any:
    """The field's value, None where it is left out. Raises ApiError where it is of another kind."""
    given = body.get(field)
    if given is None or (isinstance(given, kind) and (kind is bool or not isinstance(given, bool))):
        return given
    raise ApiError(400, f"'{field}' has the wrong type; expected {kind.__name__}.", param=field)


def sampling_of(body: Mapping[str, Any], defaults: Sampling) -> Sampling:
    """How the reply is sampled. Raises ApiError where a value is outside the bounds of the table of options."""
    chosen = {key: getattr(defaults, key) for key in SAMPLING}
    for field in (*SAMPLING, *_OTHER_NAMES):
        key, given = _OTHER_NAMES.get(field, field), body.get(field)
        if given is None:
            continue
        if given == -1 and key in _AS_USUAL and not isinstance(given, bool):
            chosen[key] = _AS_USUAL[key]
            continue
        try:
            SAMPLING[key].check(given)
        except UserError as error:
            raise ApiError(400, str(error), param=field) from None
        chosen[key] = SAMPLING[key].type(given)
    return Sampling(**chosen)


def stops_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts before which the reply ends."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(text, str) for text in stops):
        raise ApiError(400, f"'stop' must be a text or a list of at most {_MAX_STOPS} texts.", param="stop")
    return tuple(stops)


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream ends with the tokens that were used."""
    options = value(body, "stream_options", dict) or {}
    unknown = options.keys() - {"include_usage", "include_obfuscation"}
    if unknown:
        field = f"stream_options.{min(unknown)[:80]}"
        raise ApiError(400, f"There is no field '{field}' here. Leave it out.", code="unknown_parameter", param=field)
    return bool(value(options, "include_usage", bool))


def conversation_of(body: Mapping[str, Any]) -> str:
    """The name of the cache to reuse, "" where none is given."""
    names = (value(body, field, str) for field in ("conversation", "prompt_cache_key", "user"))
    return next((str(name) for name in names if name), "")


def whole(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no character and has no tokens; it becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
