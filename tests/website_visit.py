"""A site that runs, and a browser that came to it with an invitation, for tests of pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page

from browser import open_browser
from talkalike.store.judging import judges
from talkalike.store.store import Store
from talkalike.website.services import SiteServices, SiteSettings

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


async def open_page(browser: object, problems: list[str], *, phone: bool, dark: bool, script: bool) -> Page:
    """An empty page of a fresh profile; what its console complains of is added to `problems`."""
    context = await browser.new_context(  # type: ignore[attr-defined]
        viewport=PHONE if phone else DESKTOP,
        has_touch=phone,
        is_mobile=phone,
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
    )
    context.set_default_timeout(15_000)
    page: Page = await context.new_page()
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    return page


class Visit:
    """Where the site is, and a way to more pages of it."""

    def __init__(self, address: str, store: Store, browser: object) -> None:
        self.address = address
        self.store = store
        self._browser = browser
        self.problems: list[str] = []

    async def page(self, role: str, *, phone: bool = False, dark: bool = False, script: bool = True) -> Page:
        """A page of somebody new who followed an invitation for the role; what its console complains of is kept."""
        page = await open_page(self._browser, self.problems, phone=phone, dark=dark, script=script)
        token, _ = await self.store.run(judges.invite, judges.Group(role), by=None)
        await page.goto(f"{self.address}/invite/{token}/")
        await page.locator("main form button").click()
        await page.wait_for_url(f"{self.address}/")
        return page


@asynccontextmanager
async def visit(store: Store, root: Path) -> AsyncIterator[Visit]:
    """The site at a free port, and a browser."""
    from talkalike.engine.listening import open_socket
    from talkalike.website.site import run_site

    services = SiteServices(store=store, root=root, settings=SiteSettings(name="Anna"))
    listening, stop, ready = open_socket("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = asyncio.create_task(run_site(services, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    try:
        async with open_browser() as browser:
            yield Visit(address, store, browser)
    finally:
        stop.set()
        await asyncio.wait_for(serving, 30)
