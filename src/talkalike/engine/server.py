"""The OpenAI-compatible API over any engine: chat completions (whole or streamed), models, health.

A burst's messages are joined by newlines; the field `talkalike` beside OpenAI's own tells them apart (`message`: the
number of the burst's message a chunk belongs to; `messages`: all of them, in a whole answer).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Send

from talkalike.engine.api_answer import Answer, api_error
from talkalike.engine.api_request import ApiError, ChatRequest, parse_chat_request
from talkalike.engine.listening import open_socket
from talkalike.engine.own_names import OwnNamesOnly, is_local, is_loopback
from talkalike.engine.protocol import Engine, Finish, Piece, Sampling
from talkalike.engine.stops import StopStrings
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import plain

_Result = TypeVar("_Result")
_NOT_OURS = (
    "This server answers to localhost and 127.0.0.1. Another name, such as a proxy's, has to be one of the `names` in "
    "[serve] of talkalike.toml."
)
_DEFAULTS = Sampling()
_CLIENT_GONE = Response(status_code=499)


def create_app(
    engine: Engine, *, speaker: str, api_key: str = "", defaults: Sampling = _DEFAULTS, max_body: int = 4 * 2**20
) -> Starlette:
    """The application. `speaker` answers by default; requests need `api_key` unless it is empty."""
    service = _Service(engine=engine, speaker=speaker, api_key=api_key, defaults=defaults, max_body=max_body)
    routes = [
        Route("/v1/chat/completions", service.complete, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{model:path}", service.model),
        Route("/health", service.health),
    ]
    handlers: dict[Any, Any] = {
        ApiError: lambda _request, error: _refusal(error),
        404: lambda _request, _error: _refusal(ApiError(404, "There is nothing at this address.")),
        500: lambda _request, _error: _refusal(ApiError(500, "Something went wrong in this server; see its log.")),
        405: lambda _request, _error: _refusal(ApiError(405, "This address does not answer to that method.")),
    }
    return Starlette(routes=routes, exception_handlers=handlers)


def listen(host: str, port: int, *, api_key: str) -> socket.socket:
    """A listening socket for `serve`.

    Raises UserError when the port is taken, or when others could reach the server without a key.
    """
    if not api_key and host != "localhost" and not is_loopback(host):
        raise UserError(
            f"Serving at {host} would let anyone in the network talk to this model.",
            hint="Set an API key, or serve at 127.0.0.1.",
        )
    return open_socket(host, port)


async def serve(
    engine: Engine,
    *,
    speaker: str,
    listening: socket.socket,
    api_key: str = "",
    names: Sequence[str] = (),
    stop: asyncio.Event | None = None,
) -> None:
    """Offers the engine until interrupted or `stop` is set; running replies get ten seconds to end.

    `names`: those under which a proxy on this computer passes requests on. Closes the socket; the caller closes the
    engine.
    """
    app: ASGIApp = create_app(engine, speaker=speaker, api_key=api_key)
    if is_local(listening):
        app = OwnNamesOnly(app, _refusal(ApiError(400, _NOT_OURS)), names=names)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=10
    )
    server = uvicorn.Server(config)

    async def end() -> None:
        if stop:
            await stop.wait()
            server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        with listening:
            await server.serve(sockets=[listening])
    finally:
        ending.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    engine: Engine
    speaker: str
    api_key: str
    defaults: Sampling
    max_body: int

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": self.engine.name})

    async def models(self, request: Request) -> Response:
        self._authorise(request)
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        self._authorise(request)
        if request.path_params["model"] != self.engine.name:
            raise ApiError(404, "There is no such model here.", code="model_not_found")
        return JSONResponse(self._card())

    async def complete(self, request: Request) -> Response:
        self._authorise(request)
        call = parse_chat_request(
            await self._json(request), model=self.engine.name, speaker=self.speaker, defaults=self.defaults
        )
        pieces = _shown_pieces(self.engine, call)
        answer = Answer(model=self.engine.name, call=call, prompt_tokens=sum(self._count(call)))
        try:
            if not call.stream:
                whole = await _unless_gone(request, _collect(pieces))
                return _CLIENT_GONE if whole is None else JSONResponse(answer.whole(whole))
            first = await _unless_gone(request, anext(pieces))
        except TalkalikeError as error:
            raise api_error(error) from None
        return _CLIENT_GONE if first is None else _EventStream(answer.events(first, pieces))

    def _authorise(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if self.api_key and not hmac.compare_digest(given, f"Bearer {self.api_key}".encode()):
            raise ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")

    async def _json(self, request: Request) -> Any:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "The request body must be application/json.")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_body:
                raise ApiError(413, f"The request body is larger than {self.max_body} bytes.")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ApiError(400, "The request body is not JSON.") from None

    def _count(self, call: ChatRequest) -> list[int]:
        return self.engine.count_tokens(call.prompt.turns)

    def _card(self) -> dict[str, Any]:
        facts = {"speaker": self.speaker, "context_length": self.engine.context_length}
        return {"id": self.engine.name, "object": "model", "created": 0, "owned_by": "talkalike", "talkalike": facts}


class _EventStream(StreamingResponse):
    """Closes its source at once when the client leaves."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._events: Any = events

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


async def _shown_pieces(engine: Engine, call: ChatRequest) -> AsyncGenerator[Piece, None]:
    """The engine's pieces, a newline before each further message, up to the first stop string."""
    stops = StopStrings(call.stop)
    message = shown = 0
    async with aclosing(engine.stream(call.prompt, call.sampling)) as pieces:
        async for piece in pieces:
            if piece.finish is Finish.CANCELLED:
                raise TalkalikeError("The engine was closed while it wrote this reply.")
            if piece.finish is not None:
                for held in stops.rest():
                    yield held
                yield piece
                return
            text = piece.text if call.reactions else plain(piece.text)
            joined = replace(piece, text="\n" + text if piece.message > message else text)
            message = piece.message
            for part in stops.push(joined):
                shown = part.message
                yield part
            if stops.found:
                yield Piece(text="", message=shown, finish=Finish.STOP)
                return


async def _collect(pieces: AsyncGenerator[Piece, None]) -> list[Piece]:
    async with aclosing(pieces):
        return [piece async for piece in pieces]


async def _unless_gone(request: Request, work: Awaitable[_Result]) -> _Result | None:
    """The work's result, or None (and the work cancelled) when the client disconnects first."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.wait((working, watching))


def _refusal(error: ApiError) -> Response:
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.status == 429:
        headers["retry-after"] = "1"
    return JSONResponse(error.body(), status_code=error.status, headers=headers)
