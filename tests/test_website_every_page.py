"""Every page of the site in a real browser: axe finds nothing, and on a phone nothing is cut."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Page, expect

import picture_world as world
from chat_script import ScriptedWords
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.store.store import Store
from website_owner import OwnersVisit, owner_visits
from website_pages import addresses, fill
from website_visit import PHONE, open_page

pytest_plugins = ("website_site",)

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
DESK = {"width": 1280, "height": 800}
LOGGED_OUT = ("home", "login", "accept")  # as those see them who are unknown
ENDS = ("logout", "admin:logout")  # end the visit
# What is no page: found by what is answered, and named here, so that a page that breaks is not taken for one.
NO_PAGES = {
    "health", "robots", "favicon", "admin:jsi18n", "chat:version", "chat:message", "chat:picture",
    "chat:events", "insights:csv", "judge:picture", "tasks:picture",
}  # fmt: skip
ONLY_SENT = 405
COLOURS = "runOnly: ['color-contrast', 'link-in-text-block']"

# What is wrong with what one sees, as a list of words. A name has no blanks, and breaks only where it is too long.
SEEN = """() => {
  const wrong = [];
  const here = (one) => `${one.tagName.toLowerCase()}.${one.className}: ${one.textContent.trim().slice(0, 40)}`;
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is wider than the screen");
  for (const table of document.querySelectorAll(".table-wrap")) {
    if (table.scrollWidth > table.clientWidth + 1) wrong.push(`cut: ${here(table)}`);
  }
  for (const cell of document.querySelectorAll(".table-wrap td, .table-wrap td a, .facts a")) {
    if (cell.childElementCount || !/^\\S{2,}$/.test(cell.textContent.trim())) continue;
    const range = document.createRange();
    range.selectNodeContents(cell);
    const parts = [...range.getClientRects()];
    const lines = new Set(parts.map((one) => Math.round(one.top)));
    const room = cell.closest("td, dd").clientWidth;
    const fits = parts.reduce((sum, one) => sum + one.width, 0) < room - 30;
    if (lines.size > 1 && fits) wrong.push(`a name in ${lines.size} lines: ${here(cell)}`);
  }
  if (document.querySelector("main")?.innerText.includes("`")) wrong.push("a backtick");
  return wrong;
}"""


async def problems(page: Page, rules: str) -> list[str]:
    """What axe finds, and what one sees. `rules`: those that are asked about, "" for all."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate(f"axe.run({{ resultTypes: ['violations'], {rules} }})")
    told = [f"{one['id']}: {one['nodes'][0]['target']}" for one in found["violations"]]
    if await page.locator("#main").count():  # the administration's tables scroll, as Django has them
        told += await page.evaluate(SEEN)
    return told


async def look(page: Page, at: str, wrong: dict[str, list[str]]) -> None:
    """In the light and in the dark, on a desk and on a phone."""
    # The administration's pages are Django's, alike in all but their fields: its first one stands for their looks.
    like_its_first = at.startswith("admin:") and at != "admin:index"
    for size, scheme in ((DESK, "light"), (DESK, "dark"), (PHONE, "light"))[: 1 if like_its_first else 3]:
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        if told := await problems(page, COLOURS if scheme == "dark" else ""):
            wrong[f"{at}, {size['width']} wide, {scheme}"] = told


async def answered(page: Page, address: str) -> tuple[str, str]:
    """What kind of answer it is ("page", "form": only sent, never opened, or "other"), and its text."""
    answer = await page.request.get(address)
    if answer.status == ONLY_SENT or (answer.status == 403 and "/admin/" in address):  # or nobody may change that table
        return "form", ""
    whole = (await answer.body())[:15].lower() == b"<!doctype html>" and answer.status == 200
    return ("page", await answer.text()) if whole else ("other", "")


def parts_of(html: str) -> set[str]:
    """What a page is made of: each kind of element with its classes, its type, and the names of its attributes."""
    told = set()
    for tag, attributes in re.findall(r"<([a-z0-9]+)((?:\s[^<>]*)?)>", html):
        names = sorted(re.findall(r"\s([a-z-]+)=", attributes))
        kinds = re.findall(r'\s(?:class|type|role)="([^"]*)"', attributes)
        told.add(" ".join((tag, *names, *(re.sub(r"field-\S+|column-\S+|model-\S+", "", kind) for kind in kinds))))
    return told


def engines() -> OpenEngines:
    voices = tuple(Voice(model=model, speaker=world.SPEAKER) for model in (world.NEW, world.OLD))
    said = ScriptedWords(("he WHAT",), name=world.NEW)
    return OpenEngines(engines={world.NEW: said, world.OLD: said}, described=voices)


async def open_all(site: OwnersVisit, token: str, folder: Path) -> tuple[dict[str, list[str]], set[str]]:
    """Looks at every page as the owner; returns what is wrong, and what is no page.

    The administration has a hundred pages from a handful of templates: those with a part that none before them had.
    """
    page = await site.page("/judge/1/")  # a pair is given to whoever asks for one
    pair = re.search(r"/judge/1/(\d+)/0/", await page.content())
    assert pair
    places = await site.store.run(addresses, token=token, pair=int(pair[1]))
    wrong: dict[str, list[str]] = {}
    none: set[str] = set()
    seen: set[str] = set()
    for name, path in places.items():
        if name in (*ENDS, *LOGGED_OUT[1:]):
            continue
        kind, html = await answered(page, site.address + path)
        if kind == "other":
            none.add(name)
        if kind != "page" or (name.startswith("admin:") and parts_of(html) <= seen):
            continue
        seen |= parts_of(html)
        if name == "chat:transcript":  # a file, which one opens from where one keeps it
            file = folder / "transcript.html"
            file.write_text(await (await page.request.get(site.address + path)).text(), encoding="utf-8")
            await page.goto(file.as_uri())
        else:
            await page.goto(site.address + path)
        await look(page, name, wrong)
    return wrong, none


@pytest.mark.timeout(300)
async def test_every_page_reads_well_for_everybody(site_store: Store, tmp_path: Path) -> None:
    world.fill_workspace(tmp_path)
    token = site_store.call(fill)
    async with owner_visits(site_store, tmp_path, name=world.SPEAKER, engines=engines()) as site:
        site.run_commands.chosen = world.NEW
        places = site_store.call(addresses, token=token)
        wrong, none = await open_all(site, token, tmp_path)
        stranger = await open_page(site.browser, [], phone=False, dark=False, script=True)
        for name in LOGGED_OUT:
            await stranger.goto(site.address + places[name])
            await look(stranger, f"{name}, logged out", wrong)
        await stranger.goto(f"{site.address}/nothing/")
        await look(stranger, "404", wrong)
    assert wrong == {}
    assert none == NO_PAGES


async def test_what_opens_on_a_page_reads_well_too(site_store: Store, tmp_path: Path) -> None:
    world.fill_workspace(tmp_path)
    site_store.call(fill)
    wrong: dict[str, list[str]] = {}
    async with owner_visits(site_store, tmp_path, name=world.SPEAKER, engines=engines()) as site:
        page = await site.page("/chat/1/")
        await page.locator("a.tool.wide").last.click()
        await expect(page.locator(".judge")).to_be_visible()
        await page.get_by_label("Edit this message").first.click()
        await expect(page.locator(".editing textarea")).to_be_visible()
        await page.locator(".settings > summary").click()
        await page.locator(".settings details > summary").click()
        await look(page, "chat, all open", wrong)
        await page.goto(f"{site.address}/judge/1/")
        await expect(page.locator('#pair[data-ready="yes"]')).to_have_count(1)
        await page.keyboard.press("1")
        for box in await page.locator("details.more > summary").all():
            await box.click()
        await expect(page.locator("#said")).to_contain_text("Saved")
        await look(page, "judge, all open", wrong)
        await page.goto(f"{site.address}/guess/1/")
        await page.get_by_role("button", name="I agree, start").click()
        await expect(page.locator('#guess[data-ready="yes"]')).to_have_count(1)
        await look(page, "guess, a question", wrong)
        await page.goto(f"{site.address}/insights/")
        for box in await page.locator("details > summary").all():
            await box.click()
        await look(page, "insights, all open", wrong)
    assert wrong == {}
