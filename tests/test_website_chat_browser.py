"""The chat page in a real browser: written with the keyboard, followed as it is written, on a desk and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from browser import open_browser
from chat_script import HANG
from talkalike.examples.reactions import SIGN
from talkalike.website.services import SiteServices
from website_chat import Talking
from website_chat_visits import open_site

pytest_plugins = ("website_site", "website_chat_site")

PASTE = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 20;
  canvas.getContext("2d").fillRect(0, 0, 20, 20);
  return new Promise((done) => canvas.toBlob((blob) => {
    const data = new DataTransfer();
    data.items.add(new File([blob], "drawn.png", { type: "image/png" }));
    const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
    document.getElementById("text").dispatchEvent(event);
    done();
  }));
}"""


@pytest.fixture
async def anna(services: SiteServices, talking: Talking, person: Any) -> Any:
    return await asyncio.to_thread(person, "judge", name="anna")


@asynccontextmanager
async def visiting(services: SiteServices, client: Any, **options: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """A browser on the chat page, and what its console complained of."""
    async with open_site(services, client) as site, open_browser() as browser:
        context = await browser.new_context(**options)
        host = urlsplit(site.base).hostname
        cookies = [
            {"name": name, "value": morsel.value, "domain": host, "path": "/"}
            for name, morsel in client.cookies.items()
        ]
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        page = await context.new_page()
        page.set_default_timeout(15_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{site.base}/chat/")
        yield page, complaints
        await context.close()


async def test_a_talk_with_the_keyboard_alone(services: SiteServices, talking: Talking, anna: Any) -> None:
    talking(("hey", "you?"), (SIGN + "❤️", "nice"), ("three",), ("four",))
    async with visiting(services, anna) as (page, complaints):
        await expect(page.locator("#text")).to_be_focused()
        await page.keyboard.type("hi Mira")
        await page.keyboard.press("Enter")
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you?"])
        await page.locator("#text").focus()
        await page.keyboard.type("all good")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("here")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("all good\nhere", use_inner_text=True)
        await expect(page.locator(".reaction")).to_contain_text("❤️")
        await expect(page.locator("#announce")).to_contain_text("Mira: nice")
        await expect(page.locator(".tools")).to_have_count(4)
        await expect(page.locator("#text")).to_be_focused()

        await page.keyboard.press("ArrowUp")
        await expect(page.locator(".editing textarea")).to_be_focused()
        await page.keyboard.type(", and there")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine .bubble").last).to_have_text("all good\nhere, and there", use_inner_text=True)
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you?", "three"])
        await page.get_by_label("Previous branch").click()
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you?", "nice"])
        await page.get_by_label("Another reply").last.click()
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you?", "four"])

        await page.get_by_label("Sounds like Mira", exact=True).last.click()
        await expect(page.locator(".tool[aria-pressed=true]")).to_have_count(1)
        await page.locator("a.tool.wide").last.click()
        await page.get_by_label("Honest: 4 of 5").click()
        await expect(page.get_by_label("Honest: 4 of 5")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator(".judge .notice")).to_contain_text("saved")
        assert complaints == []


async def test_a_reply_is_shown_as_it_is_written_and_stopped(
    services: SiteServices, talking: Talking, anna: Any
) -> None:
    talking(("first", f"half of {HANG}"), ("next",))
    async with visiting(services, anna) as (page, complaints):
        await page.fill("#text", "hi")
        await page.keyboard.press("Enter")
        await expect(page.locator(".theirs .bubble")).to_have_text(["first", "half of"])
        await expect(page.locator(".typing")).to_be_visible()
        other = await page.context.new_page()  # the same in a second tab
        await other.goto(page.url)
        await expect(other.locator(".theirs .bubble")).to_have_text(["first", "half of"])
        await page.keyboard.press("Escape")
        for tab in (page, other):
            await expect(tab.locator(".note")).to_have_text("You stopped it here.")
            await expect(tab.locator(".typing")).to_have_count(0)
            await expect(tab.locator(".chat-stop")).to_have_count(0)
        await page.fill("#text", "go on")
        await page.keyboard.press("Enter")
        await expect(page.locator(".theirs .bubble").last).to_have_text("next")
        await other.evaluate("window.dispatchEvent(new Event('focus'))")
        await expect(other.locator(".theirs .bubble").last).to_have_text("next")
        assert complaints == []


async def test_pictures_are_pasted_taken_out_and_sent(services: SiteServices, talking: Talking, anna: Any) -> None:
    engine = talking(("pretty",))
    async with visiting(services, anna) as (page, complaints):
        await page.evaluate(PASTE)
        await page.evaluate(PASTE)
        await expect(page.locator("#previews img")).to_have_count(2)
        await page.get_by_label("Remove drawn.png").first.click()
        await expect(page.locator("#previews img")).to_have_count(1)
        await page.get_by_label("Send").click()
        await expect(page.locator(".theirs .bubble")).to_have_text("pretty")
        await expect(page.locator(".picture img")).to_have_js_property("naturalWidth", 20)
        assert [turn.text for turn in engine.prompts[0].turns] == ["[picture, not seen: drawn.png]"]
        assert complaints == []


async def test_a_refused_message_stays_in_the_field(services: SiteServices, talking: Talking, anna: Any) -> None:
    talking(("one",), ("two",))
    async with visiting(services, anna) as (page, _):
        await page.fill("#text", "hi")
        await page.keyboard.press("Enter")
        await expect(page.locator(".theirs .bubble")).to_have_text("one")
        engines, services_now = services.engines, _given()
        services_now.engines = replace(engines, engines={})  # type: ignore[type-var]
        await page.fill("#text", "are you there?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note.problem")).to_contain_text("There is no model")
        services_now.engines = engines
        await page.locator("#text").evaluate("field => field.maxLength = 30000")
        await page.fill("#text", "x" * 20_001)
        await page.keyboard.press("Enter")
        await expect(page.locator("#problem")).to_contain_text("at most 20,000 are allowed")
        await expect(page.locator("#text")).to_have_value("x" * 20_001)


def _given() -> SiteServices:
    from talkalike.website.services import services

    return services()


async def test_on_a_phone_nothing_is_wider_than_the_screen(services: SiteServices, talking: Talking, anna: Any) -> None:
    talking(("a" * 300, "https://example.org/" + "b/" * 100), ("fine",))
    phone = {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True}
    async with visiting(services, anna, **phone) as (page, complaints):
        await page.fill("#text", "long " * 60)
        await page.get_by_label("Send").tap()
        await expect(page.locator(".theirs .tools")).to_be_visible()
        await page.locator("a.tool.wide").tap()
        await expect(page.locator(".judge")).to_be_visible()
        await page.locator(".settings > summary").tap()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        sizes = await page.locator(".composer .button, .tool, .chat-head .button").evaluate_all(
            "all => all.filter((one) => one.offsetParent).map((one) => Math.min(one.offsetWidth, one.offsetHeight))"
        )
        assert min(sizes) >= 24  # WCAG 2.2, target size
        await page.goto(f"{page.url.partition('/chat/')[0]}/chat/")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        assert complaints == []


async def test_without_javascript_it_is_the_same_talk(services: SiteServices, talking: Talking, anna: Any) -> None:
    talking(("hey", "you"), ("two",), ("three",))
    async with visiting(services, anna, java_script_enabled=False) as (page, _):
        await page.fill("#text", "hi")
        await page.get_by_label("Send").click()
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you"])
        await page.get_by_label("Another reply").click()
        await expect(page.locator(".theirs .bubble")).to_have_text(["two"])
        await page.get_by_label("Previous branch").click()
        await expect(page.locator(".theirs .bubble")).to_have_text(["hey", "you"])
        await page.locator("a.tool.wide").click()
        await page.get_by_label("Helpful: 2 of 5").click()
        await expect(page.get_by_label("Helpful: 2 of 5")).to_have_attribute("aria-pressed", "true")
        await page.get_by_text("Back to the conversation").click()
        await page.get_by_label("Edit this message").click()
        await page.get_by_label("Your message, edited").fill("hello")
        await page.get_by_text("Send as a new branch").click()
        await expect(page.locator(".bubble")).to_have_text(["hello", "three"])
