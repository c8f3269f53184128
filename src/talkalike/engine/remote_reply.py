"""What a chat completions server streams back, turned into pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from talkalike.engine.protocol import Finish, Piece, Sampling
from talkalike.errors import TalkalikeError

_LONGEST_EVENT = 2**20


class BrokenOffError(TalkalikeError):
    """The stream ended without saying that the reply is over."""


async def server_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any], None]:
    """The choices of a stream of server-sent events, up to `[DONE]`.

    Lines end at line feeds only: a JSON text may hold every other line separator of Unicode. Raises TalkalikeError for
    anything else, for an error the server reports, and for a stream that ends too early.
    """
    rest = b""
    finished = False
    async for chunk in chunks:
        rest += chunk
        *lines, rest = rest.split(b"\n")
        if len(rest) > _LONGEST_EVENT:
            raise _garbage()
        for line in lines:
            line = line.rstrip(b"\r")
            if not line.startswith(b"data:"):
                if line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                    raise _garbage()
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            choice = choice_of(_parsed(data))
            if choice is not None:
                finished = finished or bool(choice.get("finish_reason"))
                yield choice
    if not finished:
        raise BrokenOffError("The server broke off in the middle of the reply.", hint="Try again.")


async def marked_pieces(choices: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Piece, None]:
    """Pieces from our own server, which says to which message of the burst each chunk belongs."""
    message = discarded = prompt_tokens = 0
    finish = Finish.STOP
    async with aclosing(choices):
        async for choice in choices:
            text = _text(choice)
            facts = choice.get("talkalike") or {}
            prompt_tokens = prompt_tokens or int(facts.get("prompt_tokens", 0))
            number = int(facts.get("message", message))
            discarded += int(facts.get("discarded", 0))
            if number > message:
                text, message = text.removeprefix("\n"), number
            if text:
                listed = choice.get("logprobs") or {}
                own = listed.get("token_logprobs") or [token["logprob"] for token in listed.get("content") or []]
                yield Piece(
                    text=text,
                    message=message,
                    token_ids=tuple(facts.get("token_ids") or ()),
                    logprobs=tuple(float(value) for value in own),
                    prompt_tokens=prompt_tokens,
                )
                prompt_tokens = 0
            if choice.get("finish_reason"):
                finish = _finish(choice["finish_reason"])
    yield Piece(text="", message=message, finish=finish, prompt_tokens=prompt_tokens, discarded=discarded)


class Lines:
    """Pieces from any other server: each line that is not blank is a message, at most `max_messages` of them."""

    def __init__(self, sampling: Sampling) -> None:
        self._last = sampling.max_messages - 1
        self._message = 0
        self._started = False  # whether the current message has text
        self._blank = ""  # white space that belongs to the message only if more text follows on its line

    async def pieces(self, choices: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Piece, None]:
        """The reply; reading stops early when the burst is full."""
        finish = Finish.STOP
        async with aclosing(choices):
            async for choice in choices:
                for index, line in enumerate(_text(choice).split("\n")):
                    if index and not self._next_line():
                        yield Piece(text="", message=self._last, finish=Finish.STOP)
                        return
                    text = self._text(line)
                    if text:
                        yield Piece(text=text, message=self._message)
                if choice.get("finish_reason"):
                    finish = _finish(choice["finish_reason"])
        yield Piece(text="", message=self._message if self._started else max(0, self._message - 1), finish=finish)

    def _next_line(self) -> bool:
        self._blank = ""
        if self._started:
            self._message += 1
            self._started = False
        return self._message <= self._last

    def _text(self, line: str) -> str:
        held = self._blank + line
        if not held.strip():
            self._blank = held
            return ""
        text = held if self._started else held.lstrip()
        shown = text.rstrip()
        self._blank = text[len(shown) :]
        self._started = True
        return shown


def _text(choice: dict[str, Any]) -> str:
    """What a chunk adds, of a chat or of a text."""
    return str(choice.get("text") or (choice.get("delta") or {}).get("content") or "")


def choice_of(event: Any) -> dict[str, Any] | None:
    """What an event says of the reply; None for one that says nothing. TalkalikeError for an error and for the rest."""
    if not isinstance(event, dict):
        raise _garbage()
    if event.get("error"):
        error = event["error"]
        said = error.get("message") if isinstance(error, dict) else error
        raise TalkalikeError(f"The server ended the reply: {str(said)[:300]}")
    choices = event.get("choices")
    if choices == []:
        return None  # usage
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise _garbage()
    return choices[0]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise _garbage() from None


def _finish(reason: Any) -> Finish:
    return Finish.LENGTH if reason == "length" else Finish.STOP


def _garbage() -> TalkalikeError:
    return TalkalikeError(
        "The server sent something that is not a chat completion.", hint="Does the address end in /v1, and is it right?"
    )
