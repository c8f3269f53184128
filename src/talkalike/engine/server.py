"""The OpenAI-compatible API over any engine: completions of a chat or a text (whole or streamed), models, health.

A burst's messages are joined by newlines; the field `talkalike` beside OpenAI's own tells them apart (`message`: the
number of the burst's message a chunk belongs to; `messages`: all of them, in a whole answer).

Nothing whose work grows with the request is done in the event loop: threads read requests, and the engine counts.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from talkalike.engine.api_answer import ChatAnswer, TextAnswer, api_error
from talkalike.engine.api_fields import ApiError
from talkalike.engine.api_request import ReplyRequest, parse_chat_request, parse_completion_request
from talkalike.engine.closing_stream import ClosingStream
from talkalike.engine.eye_request import answer_events, answer_request, eye_card, parse_eye_request, whole_answer
from talkalike.engine.eyes import Eye
from talkalike.engine.listening import open_socket, run_server
from talkalike.engine.offer import Beside, Offered
from talkalike.engine.own_names import OwnNamesOnly, is_local, is_loopback
from talkalike.engine.picture_parts import tell_pictures
from talkalike.engine.protocol import Engine, Finish, Piece, Sampling
from talkalike.engine.request_body import MOST_BYTES, read_body
from talkalike.engine.stops import StopStrings
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.reactions import plain

_Result = TypeVar("_Result")
_NOT_OURS = (
    "This server answers to localhost and 127.0.0.1. Another name, such as a proxy's, has to be one of the `names` in "
    "[serve] of talkalike.toml."
)
_DEFAULTS = Sampling()
NOTHING_BESIDE = Beside()
_EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_CLIENT_GONE = Response(status_code=499)
_OFFERED = "It offers /v1/chat/completions, /v1/completions, /v1/models and /health."
_NOT_OFFERED = {  # addresses of OpenAI's that clients try, and why there is nothing
    "embeddings": "makes no embeddings: its models write replies",
    "responses": "has no responses API; chat completions do the same",
    "moderations": "judges no texts",
    "images/generations": "makes no pictures",
    "audio/speech": "makes no sound",
    "audio/transcriptions": "hears no sound",
}


def create_app(
    engine: Engine,
    *,
    speaker: str,
    api_key: str = "",
    defaults: Sampling = _DEFAULTS,
    origins: Sequence[str] = (),
    beside: Beside = NOTHING_BESIDE,
) -> ASGIApp:
    """The application. `speaker` answers by default; requests need `api_key` unless it is empty.

    `beside`: what a request can name besides the engine's model.

    `defaults`: how replies are sampled where a request does not say. `origins`: the web pages (https://example.org)
    that browsers let use the API; none of them gets to send cookies.
    """
    first = Offered(engine=engine, speaker=speaker)
    service = _Service(first=first, beside=beside, api_key=api_key, defaults=defaults)
    routes = [
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.text, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{model:path}", service.model),
        Route("/health", service.health),
        *(Route(f"/v1/{path}", service.not_offered, methods=["GET", "POST"]) for path in _NOT_OFFERED),
    ]
    handlers: dict[Any, Any] = {
        ApiError: lambda _request, error: _refusal(error),
        404: lambda _request, _error: _refusal(ApiError(404, f"There is nothing at this address. {_OFFERED}")),
        500: lambda _request, _error: _refusal(ApiError(500, "Something went wrong in this server; see its log.")),
        405: lambda _request, _error: _refusal(ApiError(405, "This address does not answer to that method.")),
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    if not origins:
        return app
    return CORSMiddleware(app, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])


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
    app: ASGIApp, *, listening: socket.socket, names: Sequence[str] = (), stop: asyncio.Event | None = None
) -> None:
    """Offers the application until interrupted or `stop` is set; running replies get ten seconds to end.

    `names`: those under which a proxy on this computer passes requests on. Closes the socket; the caller closes the
    engine.
    """
    if is_local(listening):  # a web page must not reach us through a name that resolves to this computer
        app = OwnNamesOnly(app, _refusal(ApiError(400, _NOT_OURS)), names=names)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=10
    )
    await run_server(uvicorn.Server(config), listening, stop=stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    first: Offered
    beside: Beside
    api_key: str
    defaults: Sampling

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": self.first.engine.name})

    async def models(self, request: Request) -> Response:
        """The first model stands first; those that can't be opened are left out."""
        self._authorise(request)
        found = [self.first]
        for name in await self.beside.models.names() if self.beside.models is not None else ():
            with suppress(ApiError):
                found.append(await self._find(name))
        cards = [_card(offered) for offered in found] + ([eye_card(self.beside.eye)] if self.beside.eye else [])
        return JSONResponse({"object": "list", "data": cards})

    async def model(self, request: Request) -> Response:
        self._authorise(request)
        if self.beside.eye is not None and request.path_params["model"] == self.beside.eye.name:
            return JSONResponse(eye_card(self.beside.eye))
        return JSONResponse(_card(await self._find(request.path_params["model"])))

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, ChatAnswer)

    async def text(self, request: Request) -> Response:
        return await self._answer(request, TextAnswer)

    async def not_offered(self, request: Request) -> Response:
        self._authorise(request)
        what = _NOT_OFFERED[request.url.path.removeprefix("/v1/")]
        raise ApiError(404, f"This server {what}. {_OFFERED}", code="not_offered")

    async def _answer(self, request: Request, kind: type[ChatAnswer]) -> Response:
        self._authorise(request)
        text = await self._body(request)
        body = await asyncio.to_thread(_json, text)
        asked = body.get("model") if isinstance(body, dict) else None
        if self.beside.eye is not None and asked == self.beside.eye.name and kind is ChatAnswer:
            return await self._see(request, body, self.beside.eye)
        offered = await self._find(asked) if isinstance(asked, str) else self.first
        if kind is ChatAnswer:
            body = await self._with_words(body)
        call = await asyncio.to_thread(self._parse, body, offered, kind)
        pieces = _cut_pieces(offered.engine, call)
        answer = kind(model=offered.engine.name, call=call)
        try:
            if not call.stream:
                whole = await _unless_gone(request, _collect(pieces))
                return _CLIENT_GONE if whole is None else JSONResponse(answer.whole(whole))
            first = await _unless_gone(request, anext(pieces))
        except TalkalikeError as error:
            raise api_error(error) from None
        return _CLIENT_GONE if first is None else ClosingStream(answer.events(first, pieces), headers=_EVENTS)

    async def _with_words(self, body: Any) -> Any:
        try:
            return await tell_pictures(body, self.beside.eye)
        except TalkalikeError as error:
            raise api_error(error) from None

    async def _see(self, request: Request, body: Any, eye: Eye) -> Response:
        call = await asyncio.to_thread(parse_eye_request, body, eye=eye, defaults=self.defaults)
        try:
            looked = await _unless_gone(request, answer_request(call, eye))
        except TalkalikeError as error:
            raise api_error(error) from None
        if looked is None:
            return _CLIENT_GONE
        if call.stream:
            return ClosingStream(answer_events(looked, call, model=eye.name), headers=_EVENTS)
        return JSONResponse(whole_answer(looked, call, model=eye.name))

    def _parse(self, body: Any, offered: Offered, kind: type[ChatAnswer]) -> ReplyRequest:
        name = offered.engine.name
        if kind is TextAnswer:
            return parse_completion_request(body, model=name, defaults=self.defaults)
        return parse_chat_request(body, model=name, speaker=offered.speaker, defaults=self.defaults)

    async def _find(self, model: str) -> Offered:
        """The model that a request names. Raises ApiError where it is not offered, or can't be opened."""
        if model == self.first.engine.name:
            return self.first
        try:
            found = await self.beside.models.find(model) if self.beside.models is not None else None
        except TalkalikeError as error:
            raise api_error(error) from None
        if found is None:
            alone = self.beside.models is None
            there = f", only '{self.first.engine.name}'" if alone else "; /v1/models lists those there are"
            what = f"There is no model '{model[:80]}' here{there}."
            raise ApiError(404, what, code="model_not_found", param="model")
        return found

    def _authorise(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").strip().partition(" ")
        right = hmac.compare_digest(key.strip().encode(), self.api_key.encode())
        if self.api_key and not (scheme.lower() == "bearer" and right):
            raise ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "The request body must be application/json.")
        body = await read_body(request)
        if body is None:
            raise ApiError(413, f"The request body is larger than {MOST_BYTES} bytes.")
        return body


def _card(offered: Offered) -> dict[str, Any]:
    facts = {"speaker": offered.speaker, "context_length": offered.engine.context_length}
    return {"id": offered.engine.name, "object": "model", "created": 0, "owned_by": "talkalike", "talkalike": facts}


def _json(body: bytes) -> Any:
    def no_number(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(body, parse_constant=no_number)
    except (ValueError, RecursionError):
        raise ApiError(400, "The request body is not JSON.") from None


async def _cut_pieces(engine: Engine, call: ReplyRequest) -> AsyncGenerator[Piece, None]:
    """The engine's pieces, a newline before each further message, up to the first stop string."""
    stops = StopStrings(call.stop)
    message = shown = read = 0
    async with aclosing(engine.stream(call.prompt, call.sampling)) as pieces:
        async for piece in pieces:
            if piece.finish is Finish.CANCELLED:
                raise TalkalikeError("The engine was closed while it wrote this reply.")
            read += piece.prompt_tokens
            if piece.finish is not None:
                for held in stops.rest():
                    yield held
                yield replace(piece, prompt_tokens=read)
                return
            text = piece.text if call.reactions else plain(piece.text)
            joined = replace(piece, text="\n" + text if piece.message > message else text, prompt_tokens=0)
            message = piece.message
            for part in stops.push(joined):
                shown = part.message
                yield part
            if stops.found:
                yield Piece(text="", message=shown, finish=Finish.STOP, prompt_tokens=read)
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
