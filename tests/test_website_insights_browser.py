"""What people think, in a real browser: plots are seen at every size, and files can be had."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from pictures import picture
from runs_workspace import fill
from talkalike.store.store import Store
from test_website_insights import blind_test, judged
from website_owner import fits, owner_visits

pytest_plugins = ("website_site",)


async def test_plots_and_files(site_store: Store, tmp_path: Path) -> None:
    fill(tmp_path)
    site_store.call(judged)
    site_store.call(blind_test)
    async with owner_visits(site_store, tmp_path) as site:
        for name, options in (("desktop", {}), ("dark", {"dark": True}), ("phone", {"phone": True})):
            page = await site.page("/insights/", **options)
            await expect(page.get_by_role("heading", name="Which model is better")).to_be_visible()
            plot = page.get_by_role("img", name="Chance of each model to beat an average one, with intervals")
            await expect(plot).to_have_count(1)  # of the two sizes, one is shown
            box = await plot.bounding_box()
            assert box and box["width"] > 250 and box["height"] > 60
            # Letters keep a size that can be read.
            assert await plot.locator("text").first.evaluate("e => e.getBoundingClientRect().height") >= 10
            dot = plot.locator("circle").first
            assert await dot.evaluate("e => getComputedStyle(e).fill") not in ("none", "rgb(0, 0, 0)")
            assert await fits(page)
            await picture(page, f"insights-{name}")
        async with page.expect_download() as loading:
            await page.get_by_role("link", name=re.compile(r"^Download as CSV ?: Which model is better$")).click()
        file = await loading.value
        assert file.suggested_filename == "standings.csv"
        assert "mira-2" in Path(await file.path()).read_text()
        await page.get_by_role("link", name="Worst replies first").click()
        await page.get_by_label("Scale").select_option("helpful")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("article").first).to_contain_text("Reply 3 of tiny")
        assert await fits(page)
        await picture(page, "worst-phone")
        assert site.problems == []
