"""The page of the local Discord in a real browser: two people at it, and a real discord.py bot on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

import discord
import pytest
import pytest_asyncio
import yarl
from PIL import Image
from playwright.async_api import Locator, Page, expect

from discord_page import DiscordPage, browser, message, page, suggestions, write
from page_bot import PageBot

pytestmark = pytest.mark.asyncio(loop_scope="module")
__all__ = ["browser", "page"]  # fixtures


@pytest_asyncio.fixture(loop_scope="module")
async def bot(page: DiscordPage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PageBot]:
    monkeypatch.setattr(discord.http.Route, "BASE", page.server.api_base)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(page.server.gateway_url))
    async with PageBot() as client:
        running = asyncio.create_task(client.start(page.table.token))
        ready = asyncio.create_task(_ready(client))
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            ready.cancel()
            running.result()
        yield client
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _ready(client: discord.Client) -> None:
    while not client.is_ready():  # wait_until_ready refuses before the login
        await asyncio.sleep(0.02)


COMPOSED = """(field, told) => field.dispatchEvent(
    new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...told }))"""


async def command(page: Page, typed: str) -> None:
    """Types a command and takes the first suggestion."""
    await page.get_by_label("Message", exact=True).press_sequentially(f"/{typed}")
    await expect(suggestions(page).first).to_contain_text(f"/{typed}")
    await page.keyboard.press("Enter")


async def menu(page: Page, at: Locator, item: str) -> None:
    await at.click(button="right")
    await page.get_by_role("menuitem", name=item).click()


# ------------------------------------------------------------------------------------------------- between two people
async def test_two_people_write_reply_edit_and_delete(page: DiscordPage) -> None:
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await anna.get_by_label("Message", exact=True).press_sequentially("h")
    await expect(ben.locator("#typing")).to_contain_text("Anna is typing")
    await write(anna, "hello @Ben")
    await expect(message(ben, "hello @Ben")).to_have_class("message to-me")
    await expect(ben.locator("#typing")).to_be_empty()
    await expect(ben.locator("#news")).to_contain_text("Anna: hello")

    box = anna.get_by_label("Message", exact=True)
    await box.fill("こんにちは")
    for told in ({"keyCode": 229}, {"isComposing": True}):  # Enter ends a composition, and sends nothing
        await box.evaluate(COMPOSED, told)
    await expect(box).to_have_value("こんにちは")
    await box.fill("")

    await menu(ben, message(ben, "hello"), "Reply")
    await write(ben, "hello yourself")
    await expect(message(anna, "hello yourself").locator(".quoted")).to_contain_text("Anna hello @Ben")

    await anna.get_by_label("Message", exact=True).press("ArrowUp")
    await expect(anna.get_by_label("Message", exact=True)).to_have_value("hello @Ben")
    await write(anna, "good day @Ben")
    await expect(message(ben, "good day").locator(".edited")).to_be_visible()

    await menu(anna, message(anna, "good day @Ben(edited)"), "Delete")
    await anna.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(message(ben, "hello yourself").locator(".quoted")).to_contain_text("was deleted")
    await expect(ben.locator("#messages .message")).to_have_count(1)


async def test_reactions_are_added_and_taken_back(page: DiscordPage) -> None:
    sent = page.table.world.send(page.table.ben.id, page.table.general.id, "cake?")
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await menu(anna, message(anna, "cake?"), "Add reaction")
    await anna.get_by_role("button", name="party").click()
    theirs = ben.get_by_role("button", name="🎉, 1", exact=True)
    await theirs.click()
    await expect(anna.get_by_role("button", name="🎉, 2, also yours")).to_have_attribute("aria-pressed", "true")
    await anna.get_by_role("button", name="Add a reaction").click()
    await anna.get_by_label("Any other emoji").fill("🥐")
    await anna.keyboard.press("Enter")
    await expect(ben.get_by_role("button", name="🥐, 1")).to_be_visible()
    await ben.get_by_role("button", name="🎉, 2, also yours").click()
    await expect(anna.get_by_role("button", name="🎉, 1, also yours")).to_be_visible()
    assert sent.reactions == {"🎉": [page.table.anna.id], "🥐": [page.table.anna.id]}


async def test_files_are_uploaded_shown_and_previewed(page: DiscordPage) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await anna.locator("#file-input").set_input_files(
        [
            {"name": "tea.png", "mimeType": "image/png", "buffer": picture.getvalue()},
            {"name": "list.txt", "mimeType": "text/plain", "buffer": b"<b>milk</b>"},
        ]
    )
    drop = "bytes => { const d = new DataTransfer(); d.items.add(new File([bytes], 'dropped.md')); return d; }"
    carried = await anna.evaluate_handle(drop, "# dropped")
    await anna.locator("main").dispatch_event("drop", {"dataTransfer": carried})
    await expect(anna.locator("#uploads li")).to_have_count(3)
    await anna.get_by_role("button", name="Take dropped.md off").click()
    await write(anna, "see here")
    shown = message(ben, "see here")
    await expect(shown.get_by_role("img", name="tea.png")).to_have_js_property("naturalWidth", 40)
    await shown.get_by_text("Preview").click()
    await expect(shown.locator("pre")).to_have_text("<b>milk</b>")
    await expect(shown.locator(".file")).to_have_count(1)


async def test_threads_unread_marks_and_the_change_of_person(page: DiscordPage) -> None:
    table = page.table
    table.world.send(table.ben.id, table.general.id, "bread")
    anna = await page.open_as(table.anna)
    await menu(anna, message(anna, "bread"), "Create thread")
    await anna.get_by_label("Name of the thread").fill("About bread")
    await anna.keyboard.press("Enter")
    await expect(anna.get_by_role("heading", name="About bread")).to_be_visible()
    await write(anna, "rye")
    await expect(message(anna, "rye")).to_be_visible()
    thread = next(c for c in table.world.channels.values() if c.is_thread)
    assert [m.content for m in thread.messages.values()][-1] == "rye"

    table.world.send(table.ben.id, table.other.id, f"<@{table.anna.id}> over here")
    await expect(anna.get_by_role("button", name="other 1 mentions")).to_be_visible()
    await anna.keyboard.press("Alt+ArrowDown")
    await expect(anna.get_by_role("heading", name="# other")).to_be_visible()
    await expect(anna.get_by_role("button", name="other 1 mentions")).to_have_count(0)

    await anna.get_by_label("Who you are").select_option(label="Carl")
    await expect(anna.get_by_role("button", name="back-room")).to_have_count(0)
    await write(anna, "it is me")
    await expect(message(anna, "it is me").locator(".author")).to_have_text("Carl")


async def test_a_place_comes_and_goes_with_the_permission(page: DiscordPage) -> None:
    table = page.table
    table.world.send(table.ben.id, table.private.id, "only for us")
    carl = await page.open_as(table.carl)
    place = carl.get_by_role("button", name="back-room")
    await expect(place).to_have_count(0)
    table.world.set_member_roles(table.server, table.carl, [r for r in table.server.roles.values() if "Mod" in r.name])
    await place.click()
    await expect(message(carl, "only for us")).to_be_visible()
    table.world.set_member_roles(table.server, table.carl, [])
    await expect(carl.get_by_role("heading", name="# general")).to_be_visible()
    await expect(place).to_have_count(0)
    everyone = table.server.roles[table.server.id]
    table.world.set_overwrite(table.general, everyone, deny=1 << 11)
    await expect(carl.get_by_placeholder("You may read here, but not write.")).to_be_disabled()


# ------------------------------------------------------------------------------------------------------ with the bot
async def test_the_bot_answers_a_mention(page: DiscordPage, bot: PageBot) -> None:
    anna = await page.open_as(page.table.anna)
    await anna.get_by_label("Message", exact=True).press_sequentially("dear @dou")
    await expect(suggestions(anna)).to_have_text(["@Doublebot"])
    await anna.keyboard.press("Tab")
    await anna.keyboard.type("how are you")
    await anna.keyboard.press("Enter")
    await expect(message(anna, "You wrote: dear @Double how are you")).to_be_visible()


async def test_slash_command_with_autocomplete_bounds_and_a_file(page: DiscordPage, bot: PageBot) -> None:
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await command(anna, "fruit take")
    await anna.get_by_label("kind (required)").press_sequentially("apr")
    await expect(suggestions(anna)).to_have_text(["ripe apricot"])
    await anna.keyboard.press("Enter")
    await anna.get_by_role("button", name="+ amount").click()
    await anna.get_by_label("amount").fill("12")
    await anna.keyboard.press("Enter")
    await expect(anna.get_by_role("alert").filter(has_text="amount has to be 1 to 9")).to_be_visible()
    await anna.get_by_label("amount").fill("3")
    await anna.keyboard.press("Enter")
    answer = message(ben, "3 x apricot for @Anna")
    await expect(answer.locator(".used")).to_have_text("Anna used /fruit")

    await command(anna, "read")
    file = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"buy rye"}
    await anna.get_by_label("file (required)").set_input_files([file])
    await anna.get_by_role("button", name="Run").click()
    await expect(message(ben, "note.txt says buy rye")).to_be_visible()


async def test_buttons_menus_and_forms(page: DiscordPage, bot: PageBot) -> None:
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await command(anna, "board")
    await anna.get_by_role("button", name="Count").click()
    await message(ben, "counted 1").get_by_role("button", name="Count").click()
    await expect(message(anna, "counted 2")).to_be_visible()

    await anna.get_by_role("button", name="Pick two").click()
    picker = anna.get_by_role("dialog", name="Pick two")
    await picker.get_by_label("banana").check()
    await picker.get_by_role("button", name="Done").click()
    await expect(picker.get_by_role("alert")).to_have_text("Choose 2; now it is 1.")
    await picker.get_by_label("apple").check()
    await picker.get_by_role("button", name="Done").click()
    await expect(message(ben, "picked apple and banana")).to_be_visible()

    await anna.get_by_role("button", name="Order").click()
    form = anna.get_by_role("dialog", name="Order form")
    await form.get_by_label("Dish").fill("soup")
    await form.get_by_label("Wishes").fill("hot\nplease")
    await form.get_by_label("Size").select_option(label="Large")
    recipe = {"name": "soup.txt", "mimeType": "text/plain", "buffer": b"the book"}
    await form.get_by_label("Recipe").set_input_files(recipe)  # type: ignore[arg-type]
    await form.get_by_role("button", name="Submit").click()
    await expect(message(ben, "Ordered soup (Large): hot please by the book")).to_be_visible()


async def test_private_answers_stay_private(page: DiscordPage, bot: PageBot) -> None:
    anna, ben = await page.open_as(page.table.anna), await page.open_as(page.table.ben)
    await command(anna, "secret")
    await expect(message(anna, "Double is thinking")).to_have_count(1)
    bot.go_on.set()
    secret = message(anna, "between us")
    await expect(secret).to_contain_text("Only you can see this")
    await expect(message(anna, "is thinking")).to_have_count(0)
    await write(anna, "after it")
    await expect(message(ben, "after it")).to_be_visible()
    await expect(message(ben, "between us")).to_have_count(0)
    await secret.get_by_role("button", name="Dismiss").click()
    await anna.reload()
    await expect(message(anna, "after it")).to_be_visible()
    await expect(secret).to_have_count(0)


async def test_context_menus_and_private_talk(page: DiscordPage, bot: PageBot) -> None:
    table = page.table
    table.world.send(table.ben.id, table.general.id, "quiet words")
    anna = await page.open_as(table.anna, viewport={"width": 1300, "height": 800})
    await menu(anna, message(anna, "quiet words"), "Shout")
    await expect(anna.get_by_text("QUIET WORDS", exact=True)).to_be_visible()
    members = anna.get_by_role("complementary", name="Members")
    await menu(anna, members.get_by_role("button", name="Ben"), "Greet")
    await expect(anna.get_by_role("article", name="Embed: Greeting").locator("strong")).to_have_text("Ben")
    await members.get_by_role("button", name="Double").click()
    await anna.get_by_role("menuitem", name="Write privately").click()
    await expect(anna.get_by_role("heading", name="@ Double")).to_be_visible()
    await write(anna, "@Double psst")
    await expect(message(anna, "You wrote: @Double psst")).to_be_visible()
