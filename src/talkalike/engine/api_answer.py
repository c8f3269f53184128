"""What the API sends back: a reply in OpenAI's words, whole or as server-sent events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from talkalike.engine.api_request import ApiError, ChatRequest
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError, Finish, Piece
from talkalike.errors import TalkalikeError, UserError


class Answer:
    """A reply in OpenAI's words."""

    def __init__(self, *, model: str, call: ChatRequest, prompt_tokens: int) -> None:
        self._call = call
        self._prompt_tokens = prompt_tokens
        self._written = 0
        self._base = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, pieces: list[Piece]) -> dict[str, Any]:
        """The answer to a request without streaming."""
        texts = [""] * (pieces[-1].message + 1)
        for piece in pieces:
            texts[piece.message] += piece.text
        self._written = sum(len(piece.token_ids) + piece.discarded for piece in pieces)
        messages = [text.removeprefix("\n") if index else text for index, text in enumerate(texts)]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(texts), "refusal": None},
            "finish_reason": _reason(pieces[-1]),
            "logprobs": self._logprobs(pieces),
            "talkalike": {"message": pieces[-1].message, "messages": messages if any(messages) else []},
        }
        return {**self._base, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    async def events(self, first: Piece, others: AsyncGenerator[Piece, None]) -> AsyncIterator[bytes]:
        """The answer as server-sent events."""
        async with aclosing(others):
            yield self._event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
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
        self._written += len(piece.token_ids) + piece.discarded
        facts: dict[str, Any] = {"message": piece.message, "token_ids": list(piece.token_ids)}
        facts |= {"discarded": piece.discarded} if piece.discarded else {}
        choice = {
            "index": 0,
            "delta": {"content": piece.text} if piece.text else {},
            "finish_reason": _reason(piece),
            "logprobs": self._logprobs([piece]) if piece.text else None,
            "talkalike": facts,
        }
        return self._event([choice])

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        extra = {"usage": usage} if self._call.include_usage else {}
        return _data({**self._base, "object": "chat.completion.chunk", "choices": choices, **extra})

    def _usage(self) -> dict[str, int]:
        total = self._prompt_tokens + self._written
        return {"prompt_tokens": self._prompt_tokens, "completion_tokens": self._written, "total_tokens": total}

    def _logprobs(self, pieces: list[Piece]) -> dict[str, Any] | None:
        if not self._call.logprobs:
            return None
        content = []
        for piece in pieces:
            for left, logprob in zip(range(len(piece.logprobs) - 1, -1, -1), piece.logprobs, strict=True):
                text = piece.text if left == 0 else ""  # a character made of several tokens stands at its last
                octets = list(text.encode("utf-8", "replace"))
                content.append({"token": text, "logprob": logprob, "bytes": octets, "top_logprobs": []})
        return {"content": content, "refusal": None}


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
