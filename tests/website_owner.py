"""A site whose owner logs in with a browser, over a workspace with runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from browser import open_browser
from runs_workspace import FakeRunCommands
from talkalike.chat.engines import Engines
from talkalike.store.store import Store
from talkalike.website.services import SiteServices, SiteSettings
from website_visit import open_page

PASSWORD = "correct horse battery"


class OwnersVisit:
    """Where the site is, and pages of its owner. `problems`: what the browser's console complained of."""

    def __init__(self, address: str, store: Store, browser: Browser, run_commands: FakeRunCommands, owner: str) -> None:
        self.address = address
        self.store = store
        self.owner = owner
        self.run_commands = run_commands
        self.problems: list[str] = []
        self.browser = browser

    async def page(self, path: str, *, phone: bool = False, dark: bool = False, script: bool = True) -> Page:
        page = await open_page(self.browser, self.problems, phone=phone, dark=dark, script=script)
        await page.goto(f"{self.address}/login/?next={path}")
        await page.fill("#id_username", self.owner)
        await page.fill("#id_password", PASSWORD)
        await page.click("main button")
        await page.wait_for_url(f"{self.address}{path}")
        return page


@asynccontextmanager
async def owner_visits(
    store: Store, root: Path, *, name: str = "Anna", engines: Engines | None = None
) -> AsyncIterator[OwnersVisit]:
    """The site at a free port, and a browser. `name`: whose double it is, and the owner's."""
    from talkalike.engine.listening import open_socket
    from talkalike.website.accounts import make_owner
    from talkalike.website.site import run_site

    await store.run(make_owner, name.lower(), PASSWORD)
    run_commands = FakeRunCommands(root)
    settings = SiteSettings(name=name)
    services = SiteServices(store=store, root=root, settings=settings, run_commands=run_commands, engines=engines)
    listening, stop, ready = open_socket("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = asyncio.create_task(run_site(services, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    try:
        async with open_browser() as browser:
            yield OwnersVisit(address, store, browser, run_commands, name.lower())
    finally:
        stop.set()
        await asyncio.wait_for(serving, 30)


async def fits(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
