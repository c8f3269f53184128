"""Several servers behind one address: each conversation of a double stays with the server that has it in memory.

Which one is decided by a hash of the double and the conversation alone (highest random weight: Thaler and Ravishankar
1998), so that nothing has to be remembered or shared, routers can stand side by side, and of N servers that one is gone
moves only the conversations that were there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from talkalike.engine.closing_stream import ClosingStream
from talkalike.engine.remote_http import CONVERSATION_HEADER
from talkalike.engine.request_body import MOST_BYTES, read_body

_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_REST_SECONDS = 5.0  # how long a server that did not answer is asked last
_DROPPED = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding", "keep-alive"})
_BUSY = frozenset({502, 503, 504})


@dataclass(slots=True)
class _Upstream:
    """One of the servers."""

    url: str  # with the version, without a slash at the end
    rests_until: float = 0.0
    sent: int = 0  # requests that it answered


class Router:
    """Passes requests on to these servers as they are, keys too. Each address ends with the version, as in /v1."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._upstreams = [_Upstream(url.rstrip("/")) for url in dict.fromkeys(urls)]
        each_its_own = httpx.Limits(max_keepalive_connections=0)  # servers come and go: none is held on to
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, limits=each_its_own, headers={"accept-encoding": "identity"})

    def app(self) -> ASGIApp:
        """Passes on what comes to /v1; /health tells of the servers."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/{path:path}", self._pass_on, methods=["GET", "POST"]),
            ]
        )

    def _ranked(self, key: str) -> list[_Upstream]:
        """The servers in the order in which they are asked for this key; those that failed lately come last."""
        now = time.monotonic()
        by_weight = sorted(self._upstreams, key=lambda one: _weight(one.url, key), reverse=True)
        return sorted(by_weight, key=lambda one: one.rests_until > now)

    async def close(self) -> None:
        """Ends the connections to the servers."""
        await self._client.aclose()

    async def open_to_anybody(self) -> list[str]:
        """The servers that answer a request without a key."""
        found = []
        for upstream in self._upstreams:
            with contextlib.suppress(httpx.HTTPError):
                if (await self._client.get(f"{upstream.url}/models")).is_success:
                    found.append(upstream.url)
        return found

    async def _health(self, _request: Request) -> Response:
        now = time.monotonic()
        listed = [{"url": one.url, "resting": one.rests_until > now, "answered": one.sent} for one in self._upstreams]
        ready = any(not one["resting"] for one in listed)
        return JSONResponse({"status": "ok" if ready else "unavailable", "servers": listed}, 200 if ready else 503)

    async def _pass_on(self, request: Request) -> Response:
        """To the first server in the ranking that takes it. What has begun to be answered is not asked again."""
        body = await read_body(request)
        if body is None:
            return _error(413, f"The request is larger than {MOST_BYTES:,} bytes.")
        path = request.path_params["path"] + (f"?{request.url.query}" if request.url.query else "")
        headers = {name: value for name, value in request.headers.items() if name not in _DROPPED}
        refused: httpx.Response | None = None
        for upstream in self._ranked(routing_key(request.headers, body)):
            asked = self._client.build_request(request.method, f"{upstream.url}/{path}", content=body, headers=headers)
            try:
                answer = await self._client.send(asked, stream=True)
            except httpx.HTTPError:
                upstream.rests_until = time.monotonic() + _REST_SECONDS
                continue
            if answer.status_code in _BUSY:
                upstream.rests_until = time.monotonic() + _REST_SECONDS
                if refused is not None:
                    await refused.aclose()
                refused = answer
                continue
            upstream.rests_until = 0.0
            upstream.sent += 1
            if refused is not None:
                await refused.aclose()
            return _streamed(answer)
        if refused is not None:
            return _streamed(refused)
        return _error(503, "None of the servers answers.")


def routing_key(headers: Mapping[str, str], body: bytes) -> str:
    """What decides: the header that our engine sends; else the model with the conversation or user that the body names,
    else with the beginning of its prompt, which a conversation keeps for a while.
    """
    if told := headers.get(CONVERSATION_HEADER):
        return told
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    named = fields.get("conversation") or fields.get("user") or fields.get("session_id")
    opening = fields.get("messages") or fields.get("prompt") or ""
    beginning = opening[:2] if isinstance(opening, list) else str(opening)[:200]
    return f"{fields.get('model')}\n{named or json.dumps(beginning)}"


def _weight(url: str, key: str) -> bytes:
    return hashlib.blake2b(f"{url}\n{key}".encode(), digest_size=8).digest()


def _streamed(answer: httpx.Response) -> Response:
    headers = {name: value for name, value in answer.headers.items() if name not in _DROPPED - {"content-length"}}
    return ClosingStream(_chunks(answer), status_code=answer.status_code, headers=headers)


async def _chunks(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The answer as it arrives. A server that breaks off ends it early, which the client sees."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.HTTPError:
        return
    finally:
        await answer.aclose()


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "server_error", "code": None}}, status)
