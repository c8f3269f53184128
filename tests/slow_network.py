"""A bad network between a page and its site: what leaves the page is held back, lost, or answered by somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, Route

PORTAL = "<!doctype html><title>Railway Wi-Fi</title><h1>Accept our terms to go on</h1>"


class Network:
    """Between `page` and the site. `sent` are the forms that left the page, in order, each as often as it was tried.

    `answers` are what becomes of the next ones, in order: "pass", "fail" (it never arrives), "lose" (its answer does
    not), "login" (the network answers in the site's place).
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sent: list[str] = []
        self.answers: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, route: Route) -> None:
        """What becomes of one request."""
        posted = route.request.method == "POST"
        if posted:
            self.sent.append(route.request.url.rstrip("/").rpartition("/")[2])
        await self.open.wait()
        verdict = self.answers.pop(0) if posted and self.answers else "pass"
        if verdict == "lose":
            await route.fetch()
        if verdict in ("fail", "lose"):
            await route.abort()
        elif verdict == "login":
            await route.fulfill(status=200, content_type="text/html", body=PORTAL)
        else:
            await route.continue_()


@asynccontextmanager
async def bad_network(page: Page) -> AsyncIterator[Network]:
    """Until the end of the block, everything that `page` asks of its site passes through it."""
    network = Network(page)
    await page.route("**/*", network.take)
    try:
        yield network
    finally:
        network.open.set()
        await page.unroute_all(behavior="wait")
