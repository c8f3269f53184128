"""The judge page in a real browser: by keyboard, by thumb, without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from pictures import picture
from talkalike.store.store import Store
from website_judging import held, judge, make_batch, ready, until_stored, where
from website_visit import visit

pytest_plugins = ("website_site",)


async def test_twenty_pairs_by_keyboard(site_store: Store, tmp_path: Path) -> None:
    batch = site_store.call(make_batch, 24)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge")
        await page.get_by_role("link", name="Start").click()
        await ready(page)
        await picture(page, "judge-desktop")
        seen = [await judge(page, key) for key in ["1", "2", "0", "9", "s", "ArrowLeft", "ArrowRight"]]

        # Undo goes back to the pair; a choice can be changed; Enter goes on to where one was.
        await ready(page)
        before = await where(page)
        await page.keyboard.press("u")
        await expect(page.locator(f'.pair[data-url="{seen[-1]}"]:not([data-given])')).to_have_count(1)
        await expect(page.locator("#said")).to_contain_text("Taken back")
        assert len(held(site_store)) == 6
        await judge(page, "1")
        assert await where(page) == before

        # Editing the winner: e opens it, keys are letters there, leaving it saves.
        await ready(page)
        await page.keyboard.press("e")
        await expect(page.locator("#said")).to_contain_text("Choose the better one first")
        await page.keyboard.press("2")
        await expect(page.locator('.pair[data-side="right"]')).to_have_count(1)
        await page.keyboard.press("e")
        await expect(page.locator("#text-right")).to_be_focused()
        await page.keyboard.type("\n1 us?")
        await picture(page, "judge-edit")
        await page.keyboard.press("Escape")
        await expect(page.locator("#said")).to_contain_text("your version for reply 2")
        assert held(site_store, type="correction")[0].text.endswith("message!\n1 us?")
        assert len(held(site_store, type="comparison")) == 8

        # Ratings by number keys; Enter right after them loses none.
        await page.keyboard.press("r")
        for key in "4321":
            await page.keyboard.press(key)
        await expect(page.locator("#question")).to_be_focused()
        last = await where(page)
        await page.keyboard.press("Enter")
        await expect(page.locator(f'.pair:not([data-url="{last}"])')).to_have_count(1)
        await ready(page)
        await until_stored(site_store, 4, type="rating")
        assert sorted(row.value for row in held(site_store, type="rating")) == [1, 2, 3, 4]

        # After a reload the pair that was open is there again.
        here = await where(page)
        await page.reload()
        assert await where(page) == here
        await page.goto(f"{site.address}/judge/{batch}/")
        assert await where(page) == here
        for number in range(12):
            await judge(page, "12"[number % 2])
        rows = held(site_store, type="comparison")
        assert len(rows) == 20 and len({(row.pair_id, row.round) for row in rows}) == 20
        assert all(row.seconds is not None and 0.2 < row.seconds < 60 for row in rows)
        assert {row.choice for row in rows} == {"a", "b", "tie", "both_bad", "skip"}
        assert await page.locator("#progress-words").inner_text() != ""
        assert site.problems == []


async def test_the_next_pair_is_loaded_ahead_and_needs_no_answer_from_the_site(
    site_store: Store, tmp_path: Path
) -> None:
    site_store.call(make_batch, 5)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge")
        await page.goto(f"{site.address}/judge/1/")
        await ready(page)
        here = await where(page)
        await page.keyboard.press("1")
        await expect(page.locator(f'#pair[data-ahead="{here}"]')).to_have_count(1)
        await page.context.set_offline(True)
        await page.keyboard.press("Enter")
        await expect(page.locator(f'.pair:not([data-url="{here}"])')).to_have_count(1)
        await ready(page)
        assert page.url.endswith(await where(page))
        # Without the network a choice waits, the page says so, and it is sent once the network is there again.
        await page.keyboard.press("2")
        await expect(page.locator("#sending")).to_contain_text("One thing that you said waits")
        assert len(held(site_store)) == 1
        await page.context.set_offline(False)
        await until_stored(site_store, 2)
        await expect(page.locator("#sending")).to_be_empty()
        await expect(page.locator("#said")).to_contain_text("reply 2 is better")


async def test_going_on_at_once_takes_no_double_press_for_the_next_pair(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 6)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge")
        await page.goto(f"{site.address}/judge/1/")
        await ready(page)
        await page.locator("#go-on").check()
        here = await where(page)
        await page.locator("#choose-left").dblclick()
        await expect(page.locator(f'.pair:not([data-url="{here}"])')).to_have_count(1)
        await ready(page)
        assert len(held(site_store)) == 1
        await expect(page.locator("#go-on")).to_be_checked()
        await expect(page.locator("#question")).to_be_focused()
        await page.go_back()
        await page.goto(f"{site.address}{here}")
        await expect(page.locator("#choose-left")).to_have_attribute("aria-pressed", "true")


async def test_a_phone_shows_them_one_below_the_other_and_scrolls_as_one(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 3)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", phone=True)
        await page.get_by_role("link", name="Start").tap()
        await ready(page)
        await picture(page, "judge-phone")
        left, right = [await page.locator(f"#reply-{side}").bounding_box() for side in ("left", "right")]
        assert left and right and left["x"] == right["x"] and right["y"] >= left["y"] + left["height"]
        width = "document.documentElement.scrollWidth"
        assert await page.evaluate(width) <= 390
        trapped = """[...document.querySelectorAll('main *')].filter(e => !e.matches('textarea') &&
            ['auto', 'scroll'].includes(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight).length"""
        assert await page.evaluate(trapped) == 0
        for button in await page.locator(".choices button, .choices a:not([hidden])").all():
            box = await button.bounding_box()
            assert box and box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 390
        await page.locator("#choose-right").tap()
        await expect(page.locator("#said")).to_contain_text("reply 2 is better")
        await page.locator("#reply-right summary").tap()
        await page.locator('#reply-right input[name="helpful"][value="4"]').tap()
        await expect(page.locator("#said")).to_contain_text("your rating for reply 2")
        await picture(page, "judge-phone-rated")
        await page.locator("#next").tap()
        await ready(page)
        assert [row.type for row in held(site_store)] == ["comparison", "rating"]
        assert site.problems == []


@pytest.mark.parametrize("phone", [False, True], ids=["1280x800", "390x844"])
async def test_both_replies_are_in_sight_before_one_scrolls(site_store: Store, tmp_path: Path, phone: bool) -> None:
    """Below a talk of thirty messages, some of them long."""
    site_store.call(make_batch, 1, turns=30, words=45)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", phone=phone)
        if not phone:
            await page.set_viewport_size({"width": 1280, "height": 800})
        await page.goto(f"{site.address}/judge/1/")
        await ready(page)
        bar = await page.locator(".choices").bounding_box()
        assert bar and bar["y"] + bar["height"] <= (844 if phone else 800)
        for side in ("left", "right"):
            reply = await page.locator(f"#reply-{side} .messages").bounding_box()
            assert reply and reply["y"] >= 0 and reply["y"] + reply["height"] <= bar["y"], side
        await expect(page.get_by_text("line 30?")).to_be_in_viewport()
        if phone:  # the rest of the talk is one tap away
            await expect(page.get_by_text("line 28?")).to_be_hidden()
            await page.get_by_label("Show the whole conversation").check()
        await page.get_by_text("messages before that").click()
        await expect(page.get_by_text("line 28?")).to_be_visible()
        await expect(page.get_by_text("line 3?")).to_be_visible()


async def test_without_javascript_forms_do_it_all(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 3)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", script=False)
        await page.get_by_role("link", name="Start").click()
        here = await where(page)
        await page.locator("#choose-tie").click()
        await expect(page.get_by_text("Saved: a tie.")).to_be_visible()
        await page.locator("#reply-left summary").click()
        await page.locator('#reply-left input[name="honest"][value="2"]').check()
        await page.locator("#reply-left").get_by_role("button", name="Save the ratings").click()
        await page.locator("#undo").click()
        await expect(page.get_by_text("Taken back: 2 of 5")).to_be_visible()
        await page.locator("#next").click()
        assert await where(page) != here
        assert [(row.type, row.choice) for row in held(site_store)] == [("comparison", "tie")]


async def test_dark_pages_and_the_end_of_a_batch(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 2, seed=11)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", dark=True)
        await page.goto(f"{site.address}/judge/")
        await picture(page, "judge-index-dark")
        await page.goto(f"{site.address}/judge/1/")
        await ready(page)
        await page.keyboard.press("1")
        await expect(page.locator("#next")).to_be_visible()
        await picture(page, "judge-dark-given")
        await page.keyboard.press("Enter")
        await expect(page.locator(".pair:not([data-given])")).to_have_count(1)
        await judge(page, "2")
        while await page.locator("#vote").count():  # one of them came back
            await judge(page, "2")
        await expect(page.locator("#question")).to_have_text(re.compile("First tries"))
        await picture(page, "judge-done-dark")
