"""What the API sends back: a reply in OpenAI's words, whole or as server-sent events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from talkalike.engine.api_fields import ApiError
from talkalike.engine.api_request import ReplyRequest
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError, Finish, Piece
from talkalike.errors import TalkalikeError, UserError


class ChatAnswer:
    """A reply in OpenAI's words for a chat."""

    prefix = "chatcmpl"
    kind = "chat.completion"
    kind_of_chunk = "chat.completion.chunk"
    opening: tuple[dict[str, Any], ...] = (
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
    )

    def __init__(self, *, model: str, call: ReplyRequest) -> None:
        self._call = call
        self._read = 0
        self._written = 0
        self._place = 0  # characters of the answer before the next piece
        self._base = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, pieces: list[Piece]) -> dict[str, Any]:
        for piece in pieces:
            self._count(piece)
        choice = {
            "index": 0,
            **self._content(pieces),
            "finish_reason": _reason(pieces[-1]),
            "logprobs": self._logprobs(pieces),
        }
        return {**self._base, "object": self.kind, "choices": [choice], "usage": self._usage()}

    async def events(self, first: Piece, others: AsyncGenerator[Piece, None]) -> AsyncIterator[bytes]:
        async with aclosing(others):
            for choice in self.opening:
                yield self._event([choice])
            piece = first
            try:
                while piece.finish is None:
                    yield self._piece_event(piece)
                    piece = await anext(others)
                yield self._piece_event(piece)
            except TalkalikeError as error:
                yield _data(api_error(error).body())
                return
            if self._call.include_usage:
                yield self._event([], usage=self._usage())
            yield b"data: [DONE]\n\n"

    def _piece_event(self, piece: Piece) -> bytes:
        self._count(piece)
        counts = {"discarded": piece.discarded, "prompt_tokens": piece.prompt_tokens}
        facts = {"message": piece.message, "token_ids": list(piece.token_ids)}
        choice = {
            "index": 0,
            **self._part(piece),
            "finish_reason": _reason(piece),
            "logprobs": self._logprobs([piece]) if piece.text else None,
            "talkalike": facts | {name: number for name, number in counts.items() if number},
        }
        return self._event([choice])

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        extra = {"usage": usage} if self._call.include_usage else {}
        return _data({**self._base, "object": self.kind_of_chunk, "choices": choices, **extra})

    def _count(self, piece: Piece) -> None:
        self._read += piece.prompt_tokens
        self._written += len(piece.token_ids) + piece.discarded

    def _usage(self) -> dict[str, int]:
        total = self._read + self._written
        return {"prompt_tokens": self._read, "completion_tokens": self._written, "total_tokens": total}

    def _content(self, pieces: list[Piece]) -> dict[str, Any]:
        texts = [""] * (pieces[-1].message + 1)
        for piece in pieces:
            texts[piece.message] += piece.text
        messages = [text.removeprefix("\n") if index else text for index, text in enumerate(texts)]
        return {
            "message": {"role": "assistant", "content": "".join(texts), "refusal": None},
            "talkalike": {"message": pieces[-1].message, "messages": messages if any(messages) else []},
        }

    def _part(self, piece: Piece) -> dict[str, Any]:
        return {"delta": {"content": piece.text} if piece.text else {}}

    def _logprobs(self, pieces: list[Piece]) -> dict[str, Any] | None:
        if not self._call.logprobs:
            return None
        content = [
            {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
            for text, logprob in _tokens(pieces)
        ]
        return {"content": content, "refusal": None}


class TextAnswer(ChatAnswer):
    """A continued text in OpenAI's older words."""

    prefix = "cmpl"
    kind = kind_of_chunk = "text_completion"
    opening = ()

    def _content(self, pieces: list[Piece]) -> dict[str, Any]:
        return {"text": "".join(piece.text for piece in pieces)}

    def _part(self, piece: Piece) -> dict[str, Any]:
        return {"text": piece.text}

    def _logprobs(self, pieces: list[Piece]) -> dict[str, Any] | None:
        if not self._call.logprobs:
            return None
        tokens = list(_tokens(pieces))
        offsets = []
        for text, _ in tokens:
            offsets.append(self._place)
            self._place += len(text)
        return {
            "tokens": [text for text, _ in tokens],
            "token_logprobs": [logprob for _, logprob in tokens],
            "top_logprobs": None,
            "text_offset": offsets,
        }


def _tokens(pieces: list[Piece]) -> Iterator[tuple[str, float]]:
    """Each token's text and logarithm of its probability; a character made of several tokens stands at its last."""
    for piece in pieces:
        for left, logprob in zip(range(len(piece.logprobs) - 1, -1, -1), piece.logprobs, strict=True):
            yield piece.text if left == 0 else "", logprob


def api_error(error: TalkalikeError) -> ApiError:
    """The status and code that fit one of our errors."""
    if isinstance(error, ContextTooLongError):
        return ApiError(413, str(error), code="context_length_exceeded", param="messages")
    if isinstance(error, EngineBusyError):
        return ApiError(429, str(error), code="queue_full")
    if isinstance(error, UserError):
        return ApiError(400, str(error))
    return ApiError(503, str(error), code="engine_unavailable")


def _reason(piece: Piece) -> str | None:
    return None if piece.finish is None else "length" if piece.finish is Finish.LENGTH else "stop"


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
