"""What a client asks an eye of ours, in OpenAI's words for a chat with pictures, and what it gets back."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from talkalike.engine.api_fields import (
    NEUTRAL,
    ApiError,
    check_fields,
    sampling_of,
    stops_of,
    value,
    wants_usage,
    whole,
)
from talkalike.engine.eyes import ConversingEye, Eye, EyeTurn, Grade, Looked
from talkalike.engine.picture_parts import PICTURE_TYPES, read_picture
from talkalike.engine.protocol import Sampling
from talkalike.examples.picture_words import neutral
from talkalike.options import SAMPLING
from talkalike.pictures.picture import MOST_FRAMES, Picture

_HONOURED = frozenset({"model", "messages", "stream", "stream_options", "stop", "max_completion_tokens", *SAMPLING})
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_GRADES = {"low": Grade.GLANCE, "auto": Grade.LOOK, "high": Grade.STUDY}


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeRequest:
    """One checked request. `grade`: the closest look that one of its pictures asks for."""

    turns: tuple[EyeTurn, ...]
    sampling: Sampling
    grade: Grade
    stop: tuple[str, ...]
    stream: bool

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Picture))


def parse_eye_request(body: Any, *, eye: Eye, defaults: Sampling) -> EyeRequest:
    """Raises ApiError (400). Opens the pictures: not for an event loop."""
    check_fields(body, honoured=_HONOURED, neutral=NEUTRAL, model=eye.name)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "'messages' must be a list with at least one message.", param="messages")
    grades = [Grade.GLANCE]
    turns = tuple(_turn(message, f"messages[{index}]", grades) for index, message in enumerate(messages))
    wants_usage(body)
    request = EyeRequest(
        turns=turns,
        sampling=sampling_of(body, defaults),
        grade=max(grades, key=list(Grade).index),
        stop=stops_of(body),
        stream=bool(value(body, "stream", bool)),
    )
    converses = isinstance(eye, ConversingEye)
    count, most = len(request.pictures), eye.sight.max_images if converses else MOST_FRAMES
    if count > most:
        raise ApiError(400, f"There are {count} pictures in the request; '{eye.name}' takes {most} at once.")
    if not count and not converses:
        raise ApiError(400, f"There is no picture in the request, and '{eye.name}' only says what one shows.")
    return request


async def answer_request(request: EyeRequest, eye: Eye) -> Looked:
    """What the eye says. Raises TalkalikeError where it cannot."""
    if isinstance(eye, ConversingEye):
        return await eye.converse(request.turns, request.sampling, grade=request.grade)
    asked = "".join(part for part in request.turns[-1].parts if isinstance(part, str))
    first, *others = request.pictures
    if others:  # the frames of a picture that moves
        frames = tuple(picture.data for picture in request.pictures)
        first = replace(first, frames=frames, frame_count=len(frames))
    return await eye.look(first, grade=request.grade, ask=asked)


def whole_answer(looked: Looked, request: EyeRequest, *, model: str) -> dict[str, Any]:
    """The answer as one JSON document. Beside OpenAI's fields, `talkalike` says whether anything was recognised."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": _until(looked.words, request.stop), "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
        "talkalike": {"sure": looked.sure, "picture_tokens": looked.tokens},
    }
    usage = {"prompt_tokens": looked.tokens, "completion_tokens": 0, "total_tokens": looked.tokens}
    return {**_base(model), "object": "chat.completion", "choices": [choice], "usage": usage}


async def answer_events(looked: Looked, request: EyeRequest, *, model: str) -> AsyncIterator[bytes]:
    """The same as server-sent events."""
    base = {**_base(model), "object": "chat.completion.chunk"}
    facts = {"sure": looked.sure, "picture_tokens": looked.tokens}
    text = _until(looked.words, request.stop)
    for delta, finish in (({"role": "assistant", "content": text}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, "talkalike": facts}
        yield b"data: " + json.dumps({**base, "choices": [choice]}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def eye_card(eye: Eye) -> dict[str, Any]:
    """The eye among the models that a server lists."""
    sight = eye.sight
    facts = {"grades": [grade.value for grade in sight.grades], "max_images": sight.max_images}
    talks = {"answers": sight.answers, "converses": isinstance(eye, ConversingEye)}
    return {"id": eye.name, "object": "model", "created": 0, "owned_by": "talkalike", "vision": facts | talks}


def _base(model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


def _until(text: str, stops: tuple[str, ...]) -> str:
    places = [place for place in (text.find(stop) for stop in stops if stop) if place >= 0]
    return text[: min(places)] if places else text


def _turn(message: Any, place: str, grades: list[Grade]) -> EyeTurn:
    """The turn; appends how closely its pictures are to be looked at."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise ApiError(400, f"{place} must be a message of system, user or assistant.", param=place)
    content = message.get("content")
    if isinstance(content, str):
        return EyeTurn(role=_ROLES[message["role"]], parts=(neutral(whole(content)),))
    if not isinstance(content, list):
        raise ApiError(400, f"The content of {place} must be text or a list of parts.", param=f"{place}.content")
    parts: list[str | Picture] = []
    for index, part in enumerate(content):
        here = f"{place}.content[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in PICTURE_TYPES:
            grades.append(_grade(part, here))
            parts.append(read_picture(part, here))
        elif kind in ("text", "input_text") and isinstance(part.get("text"), str):
            parts.append(neutral(whole(part["text"])))
        else:
            raise ApiError(400, f"{here} is neither text nor a picture.", code="unsupported_content", param=here)
    return EyeTurn(role=_ROLES[message["role"]], parts=tuple(parts))


def _grade(part: dict[str, Any], place: str) -> Grade:
    given = part.get("image_url")
    detail = (given.get("detail") if isinstance(given, dict) else None) or "low"
    if detail not in _GRADES:
        raise ApiError(400, f"{place} has a detail that is not offered; there are low, auto and high.", param=place)
    return _GRADES[detail]
