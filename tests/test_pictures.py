"""The pictures in the docs: each page as a browser shows it, over a small club of invented friends.

`PICTURES=docs/pictures` makes them anew; without it they are taken into the test's own folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import discord
import pytest
import yarl
from PIL import Image
from playwright.async_api import Page, expect

import picture_world as world
from bot_server import BotServer, online
from browser import open_browser
from chat_script import ScriptedWords
from local_discord.model import Bot
from local_discord.server import LocalDiscord
from local_discord.world import World
from pictures import picture
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.cli.discord import build_offline_server
from talkalike.store.judging import judges
from talkalike.store.store import Store
from website_owner import OwnersVisit, owner_visits
from website_visit import open_page

pytest_plugins = ("website_site",)

ROOT = Path(__file__).resolve().parent.parent
SITE = {
    "chat",
    "judge",
    "judge-phone",
    "judge-dark",
    "blind-test",
    "insights",
    "runs",
    "run",
    "run-rl",
    "admin",
}
DISCORD = {"discord"}
LARGEST = 80_000  # bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asked = os.environ.get("PICTURES")
    made = Path(asked) if asked else tmp_path / "pictures"
    made.mkdir(parents=True, exist_ok=True)
    return made


def check(folder: Path, names: set[str]) -> None:
    """They are there, small, and of something."""
    for name in names:
        file = folder / f"{name}.png"
        with Image.open(file) as made:
            assert made.width >= 390 and len(made.getcolors(1 << 24) or ()) > 12, name
        assert file.stat().st_size <= LARGEST, (name, file.stat().st_size)


async def sized(page: Page, height: int, width: int = 1180) -> Page:
    await page.set_viewport_size({"width": width, "height": height})
    return page


async def judge(site: OwnersVisit, page: Page, folder: Path, name: str) -> None:
    await page.goto(f"{site.address}/judge/1/")
    await expect(page.locator('#pair[data-ready="yes"]')).to_have_count(1)
    await picture(page, name, folder)


async def talk(page: Page) -> None:
    """Goes on with a conversation, and judges what was said in it."""
    await page.get_by_role("link", name="Saturday at the harbour").click()
    await page.locator("#text").fill("Two o'clock. Bořek asks whether you eat the heads.")
    await page.keyboard.press("Enter")
    last = page.locator(".theirs").last
    await expect(last.locator(".tools")).to_be_visible()
    await expect(last.locator(".bubble").last).to_have_text("see u at 2")
    await last.get_by_role("button", name="Sounds like Juno", exact=True).click()
    await expect(last.locator('[aria-pressed="true"]')).to_have_count(1)


async def test_pictures_of_the_site(site_store: Store, tmp_path: Path, folder: Path) -> None:
    world.fill_workspace(tmp_path)
    site_store.call(world.fill_store)
    voices = tuple(Voice(model=model, speaker=world.SPEAKER) for model in (world.NEW, world.OLD))
    said = ScriptedWords(("he WHAT", "tell him no", "see u at 2"), name=world.NEW)
    engines = OpenEngines(engines={world.NEW: said, world.OLD: said}, described=voices)
    async with owner_visits(site_store, tmp_path, name=world.SPEAKER, engines=engines) as site:
        site.run_commands.chosen = world.NEW
        page = await site.page("/chat/")
        await talk(await sized(page, 700))
        await picture(page, "chat", folder)
        await judge(site, await sized(page, 800), folder, "judge")
        assert await page.locator(".turn img").evaluate("image => image.complete && image.naturalWidth") == 560
        await page.keyboard.press("1")
        await expect(page.locator(".pair[data-given]")).to_have_count(1)
        await page.keyboard.press("Enter")
        await expect(page.locator(".turn img")).to_have_count(0)
        await page.emulate_media(color_scheme="dark")
        await judge(site, page, folder, "judge-dark")
        await page.emulate_media(color_scheme="light")
        for address, name, height in (
            ("/insights/", "insights", 860),
            ("/runs/", "runs", 860),
            (f"/runs/run/{world.RUN}/", "run", 800),
            (f"/runs/run/{world.RL_RUN}/", "run-rl", 1500),
            ("/admin/", "admin", 640),
        ):
            await (await sized(page, height)).goto(f"{site.address}{address}")
            await picture(page, name, folder)
        await (await sized(page, 640)).goto(f"{site.address}/guess/1/")
        await page.get_by_role("button", name="I agree, start").click()
        await expect(page.locator('#guess[data-ready="yes"]')).to_have_count(1)
        await picture(page, "blind-test", folder)
        token, _ = await site_store.run(judges.invite, judges.Group.JUDGE, by=None)
        phone = await open_page(site.browser, site.problems, phone=True, dark=False, script=True)
        await phone.goto(f"{site.address}/invite/{token}/")
        await phone.locator("main form button").click()
        await phone.wait_for_url(f"{site.address}/")
        await judge(site, phone, folder, "judge-phone")
        assert site.problems == []
    check(folder, SITE)


async def test_a_picture_of_the_offline_discord(
    site_store: Store, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = World()
    build_offline_server(place)
    people = {user.name: user for user in place.users.values()}
    channels = {channel.name: channel for channel in place.channels.values()}
    problems: list[str] = []
    async with LocalDiscord(place) as wire:
        monkeypatch.setattr(discord.http.Route, "BASE", wire.api_base)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(wire.gateway_url))
        (guild,) = place.servers.values()
        (bot,) = (user for user in place.users.values() if isinstance(user, Bot))
        alex, kim, robin, general = people["Alex"], people["Kim"], people["Robin"], channels["general"]
        server = BotServer(place, wire, guild, alex, kim, general, channels["only-when-asked"], bot, site_store)
        said = ScriptedWords(("soup again", "bring bread"), ("ok the small one",), name=world.NEW)
        engines = OpenEngines(engines={world.NEW: said}, described=(Voice(model=world.NEW, speaker=world.SPEAKER),))
        async with (
            online(server, engines=engines, owner_name=world.SPEAKER, options={"stream": False}),
            open_browser() as browser,
        ):
            asked = ((robin, "what are we eating tonight"), (kim, "may I bring the dogs?"))
            for number, (who, words) in enumerate(asked, start=1):
                place.send(who.id, general.id, words)
                await server.wait_ended(number)
            place.react(robin.id, server.by_bot()[-1].id, "\N{DOG FACE}")
            page = await open_page(browser, problems, phone=False, dark=False, script=True)
            await (await sized(page, 700)).goto(f"{wire.base_url}/page?as={alex.id}")
            await expect(page.get_by_text("ok the small one")).to_be_visible()
            await expect(page.get_by_role("button", name="Judge").last).to_be_visible()
            await picture(page, "discord", folder)
    assert problems == []
    check(folder, DISCORD)


def test_the_docs_show_a_picture_of_every_page() -> None:
    shown = [
        (words, text.parent / file)
        for text in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for words, file in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text.read_text(encoding="utf-8"))
    ]
    assert [file for words, file in shown if not file.is_file() or len(words) < 20] == []
    pictures = {file for _, file in shown if file.parent.name == "pictures"}
    assert {file.stem for file in pictures} == SITE | DISCORD
    kept = ROOT / "docs" / "pictures"
    assert {file.resolve() for file in kept.iterdir()} == {file.resolve() for file in pictures}
    check(kept, SITE | DISCORD)
