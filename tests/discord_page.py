"""A server with three people and its page, for tests in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from browser import open_browser
from local_discord.model import Channel, Server, User
from local_discord.server import LocalDiscord
from local_discord.world import World


@dataclass(slots=True, kw_only=True)
class Table:
    """Anna (owner), Ben (moderator) and Carl on a server with two open channels and a private one."""

    world: World
    server: Server
    anna: User
    ben: User
    carl: User
    general: Channel
    other: Channel
    private: Channel
    bot_id: int = 0
    token: str = ""


def build() -> Table:
    world = World()
    anna, ben, carl = (world.add_user(name) for name in ("Anna", "Ben", "Carl"))
    server = world.add_server("Kitchen table", anna)
    moderators = world.add_role(server, "Moderators")
    world.add_member(server, ben, [moderators])
    world.add_member(server, carl)
    talk = world.add_category(server, "Talk")
    general = world.add_channel(server, "general", talk)
    other = world.add_channel(server, "other", talk)
    private = world.add_channel(server, "back-room", private_for=[moderators])
    bot = world.add_bot("Double")
    world.invite(server, bot)
    return Table(
        world=world, server=server, anna=anna, ben=ben, carl=carl, general=general, other=other, private=private,
        bot_id=bot.id, token=bot.token,
    )  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@dataclass(slots=True, kw_only=True)
class DiscordPage:
    """The served page, and the browser windows that a test opened on it."""

    table: Table
    server: LocalDiscord
    browser: Browser
    contexts: list[Any]
    problems: list[str]

    async def open_as(self, user: User, **options: Any) -> Page:
        """A fresh browser window in which one is `user`. Errors in its console fail the test."""
        context = await self.browser.new_context(**options)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)
        page.set_default_timeout(10_000)
        await page.goto(f"{self.server.base_url}/page?as={user.id}")
        await expect(page.get_by_role("heading", name="# general")).to_be_visible()
        return page


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[DiscordPage]:
    table = build()
    async with LocalDiscord(table.world) as server:
        opened = DiscordPage(table=table, server=server, browser=browser, contexts=[], problems=[])
        yield opened
        for context in opened.contexts:
            await context.close()
    assert opened.problems == []


def message(page: Page, text: str) -> Locator:
    return page.locator("#messages .message").filter(has_text=text)


def suggestions(page: Page) -> Locator:
    return page.locator("[role=option]:visible")


async def write(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")
