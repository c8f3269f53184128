"""Visits to the running site: over a real socket, as a browser with JavaScript makes them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from talkalike.website.chat.reply import LIVE
from talkalike.website.services import THREADS, SiteServices

HTMX = {"HX-Request": "true"}


class Browser:
    """A visitor with JavaScript: forms are answered at once, and replies are followed."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base
        self.csrf = ""

    async def get(self, path: str, **headers: str) -> str:
        async with self.session.get(self.base + path, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            html = await answer.text()
        found = re.search(r'"X-CSRFToken": "(\w+)"', html)
        self.csrf = found[1] if found else self.csrf
        return html

    async def post(self, path: str, **fields: str) -> tuple[int, str, str]:
        """The status, where htmx is to go, and the body."""
        headers = {**HTMX, "X-CSRFToken": self.csrf, "Referer": self.base}
        async with self.session.post(self.base + path, data=fields or {"x": ""}, headers=headers) as answer:
            return answer.status, answer.headers.get("HX-Redirect", ""), await answer.text()

    async def begin(self, text: str) -> str:
        await self.get("/chat/")
        status, to, body = await self.post("/chat/new/", text=text)
        assert status == 204, body
        return to.partition("#")[0]

    async def follow(self, path: str, after: int = 0) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
        headers = {"Last-Event-ID": str(after)} if after else {}
        async with self.session.get(self.base + path, headers=headers) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            block: dict[str, str] = {}
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if not line and block:
                    yield int(block["id"]), block["event"], json.loads(block["data"])
                    block = {}
                elif not line.startswith(":"):
                    key, _, value = line.partition(": ")
                    block[key] = value


@asynccontextmanager
async def open_site(services: SiteServices, client: Any) -> AsyncIterator[Browser]:
    """The site in this event loop, visited by somebody who is logged in already."""
    from talkalike.engine.listening import open_socket
    from talkalike.website.site import run_site  # Django is set up by then

    services = replace(services, threads=ThreadPoolExecutor(THREADS))  # the site closes its own
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    stop, ready = asyncio.Event(), asyncio.Event()
    listening = open_socket("127.0.0.1", 0)
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    running = asyncio.create_task(run_site(services, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    jar = aiohttp.CookieJar(unsafe=True)
    try:
        async with aiohttp.ClientSession(cookie_jar=jar, cookies=cookies) as session:
            yield Browser(session, base)
    finally:
        for live in [*LIVE.session.replies, *LIVE.session.ending]:
            await LIVE.stop(live)
        stop.set()
        await running
