"""What a page says when the site does not answer, and what becomes of what was written when a session has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

import picture_world as world
from chat_script import ScriptedWords
from talkalike.chat.engines import OpenEngines, Voice
from talkalike.store.store import Store
from website_owner import PASSWORD, OwnersVisit, owner_visits

pytest_plugins = ("website_site",)

# Starts the request of a part that htmx makes one for, as a person would.
START = """(number) => {
  const one = document.querySelectorAll("[hx-get]:not(a.tool.wide), [hx-post]")[number];
  for (let box = one.parentElement; box; box = box.parentElement) if (box.matches("details")) box.open = true;
  document.getElementById("problem").replaceChildren();
  if (one.matches("form")) one.requestSubmit(one.querySelector("button"));
  else if (one.matches("input")) {
    one.value = `x${Math.random()}`;
    one.dispatchEvent(new Event("input", { bubbles: true }));
  }
  else one.click();
}"""
PROXY = "<!doctype html><html><head><title>502</title></head><body><center>nginx/1.99</center></body></html>"


@asynccontextmanager
async def owners_site(store: Store, root: Path) -> AsyncIterator[OwnersVisit]:
    world.fill_workspace(root)
    store.call(world.fill_store)
    said = ScriptedWords(("he WHAT",), ("on my way",), ("k",), name=world.NEW)
    engines = OpenEngines(engines={world.NEW: said}, described=(Voice(model=world.NEW, speaker=world.SPEAKER),))
    async with owner_visits(store, root, name=world.SPEAKER, engines=engines) as site:
        yield site


async def log_in(page: Page, site: OwnersVisit) -> None:
    await page.fill("#id_username", site.owner)
    await page.fill("#id_password", PASSWORD)
    await page.click("main button")


async def test_every_request_that_fails_says_so(site_store: Store, tmp_path: Path) -> None:
    """Each part of a page that asks the site for something: nothing arrives, or a proxy answers in its place."""
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/chat/1/")
        page.on("dialog", lambda dialog: dialog.accept())
        await page.locator("#text").fill("kept as it is")
        await page.locator("a.tool.wide").last.click()
        await expect(page.locator(".judge")).to_be_visible()
        await page.get_by_label("Edit this message").first.click()
        await expect(page.locator(".editing")).to_be_visible()
        parts = await page.locator("[hx-get]:not(a.tool.wide), [hx-post]").count()
        assert parts > 15

        async def nothing(route: Route) -> None:
            await route.abort()

        async def proxy(route: Route) -> None:
            await route.fulfill(status=502, content_type="text/html", body=PROXY)

        async def elsewhere(route: Route) -> None:
            await route.fulfill(status=302, headers={"Location": f"{site.address}/robots.txt"})

        problem = page.locator("#problem .notice")
        for taken, words in ((nothing, "cannot be reached"), (proxy, "an error (502)")):
            await page.route("**/chat/**", taken)
            for number in range(parts):
                await page.evaluate(START, number)
                await expect(problem).to_contain_text(words)
                await expect(problem).to_be_in_viewport()
            await page.unroute_all(behavior="wait")
        await page.route("**/chat/1/say/", elsewhere)
        await page.locator("#text").press("Enter")
        await expect(problem).to_contain_text("answered in its place")
        await page.unroute_all(behavior="wait")
        assert (
            await page.locator("[hx-get]:not(a.tool.wide), [hx-post]").count() == parts
        )  # nothing of the page was replaced
        await expect(page.locator("#text")).to_have_value("kept as it is")
        await page.locator("#text").press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("kept as it is")
        await expect(problem).to_have_count(0)


@pytest.mark.parametrize("lost", [{"name": "talkalike_session"}, {}], ids=["session", "all-cookies"])
async def test_a_message_outlives_the_session(site_store: Store, tmp_path: Path, lost: dict[str, str]) -> None:
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/chat/2/")
        await page.context.clear_cookies(**lost)
        await page.fill("#text", "the attic, at eight?\nbring a torch")
        await page.locator("#text").press("Enter")
        await expect(page.get_by_text("was not stored")).to_be_visible()
        await expect(page.get_by_text("is kept until then")).to_be_visible()
        await log_in(page, site)
        await page.wait_for_url(f"{site.address}/chat/2/")
        await expect(page.locator("#text")).to_have_value("the attic, at eight?\nbring a torch")
        await expect(page.locator(".notice.warning")).to_contain_text("send it once more")
        await page.locator("#text").press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("the attic, at eight?\nbring a torch")
        await page.reload()
        await expect(page.locator("#text")).to_have_value("")  # it was sent, and does not come back


async def test_another_log_in_meanwhile_costs_nothing(site_store: Store, tmp_path: Path) -> None:
    """The page's forms are too old then: it is loaded anew, with what was written in it."""
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/chat/2/")
        await page.fill("#text", "are you up?")
        other = await page.context.new_page()
        await other.goto(f"{site.address}/")
        await other.get_by_role("button", name="Log out").click()
        await other.goto(f"{site.address}/login/")
        await log_in(other, site)
        await other.wait_for_url(f"{site.address}/")
        await page.locator("#text").press("Enter")
        await expect(page.locator(".notice.warning")).to_contain_text("send it once more")
        await expect(page.locator("#text")).to_have_value("are you up?")
        await page.locator("#text").press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("are you up?")


async def test_a_form_of_a_plain_page_comes_back_too(site_store: Store, tmp_path: Path) -> None:
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/invitations/")
        await page.fill("#id_note", "for the choir")
        await page.select_option("#id_role", "viewer")
        await page.context.clear_cookies(name="talkalike_session")
        await page.get_by_role("button", name="Make a link").click()
        await expect(page.get_by_text("was not stored")).to_be_visible()
        await log_in(page, site)
        await page.wait_for_url(f"{site.address}/invitations/")
        await expect(page.locator("#id_note")).to_have_value("for the choir")
        await expect(page.locator("#id_role")).to_have_value("viewer")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_text("You are logged out.")).to_be_visible()
        assert "choir" not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_somebody_else_does_not_get_what_was_written(site_store: Store, tmp_path: Path) -> None:
    from talkalike.website.accounts import make_owner

    async with owners_site(site_store, tmp_path) as site:
        await site_store.run(make_owner, "edgar", PASSWORD)
        page = await site.page("/chat/")
        await page.fill("#text", "a secret of Juno's")
        await page.context.clear_cookies(name="talkalike_session")
        await page.locator("#text").press("Enter")
        await page.fill("#id_username", "edgar")
        await page.fill("#id_password", PASSWORD)
        await page.click("main button")
        await page.wait_for_url(f"{site.address}/chat/")
        await expect(page.locator("#text")).to_have_value("")
        assert "secret" not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_what_is_typed_beside_a_rating_stays(site_store: Store, tmp_path: Path) -> None:
    """The answer to a rating replaces the part in which the better version is being written."""
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/chat/2/")
        await page.locator("a.tool.wide").last.click()
        box = page.locator(".judge textarea")
        await box.fill("half of a better")
        await page.get_by_label("Honest: 4 of 5").click()
        await expect(page.get_by_label("Honest: 4 of 5")).to_have_attribute("aria-pressed", "true")
        await expect(box).to_have_value("half of a better")


async def test_enter_that_ends_a_composition_sends_nothing(site_store: Store, tmp_path: Path) -> None:
    """Browsers tell in one of two ways that an input method took the key: a flag, or the key code 229."""
    async with owners_site(site_store, tmp_path) as site:
        page = await site.page("/chat/2/")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.method))
        press = """(field, told) => field.dispatchEvent(
            new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...told }))"""
        await page.fill("#text", "こんにちは")  # before the other field is there, which takes the focus when it comes
        await page.get_by_label("Edit this message").first.click()
        await expect(page.locator(".editing textarea")).to_be_focused()
        for field in ("#text", ".editing textarea"):
            for told in ({"keyCode": 229}, {"isComposing": True}):
                assert await page.locator(field).evaluate(press, told)  # and it is left to the input method
        assert "POST" not in asked
        await page.locator("#text").press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("こんにちは")
