"""The blind test in a real browser, on a desktop and a phone: from the invitation to the result."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from pictures import picture
from talkalike.store.store import Store
from website_guessing import make_round
from website_visit import visit

pytest_plugins = ("website_site",)


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (False, True), (True, False)])
async def test_from_the_invitation_to_the_result(site_store: Store, tmp_path: Path, phone: bool, dark: bool) -> None:
    number = site_store.call(make_round, 5)
    name = f"guess-{'phone' if phone else 'desktop'}{'-dark' if dark else ''}"
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", phone=phone, dark=dark)
        await page.locator("main").get_by_role("link", name="Take part").first.click()
        await picture(page, f"{name}-consent")
        await page.get_by_role("button", name="I agree, start").click()
        for turn in range(5):
            question = page.locator(f'.question[data-number="{turn + 1}"]')
            await expect(question).to_have_count(1)
            await expect(page.locator('#guess[data-ready="yes"]')).to_have_count(1)
            if turn == 0:
                await picture(page, name)
            if turn == 2:  # what was answered stays answered, and it goes on where one was
                await page.reload()
                await expect(question).to_have_count(1)
                await expect(page.locator('#guess[data-ready="yes"]')).to_have_count(1)
            if phone:
                await page.locator("#choose-left").tap()
            else:
                await page.keyboard.press(("1", "2", "ArrowLeft", "ArrowRight", "1")[turn])
            if turn < 4:
                await expect(page.locator(f'.question[data-number="{turn + 2}"]')).to_have_count(1)
                await expect(page.locator("#asking")).to_be_focused()
        await expect(page.get_by_text("You found the real one in")).to_be_visible()
        await expect(page.get_by_role("cell", name="The double")).to_be_visible()
        await picture(page, f"{name}-result")
        assert await page.evaluate("document.documentElement.scrollWidth") <= (390 if phone else 1280)
        assert site.problems == []

    def seconds() -> list[float]:
        from talkalike.store.tables import judging_tables as tables

        return list(tables.Guess.objects.filter(question__round_id=number).values_list("seconds", flat=True))

    taken = site_store.call(seconds)
    assert len(taken) == 5 and all(0.2 < one < 60 for one in taken)


async def test_without_javascript_forms_do_it_all(site_store: Store, tmp_path: Path) -> None:
    number = site_store.call(make_round, 2)
    async with visit(site_store, tmp_path) as site:
        page = await site.page("judge", script=False)
        await page.goto(f"{site.address}/guess/{number}/")
        await page.get_by_role("button", name="I agree, start").click()
        for _ in range(2):
            await page.locator("#choose-right").click()
        await expect(page.get_by_text("You found the real one in")).to_be_visible()
