"""An eye that is a vision model behind a server: any that takes OpenAI's chat completions with picture parts.

Pictures leave as `data:` URLs only, so that nobody is asked to fetch an address, and as PNG or JPEG, which every server
reads.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import httpx

from talkalike.engine.eyes import EyeTurn, Grade, Looked, Sight
from talkalike.engine.protocol import Sampling
from talkalike.engine.remote import fields_for_any, pick_card
from talkalike.engine.remote_http import Connection, Retries, open_client, refusal, unreachable
from talkalike.engine.remote_reply import marked_pieces
from talkalike.errors import TalkalikeError, UserError
from talkalike.pictures.picture import Picture

MOST_BYTES = 24 * 2**20  # of the pictures of one request
_DETAIL = {Grade.GLANCE: "low", Grade.LOOK: "auto", Grade.STUDY: "high"}
_WHAT = "Describe the picture in a short sentence."


class VisionChat:
    """A `ConversingEye` over a server. The key is sent with each request and shown nowhere."""

    def __init__(self, base_url: str, model: str, *, api_key: str = "", max_images: int = 9) -> None:
        """`base_url` with the version, e.g. http://127.0.0.1:8000/v1. `max_images`: pictures it takes at once."""
        self._model = model
        self._max_images = max_images
        self._connection = Connection(base_url, api_key=api_key, patience=Retries())

    @classmethod
    async def connect(cls, base_url: str, *, model: str = "", api_key: str = "", max_images: int = 9) -> VisionChat:
        """Asks the server which models it has; `model` may be left out where it has only one.

        Raises UserError for a wrong address, key or model name, TalkalikeError when the server does not answer.
        """
        async with open_client(base_url, api_key) as client:
            try:
                response = await client.get("models")
            except httpx.HTTPError as problem:
                raise unreachable(base_url, problem) from None
        if response.status_code >= 400:
            raise refusal(response.status_code, response.text, base_url)
        found = str(pick_card(response, model, base_url)["id"])
        return cls(base_url, found, api_key=api_key, max_images=max_images)

    @property
    def name(self) -> str:
        return self._model

    @property
    def sight(self) -> Sight:
        return Sight(grades=tuple(Grade), max_images=self._max_images, answers=True)

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """The answer to `ask`, with the likeliest words."""
        turns = (EyeTurn(role="user", parts=(picture, ask or _WHAT)),)
        return await self.converse(turns, Sampling(temperature=0), grade=grade)

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        """What the assistant says next."""
        sampling.check()
        if sampling.best_of > 1:
            raise UserError("A vision server does not choose the best of several answers.", hint="Set best_of to 1.")
        began = time.monotonic()
        body = await asyncio.to_thread(self._body, turns, sampling, grade)
        text = ""
        async with aclosing(marked_pieces(self._connection.choices("chat/completions", body))) as pieces:
            async for piece in pieces:
                text += piece.text
        if not text.strip():
            raise TalkalikeError(f"{self._model} said nothing about the picture.", hint="Ask again, or otherwise.")
        return Looked(words=text.strip(), sure=True, seconds=time.monotonic() - began)

    async def close(self) -> None:
        await self._connection.close()

    def _body(self, turns: Sequence[EyeTurn], sampling: Sampling, grade: Grade) -> bytes:
        """The request. Made in a thread: pictures are large."""
        messages = picture_messages(turns, detail=_DETAIL[grade])
        fields = {"model": self._model, "stream": True, "messages": messages}
        return json.dumps(fields | fields_for_any(sampling)).encode()


def picture_messages(turns: Sequence[EyeTurn], *, detail: str) -> list[dict[str, Any]]:
    """The turns as OpenAI's messages: always a list of parts, as some templates lose a plain text beside pictures.

    Raises UserError where the pictures are more than a server is likely to take.
    """
    size = sum(len(part.data) for turn in turns for part in turn.parts if isinstance(part, Picture))
    if size > MOST_BYTES:
        raise UserError(
            f"The pictures have {size / 2**20:.0f} MiB together; {MOST_BYTES // 2**20} MiB are the most.",
            hint="Show fewer examples, or smaller pictures.",
        )
    return [{"role": turn.role, "content": [_part(part, detail) for part in turn.parts]} for turn in turns]


def _part(part: str | Picture, detail: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = f"data:{part.content_type};base64,{base64.b64encode(part.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}
