"""A real browser for tests: the Chromium of this computer, headless, with an empty profile and no way out."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def find_chromium() -> str:
    """The program's path: from the environment's CHROMIUM, else the first of the usual names."""
    asked = os.environ.get("CHROMIUM")
    if asked:
        found = shutil.which(asked)
        if found is None:
            raise RuntimeError(f"CHROMIUM names {asked!r}, which is no program that can be run.")
        return found
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise RuntimeError(
            f"The tests of the page drive a real browser, and none of {', '.join(NAMES)} is installed. "
            "Install one (on Debian or Ubuntu: sudo apt install chromium) or set CHROMIUM to its path."
        )
    return found


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]  # Chromium refuses its sandbox to root
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield browser
        await browser.close()
