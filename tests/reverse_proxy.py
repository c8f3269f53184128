"""A small reverse proxy, as nginx or Caddy would stand before the site, with another site at the top of its host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

ELSEWHERE = "the other site of this host"
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "content-encoding"}


@dataclass
class Proxy:
    """`strips`: takes the path away before it passes a request on. `adds`: headers that it sets."""

    upstream: str
    path: str = "/double"
    strips: bool = True
    adds: dict[str, str] = field(default_factory=dict)
    strayed: list[str] = field(default_factory=list)  # requests that went to the other site
    address: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.raw_path
        if asked != self.path and not asked.startswith(f"{self.path}/"):
            self.strayed.append(f"{request.method} {asked}")
            return web.Response(status=418, text=ELSEWHERE)
        if self.strips and asked == self.path:  # as nginx does for `location /double/`
            raise web.HTTPMovedPermanently(f"{self.path}/")
        target = asked.removeprefix(self.path) if self.strips else asked
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers |= {"X-Forwarded-For": request.remote or "", "X-Forwarded-Proto": "http", **self.adds}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                self.upstream + target,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as inner,
        ):
            outer = web.StreamResponse(status=inner.status)
            for name, value in inner.headers.items():
                if name.lower() not in HOP_BY_HOP - {"content-encoding"}:
                    outer.headers.add(name, value)
            await outer.prepare(request)
            async for chunk in inner.content.iter_any():
                await outer.write(chunk)
            await outer.write_eof()
            return outer


@asynccontextmanager
async def proxied(proxy: Proxy) -> AsyncIterator[Proxy]:
    """Runs it at a free port; `address` is where the site lies."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{rest:.*}", proxy.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.address = f"http://127.0.0.1:{runner.addresses[0][1]}{proxy.path}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
