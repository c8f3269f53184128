"""The pages of tasks in a real browser: one is added with pictures, asked, and measured, on a desk and a phone."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.async_api import Page, expect

from pictures import picture
from scripted_eyes import TalkingEye
from talkalike.chat.looking import Onlooker
from talkalike.engine.eyes import EyeTurn
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import pixels
from talkalike.store.store import Store
from talkalike.website.services import services
from task_world import COLOURS, NAME, fill_tasks, mug
from website_owner import fits, owner_visits

pytest_plugins = ("website_site",)

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


async def accessible(page: Page) -> None:
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert [f"{one['id']}: {one['nodes'][0]['target']}" for one in found["violations"]] == []
    assert await fits(page)


def knows_colours(turns: tuple[EyeTurn, ...]) -> str:
    """Sees the colour of the last picture, where it is a mug and some example has it."""
    pictures = [part for turn in turns for part in turn.parts if isinstance(part, Picture)]
    told = [part for turn in turns if turn.role == "assistant" for part in turn.parts]
    seen = {tuple(int(one) for one in pixel) for pixel in pixels(pictures[-1], 160)[::8, ::8].reshape(-1, 3)}
    apart = {
        name: min(sum(abs(a - b) for a, b in zip(one, to, strict=True)) for one in seen) for name, to in COLOURS.items()
    }
    nearest = min(apart, key=lambda name: apart[name])
    return nearest if nearest in told and apart[nearest] < 40 else "a mug"


async def test_a_newcomer_adds_a_task_asks_it_and_sees_its_card(site_store: Store, tmp_path: Path) -> None:
    site_store.call(fill_tasks)
    async with owner_visits(site_store, tmp_path) as site:
        services().onlooker = Onlooker(TalkingEye(knows_colours))
        page = await site.page("/tasks/")
        await page.get_by_role("link", name="Add a task").first.click()
        await page.get_by_label("Name").fill("cups")
        await page.get_by_label("Template").fill("<image>Colour:")
        for row, colour in enumerate(COLOURS, start=1):
            block = page.get_by_role("group", name=f"New example {row}")
            file = {"name": f"{colour}.png", "mimeType": "image/png", "buffer": mug(colour, at=row)}
            await block.get_by_label("Picture").set_input_files(file)  # type: ignore[arg-type]
            await block.get_by_label("What is to be answered").fill(colour)
        await picture(page, "task-new", full_page=True)
        await page.get_by_role("button", name="Add the task").click()
        await expect(page.get_by_role("heading", name="Task: cups@1")).to_be_visible()
        await expect(page.get_by_role("status").first).to_contain_text("has its version 1, with 3 examples")

        # Asked, without leaving the page.
        asked = {"name": "x.png", "mimeType": "image/png", "buffer": mug("green", at=50)}
        await page.locator("#pictures").set_input_files(asked)  # type: ignore[arg-type]
        await page.get_by_role("button", name="Ask", exact=True).click()
        answer = page.locator("#answer")
        await expect(answer.locator(".bubble.own")).to_have_text("green")
        await expect(answer.locator(".meta")).to_contain_text("task cups@1 · 3 of 3 examples")
        assert await answer.locator("img").evaluate("e => e.complete && e.naturalWidth > 0")
        await accessible(page)
        await picture(page, "task-asked", full_page=True)
        await page.get_by_role("button", name="Measure it").click()
        await expect(page.locator("main")).to_contain_text("at least 12 are needed")

        # The task that has enough examples is measured while one looks.
        await page.goto(f"{site.address}/tasks/0/task/{NAME}/")
        await page.get_by_role("button", name="Measure it").click()
        await page.wait_for_url(f"**/tasks/0/task/{NAME}@2/")
        for _ in range(60):
            if not await page.locator("progress").count():
                break
            await page.wait_for_timeout(250)
            await page.reload()
        await expect(page.locator("main")).to_contain_text("asked about, with talking eye")
        await expect(page.locator("main")).to_contain_text("The examples teach at most the form")
        await picture(page, "task", full_page=True)
        phone = await site.page(f"/tasks/0/task/{NAME}/", phone=True)
        await accessible(phone)
        await picture(phone, "task-phone", full_page=True)
        await phone.goto(f"{site.address}/tasks/0/task/{NAME}/edit/")
        await accessible(phone)
        await picture(phone, "task-edit-phone", full_page=True)
        assert ["400" in problem for problem in site.problems] == [True]  # too few examples to be measured
