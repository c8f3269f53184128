"""Pictures in requests to a server of ours: `data:` URLs alone, so that nobody makes it fetch an address."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from talkalike.engine.api_fields import ApiError
from talkalike.engine.eyes import Eye
from talkalike.errors import UserError
from talkalike.examples.picture_words import in_brackets, neutral
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import Picture

_DATA = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
PICTURE_TYPES = ("image_url", "input_image")
MOST = 4  # pictures of a request to a model that reads words


def read_picture(part: dict[str, Any], place: str) -> Picture:
    """The picture of a part of a message. ApiError (400) for anything but a picture inside the request.

    Takes up to a second: not for an event loop.
    """
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise ApiError(400, f"{place} has no picture: its image_url must hold a url.", param=place)
    head = _DATA.match(url)
    if head is None:
        raise ApiError(
            400,
            f"{place} is not a picture inside the request. Only data: URLs with base64 are taken "
            '("data:image/png;base64,..."); this server fetches no addresses and opens no files.',
            code="unsupported_content",
            param=place,
        )
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, f"The picture in {place} is not base64.", param=place) from None
    try:
        return normalise(data)
    except UserError as error:
        raise ApiError(400, f"{place}: {error}", param=place) from None


async def tell_pictures(body: Any, eye: Eye | None) -> Any:
    """The request with what the eye saw in place of each picture, for a model that reads words; else as it is.

    Where there are pictures, nothing that is written in the request stands for one. Raises ApiError (400) for pictures
    that cannot be read, too many of them, or where there is no eye; TalkalikeError where the eye fails.
    """
    found = list(_pictures_of(body))
    if not found:
        return body
    if eye is None:
        raise ApiError(
            400,
            f"{found[0][0]} is a picture, but this model reads words alone and the server has no eye for it. "
            "Leave it out, or say in words what it shows.",
            code="unsupported_content",
            param=found[0][0],
        )
    if len(found) > MOST:
        raise ApiError(400, f"There are {len(found)} pictures in the request; {MOST} are looked at at once.")
    words: dict[int, str] = {}
    for place, part in found:
        picture = await asyncio.to_thread(read_picture, part, place)
        looked = await eye.look(picture)
        words[id(part)] = in_brackets(looked.words if looked.sure else "")
    return {**body, "messages": [_told(message, words) for message in body["messages"]]}


def _pictures_of(body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts that are pictures, and where each stands. What is of another shape is for others to refuse."""
    messages = body.get("messages") if isinstance(body, dict) else None
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get("type") in PICTURE_TYPES:
                yield f"messages[{number}].content[{index}]", part


def _told(message: Any, words: Mapping[int, str]) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return {**message, "content": neutral(content)}
    if not isinstance(content, list):
        return message
    lines = [words[id(part)] for part in content if id(part) in words]
    others = [_neutralised(part) for part in content if id(part) not in words]
    break_ = "\n" if lines and others else ""
    return {**message, "content": [{"type": "text", "text": "\n".join(lines) + break_}, *others]}


def _neutralised(part: Any) -> Any:
    text = part.get("text") if isinstance(part, dict) else None
    return {**part, "text": neutral(text)} if isinstance(text, str) else part
