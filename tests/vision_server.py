"""A small vision server for tests: OpenAI's chat completions, whose answers a test's function writes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from loopback_server import serving

Answer = Callable[[list[dict[str, Any]]], str]


@contextmanager
def vision_server(answer: Answer, *, models: tuple[str, ...] = ("seer",)) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serves it; yields the address and the bodies of the requests, which grow."""
    bodies: list[dict[str, Any]] = []

    async def list_models(_: Request) -> JSONResponse:
        return JSONResponse({"data": [{"id": name} for name in models]})

    async def complete(request: Request) -> StreamingResponse:
        body = await request.json()
        bodies.append(body)
        text = answer(body["messages"])

        async def events() -> Any:
            for piece, finish in ((text[:2], None), (text[2:], None), ("", "stop")):
                chunk = {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": finish}]}
                yield f"data: {json.dumps(chunk)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    routes = [Route("/v1/models", list_models), Route("/v1/chat/completions", complete, methods=["POST"])]
    with serving(Starlette(routes=routes)) as url:
        yield url, bodies


def pictures_of(message: dict[str, Any]) -> list[bytes]:
    """The bytes of the pictures in a message."""
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(";base64,")[2], validate=True) for url in urls]
