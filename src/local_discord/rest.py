"""The HTTP side: who is asking, faults on order, rate limits, errors in Discord's form; and the table of routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local_discord import rest_apps, rest_channels, rest_guilds, rest_interactions, rest_messages
from local_discord.errors import DiscordError, unauthorized
from local_discord.faults import Fault
from local_discord.forms import answer
from local_discord.keys import BOT, WORLD
from local_discord.rate_limits import RateLimits

PREFIX = "/api/v10"
_VIA = {"Via": "1.1 local-discord"}  # discord.py takes a 429 without it for a ban by the proxy in front of Discord

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_api(app: web.Application) -> None:
    """Puts API v10 under its prefix. `app[WORLD]` must be set."""
    api = web.Application(middlewares=[_middleware()], client_max_size=1 << 40)  # the cap is told by 40005
    api[WORLD] = app[WORLD]
    for module in (rest_apps, rest_channels, rest_guilds, rest_interactions, rest_messages):
        api.add_routes(module.routes)
    api.router.add_route("*", "/{rest:.*}", _not_there)
    app.add_subapp(PREFIX, api)


async def _not_there(request: web.Request) -> web.StreamResponse:
    raise DiscordError(404, 0, "404: Not Found")


def _middleware() -> Any:
    limits = RateLimits()

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        world = request.app[WORLD]
        path = request.path.removeprefix(PREFIX)
        fault = world.faults.strike(request.method, path)
        if fault is not None and not fault.after and (answered := await struck(fault, request)) is not None:
            return answered
        headers: dict[str, str] = {}
        try:
            _authenticate(request, path)
            limit = limits.of(request, path, world.faults.message_limit)
            if limit is not None:
                headers = limit.headers()
                if not limit.take():
                    await request.read()
                    return _limited(limit.retry_after(), headers | limit.headers())
                headers = limit.headers()
            response = await handler(request)
        except DiscordError as error:
            response = answer(error.payload(), status=error.status)
        except web.HTTPException as error:
            response = answer({"message": f"{error.status}: {error.reason}", "code": 0}, status=error.status)
        if fault is not None and fault.after:
            return _failed(fault)
        response.headers.update(headers)
        return response

    return serve


def _authenticate(request: web.Request, path: str) -> None:
    """Bots by their token. The addresses of interactions carry a token of their own."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bot = request.app[WORLD].bot_by_token(token) if scheme == "Bot" else None
    if bot is not None:
        request[BOT] = bot
    elif not path.startswith(("/interactions/", "/webhooks/", "/gateway")) or path == "/gateway/bot":
        raise unauthorized()


async def struck(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """What comes instead of the answer; None, after its delay, where the request is answered all the same."""
    if fault.cut:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    if fault.status == 0:
        await asyncio.sleep(fault.delay)
        return None
    await request.read()
    if fault.garbage:
        return answer({"not": ["what", "was", "asked", 4]})
    return _failed(fault)


def _failed(fault: Fault) -> web.Response:
    if fault.status == 429:
        return _limited(fault.retry_after, {}, everywhere=fault.everywhere)
    words = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
    return answer({"message": f"{fault.status}: {words.get(fault.status, 'Error')}", "code": 0}, status=fault.status)


def _limited(retry_after: float, headers: dict[str, str], *, everywhere: bool = False) -> web.Response:
    body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": everywhere}
    scope = {"X-RateLimit-Scope": "user", "Retry-After": str(max(1, round(retry_after)))}
    if everywhere:
        scope = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global", "Retry-After": scope["Retry-After"]}
    return answer(body, status=429, headers={**headers, **scope, **_VIA})
