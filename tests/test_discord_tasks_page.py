"""A newcomer on the local Discord: registers a task by clicking, adds an example by a form, and asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord
import pytest
import yarl
from playwright.async_api import Page, expect

from bot_server import BotServer, online
from browser import open_browser
from local_discord.model import Bot
from local_discord.server import LocalDiscord
from local_discord.world import World
from pictures import picture
from scripted_eyes import TalkingEye
from talkalike.chat.looking import Onlooker
from talkalike.cli.discord import build_offline_server
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import TaskPlace
from talkalike.store.store import Store
from task_world import mug
from website_visit import open_page

pytest_plugins = ("website_site",)


def file(colour: str, at: int) -> Any:
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": mug(colour, at=at)}


async def fill(page: Page, command: str, files: dict[str, Any], words: dict[str, str]) -> None:
    """Types a command, fills its form in, and sends it."""
    await page.get_by_label("Message", exact=True).press_sequentially(f"/{command}")
    await expect(page.get_by_role("listbox").first).to_contain_text(f"/{command}")
    await page.keyboard.press("Enter")
    form = page.locator("#command-form")
    for name in (*files, *words):
        chip = form.get_by_role("button", name=f"+ {name}", exact=True)
        if await chip.count():
            await chip.click()
    for name, sent in files.items():
        await form.locator("label", has_text=name).locator("xpath=following-sibling::input").set_input_files(sent)
    for name, text in words.items():
        await form.locator("label", has_text=name).locator("xpath=following-sibling::input").fill(text)
    await form.get_by_role("button", name="Run").click()


async def test_a_task_is_registered_and_used_by_clicking(
    site_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place, problems = World(), list[str]()
    build_offline_server(place)
    people = {user.name: user for user in place.users.values()}
    channels = {channel.name: channel for channel in place.channels.values()}
    async with LocalDiscord(place) as wire:
        monkeypatch.setattr(discord.http.Route, "BASE", wire.api_base)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(wire.gateway_url))
        (guild,) = place.servers.values()
        (bot,) = (user for user in place.users.values() if isinstance(user, Bot))
        alex, kim, general = people["Alex"], people["Kim"], channels["general"]
        server = BotServer(place, wire, guild, alex, kim, general, channels["only-when-asked"], bot, site_store)
        async with online(server) as double, open_browser() as browser:
            double.services.onlooker = Onlooker(TalkingEye(lambda turns: "green\nmug"))
            page = await open_page(browser, problems, phone=False, dark=False, script=True)
            await page.goto(f"{wire.base_url}/page?as={alex.id}")
            given = {"name": "mugs", "answer1": "red", "answer2": "blue", "template": "<image>Colour:", "stop": "\\n"}
            await fill(page, "register_task", {"picture1": file("red", 1), "picture2": file("blue", 2)}, given)
            await expect(page.get_by_text("has its version 1, with 2 examples")).to_be_visible()
            await page.get_by_role("button", name="Add an example").click()
            form = page.get_by_role("dialog", name="An example of mugs")
            await form.get_by_label("Picture").set_input_files(file("green", 3))
            await form.get_by_label("What is to be answered").fill("green")
            await form.get_by_role("button", name="Submit").click()
            await expect(page.get_by_text("version 2, with 3 examples")).to_be_visible()
            stored = await site_store.run(tasks.find, TaskPlace(server_id=guild.id), "mugs")
            assert [shot.output for shot in stored.spec.shots] == ["red", "blue", "green"]
            await fill(page, "comprehend", {"image": file("green", 5)}, {"task": "mugs"})
            await expect(page.get_by_text("task mugs@2 · 3 of 3 examples")).to_be_visible()
            await picture(page, "discord-task")
    assert problems == []
