"""Our Discord on a socket of this computer: API, gateway, attachments and the page, in one aiohttp application."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from local_discord import page
from local_discord.gateway import Gateway
from local_discord.keys import GATEWAY, WORLD
from local_discord.rest import PREFIX, add_api, struck
from local_discord.world import World

_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class LocalDiscord:
    """`async with LocalDiscord(world) as server:` serves the world; `port` 0 takes a free one.

    Point discord.py at it with `discord.http.Route.BASE = server.api_base` and
    `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(server.gateway_url)`.
    """

    def __init__(
        self, world: World, host: str = "127.0.0.1", port: int = 0, *, heartbeat_seconds: float = 41.25
    ) -> None:
        self.world = world
        self.host = host
        self.port = port
        self._heartbeat_seconds = heartbeat_seconds
        self._runner: web.AppRunner | None = None
        self._gateway: Gateway | None = None

    @property
    def gateway(self) -> Gateway:
        """The gateway, which exists while the server runs."""
        if self._gateway is None:
            raise RuntimeError("The server has not been started.")
        return self._gateway

    @property
    def _name(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def base_url(self) -> str:
        return f"http://{self._name}:{self.port}"

    @property
    def api_base(self) -> str:
        return self.base_url + PREFIX

    @property
    def gateway_url(self) -> str:
        return f"ws://{self._name}:{self.port}/gateway"

    @property
    def page_url(self) -> str:
        return self.base_url + "/"

    async def start(self) -> None:
        self._gateway = Gateway(self.world, heartbeat_seconds=self._heartbeat_seconds)
        app = web.Application(middlewares=[_own_names_only], client_max_size=64 * 1024 * 1024)
        app[WORLD] = self.world
        app[GATEWAY] = self._gateway
        app.router.add_get("/gateway", self._gateway.handle)
        app.router.add_get("/gateway/", self._gateway.handle)
        app.router.add_get("/attachments/{channel_id}/{file_id}/{name}", _attachment)
        _add_page(app, self.world)
        add_api(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.world.base_url = self.base_url
        self._gateway.url = self.gateway_url

    async def close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> LocalDiscord:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@web.middleware
async def _own_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns away what a browser asks for under a name that another web site gave to this computer (DNS rebinding)."""
    try:
        name = URL(f"http://{request.host}").host or ""
    except ValueError:
        name = ""
    if name not in _OWN_NAMES:
        return web.json_response({"error": "This server answers only to 127.0.0.1 and localhost."}, status=403)
    return await handler(request)


def _add_page(app: web.Application, world: World) -> None:
    page.add_routes(app, world)


async def _attachment(request: web.Request) -> web.StreamResponse:
    """A file. Served so that a browser never runs what somebody has uploaded."""
    world = request.app[WORLD]
    fault = world.faults.strike(request.method, request.path)
    if fault is not None and (instead := await struck(fault, request)) is not None:
        return instead
    file_id = request.match_info["file_id"]
    held = world.files.get(int(file_id)) if file_id.isdigit() else None
    if held is None:
        raise web.HTTPNotFound(text="This file is not kept any more.")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return web.Response(body=held.data, headers={**headers, "Content-Type": held.content_type})
