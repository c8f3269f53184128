"""The runs' pages in a real browser: a run is started, watched while it runs, and stopped."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from pictures import picture
from runs_workspace import fill, jobs_in
from talkalike.jobs import job
from talkalike.store.store import Store
from website_owner import fits, owner_visits

pytest_plugins = ("website_site",)


async def test_a_training_is_watched_while_it_runs(site_store: Store, tmp_path: Path) -> None:
    fill(tmp_path)
    async with owner_visits(site_store, tmp_path) as site:
        try:
            page = await site.page("/runs/")
            await page.get_by_role("link", name="Train a new model").click()
            await page.get_by_label("Name of the new model").fill("mira-2")
            await page.get_by_role("button", name="Start training").click()
            await expect(page.locator(".problem-text")).to_contain_text("already")
            await page.get_by_label("Name of the new model").fill("mira-9")
            await picture(page, "run-new")
            await page.get_by_role("button", name="Start training").click()
            await expect(page.get_by_role("heading", name="Run: mira-9")).to_be_visible()

            # It moves by itself: more steps, a plot, the end of the log in sight.
            steps = page.locator(".facts dd").first
            await expect(steps).to_have_text(re.compile(r"^[1-9]\d+$"))
            before = int(await steps.inner_text())
            await expect(steps).not_to_have_text(str(before))
            assert int(await steps.inner_text()) > before
            await expect(page.get_by_role("img", name="Loss of mira-9 by step")).to_have_count(1)
            log = page.get_by_role("region", name="The end of the log")
            await expect(log).to_contain_text(f"step {before}")
            below = await log.evaluate(
                "e => e.getBoundingClientRect().bottom - e.firstElementChild.getBoundingClientRect().bottom"
            )
            assert abs(below) < 30
            await picture(page, "run-running")

            await page.get_by_role("button", name="Save and stop").click()
            await expect(page.get_by_role("button", name="Resume")).to_be_visible()
            await expect(page.get_by_role("status").filter(has_text="stopped")).to_be_visible()
            await expect(log).to_contain_text("Saved.")
            assert await page.locator("#run[hx-trigger]").count() == 0
            assert ["400" in problem for problem in site.problems] == [True]  # the name that was taken, and no more
        finally:
            for one in jobs_in(tmp_path / "runs"):
                job.stop(one.folder, patience=(0.5, 0.5))


async def test_models_runs_and_comparisons_at_every_size(site_store: Store, tmp_path: Path) -> None:
    fill(tmp_path)
    async with owner_visits(site_store, tmp_path) as site:
        for name, options in (("desktop", {}), ("dark", {"dark": True}), ("phone", {"phone": True, "script": False})):
            page = await site.page("/runs/", **options)
            assert await fits(page)
            await picture(page, f"runs-{name}")
            await page.locator(".lineage a").filter(has_text="mira-1").click()
            await expect(page.get_by_role("heading", name="mira-1", level=1)).to_be_visible()
            if name != "dark":
                model = {"desktop": "mira-1", "phone": "mira-2"}[name]
                await page.goto(f"{site.address}/runs/model/{model}/")
                await page.get_by_role("button", name="Use this model").click()
                await expect(page.locator(".lineage .box.serves")).to_have_count(1)
                assert site.run_commands.chosen == model
            await page.goto(f"{site.address}/runs/model/mira-2-aligned/")
            await expect(page.get_by_role("region", name="Table: before and after")).to_contain_text("told apart")
            assert await fits(page)
            await picture(page, f"candidate-{name}")
            await page.goto(f"{site.address}/runs/compare/")
            if not await page.get_by_label("mira-1-20261101-100000").is_visible():
                await page.get_by_text("Choose runs").click()
            await page.get_by_label("mira-1-20261101-100000").check()
            await page.get_by_role("button", name="Compare").click()
            await expect(page.get_by_role("img", name="Held-out loss by step")).to_have_count(1)
            assert await page.get_by_role("columnheader").count() == 3
            assert await fits(page)
            await picture(page, f"compare-{name}")
        assert site.problems == []
