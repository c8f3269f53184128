"""An eye that is a vision model behind a server: any that takes OpenAI's chat completions with picture parts.

Pictures leave as `data:` URLs only, so that nobody is asked to fetch an address, and as opaque JPEGs, which every
server reads.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from talkalike.engine.eyes import DESCRIBE, EyeTurn, Grade, Looked, Sight
from talkalike.engine.protocol import Sampling
from talkalike.engine.remote import fields_for_any, find_card
from talkalike.engine.remote_http import Connection, Retries
from talkalike.errors import TalkalikeError, UserError
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import as_jpeg, frame_count, plain_square

MOST_BYTES = 3_800_000  # of the pictures of one request: servers of ours take 4 MiB
OTHERS = Sight(grades=tuple(Grade), max_images=9, answers=True)  # what is assumed of a server that does not say
_DETAIL = {Grade.GLANCE: "low", Grade.LOOK: "auto", Grade.STUDY: "high"}
_LONGEST = {Grade.GLANCE: 512, Grade.LOOK: 1024, Grade.STUDY: 2048}  # pixels of the longest side
_NAMING = {Grade.GLANCE: 1024, Grade.LOOK: 2048, Grade.STUDY: 2048}  # the small eye reads text at a glance
_SQUARES = {"red": (220, 20, 20), "blue": (20, 40, 220)}


class VisionChat:
    """A `ConversingEye` over a server. The key is sent with each request and shown nowhere."""

    def __init__(self, base_url: str, model: str, *, api_key: str = "", sight: Sight = OTHERS) -> None:
        """`base_url` with the version, e.g. http://127.0.0.1:8000/v1."""
        self._model = model
        self._sight = sight
        self._connection = Connection(base_url, api_key=api_key, patience=Retries())

    @property
    def name(self) -> str:
        return self._model

    @property
    def sight(self) -> Sight:
        return self._sight

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """The answer to `ask`, with the likeliest words."""
        turns = (EyeTurn(role="user", parts=(picture, ask or DESCRIBE)),)
        return await self.converse(turns, Sampling(temperature=0), grade=grade)

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        """What the assistant says next."""
        sampling.check()
        if sampling.best_of > 1:
            raise UserError("A vision server does not choose the best of several answers.", hint="Set best_of to 1.")
        return await self.ask(turns, fields_for_any(sampling), detail=_DETAIL[grade], longest=_LONGEST[grade])

    async def ask(self, turns: Sequence[EyeTurn], fields: Mapping[str, Any], *, detail: str, longest: int) -> Looked:
        """What comes back for these turns, their pictures at most `longest` pixels wide and high."""
        began = time.monotonic()
        messages = await asyncio.to_thread(picture_messages, turns, detail=detail, longest=longest)
        body = {"model": self._model, "stream": True, "messages": messages, **fields}
        text, facts = "", dict[str, Any]()
        address = "chat/completions"
        async with aclosing(self._connection.choices(address, json.dumps(body).encode())) as choices:
            async for choice in choices:
                text += str((choice.get("delta") or {}).get("content") or "")
                facts |= choice.get("talkalike") or {}
        if not text.strip():
            raise TalkalikeError(f"{self._model} said nothing about the picture.", hint="Ask again, or otherwise.")
        return Looked(
            words=text.strip(),
            sure=bool(facts.get("sure", True)),
            seconds=time.monotonic() - began,
            tokens=int(facts.get("picture_tokens", 0)),
        )

    async def close(self) -> None:
        await self._connection.close()


class NamingServer:
    """An `Eye` behind a server of ours that only says what a picture shows."""

    def __init__(self, server: VisionChat) -> None:
        self._server = server

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def sight(self) -> Sight:
        return self._server.sight

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What it shows; `ask` goes with it, and may not be read."""
        turns = (EyeTurn(role="user", parts=(picture, ask)),)
        return await self._server.ask(turns, {}, detail=_DETAIL[grade], longest=_NAMING[grade])

    async def close(self) -> None:
        await self._server.close()


async def connect_eye(
    base_url: str, *, model: str = "", api_key: str = "", max_images: int | None = None
) -> VisionChat | NamingServer:
    """Asks the server which models it has; `model` may be left out where it has only one.

    `max_images`: pictures it takes at once, where it does not say so. Raises UserError for a wrong address, key or
    model name, TalkalikeError when the server does not answer.
    """
    card = await find_card(base_url, model, api_key=api_key)
    facts = card.get("vision")
    if not isinstance(facts, dict):
        sight = OTHERS if max_images is None else replace(OTHERS, max_images=max_images)
        return VisionChat(base_url, str(card["id"]), api_key=api_key, sight=sight)
    sight = _sight(facts) if max_images is None else replace(_sight(facts), max_images=max_images)
    server = VisionChat(base_url, str(card["id"]), api_key=api_key, sight=sight)
    return server if facts.get("converses") else NamingServer(server)


async def check_sight(eye: VisionChat) -> None:
    """Shows it a red and a blue square. Raises UserError where it does not tell them apart: it takes no pictures, or
    leaves them out in silence."""
    said = [
        (
            await eye.look(plain_square(_SQUARES[colour]), ask="Which colour is this picture? Answer with one word.")
        ).words.casefold()
        for colour in _SQUARES
    ]
    if not all(name in words for name, words in zip(_SQUARES, said, strict=True)):
        raise UserError(
            f'\'{eye.name}\' was shown a red and a blue square and said "{said[0][:60]}" and "{said[1][:60]}": it does '
            "not see pictures.",
            hint="Choose a vision model. llama.cpp's server needs the model's mmproj file as well.",
        )


def _sight(facts: Mapping[str, Any]) -> Sight:
    grades = tuple(grade for grade in Grade if grade.value in (facts.get("grades") or ()))
    return Sight(
        grades=grades or (Grade.GLANCE,),
        max_images=max(1, int(facts.get("max_images") or 1)),
        answers=bool(facts.get("answers")),
    )


def picture_messages(turns: Sequence[EyeTurn], *, detail: str, longest: int) -> list[dict[str, Any]]:
    """The turns as OpenAI's messages: always a list of parts, as some templates lose a plain text beside pictures.

    Raises UserError where the pictures are more than a server is likely to take. Not for an event loop.
    """
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": [part for one in turn.parts for part in _parts(one, detail, longest)]}
        for turn in turns
    ]
    size = sum(len(part["image_url"]["url"]) for one in messages for part in one["content"] if "image_url" in part)
    if size > MOST_BYTES:
        raise UserError(
            f"The pictures have {size / 2**20:.1f} MiB together; {MOST_BYTES / 2**20:.1f} MiB are the most.",
            hint="Show fewer examples, or look less closely.",
        )
    return messages


def _parts(part: str | Picture, detail: str, longest: int) -> Iterator[dict[str, Any]]:
    """Text is a part; so is each frame of a picture that moves."""
    if isinstance(part, str):
        yield {"type": "text", "text": part}
        return
    for frame in range(frame_count(part)):
        url = f"data:image/jpeg;base64,{base64.b64encode(as_jpeg(part, longest, frame)).decode()}"
        yield {"type": "image_url", "image_url": {"url": url, "detail": detail}}
