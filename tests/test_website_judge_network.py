"""The judge page over a slow, failing and forgetful network: what somebody says arrives once and in order."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from playwright.async_api import TimeoutError as TooLate

from slow_network import bad_network
from talkalike.store.store import Store
from website_judging import held, make_batch, ready, until_stored, where
from website_owner import PASSWORD, owner_visits
from website_visit import Visit, visit

pytest_plugins = ("website_site",)


async def at_pair(site: Visit) -> Page:
    page = await site.page("judge")
    await page.goto(f"{site.address}/judge/1/")
    await ready(page)
    return page


async def press(page: Page, keys: str) -> None:
    for key in keys.split():
        await page.keyboard.press(key)


def said(store: Store) -> list[tuple[str, str]]:
    """What holds, in the order in which it came: ("comparison", "tie"), ("rating", "4")."""
    return [(row.type, str(row.value or row.choice or row.text)) for row in held(store)]


async def test_fingers_faster_than_the_network_lose_nothing(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 4)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        async with bad_network(page) as network:
            network.open.clear()
            here = await where(page)
            await press(page, "1 r 4 3")
            await expect(page.locator("#reply-left")).to_have_class("card reply chosen")
            await expect(page.locator("#reply-left .yours")).to_be_visible()
            await press(page, "Escape Enter")
            await expect(page.locator("#sending")).to_have_text("Saving 4 things…")  # the next pair is the fourth
            await press(page, "2 r 5 u")  # meant for the pair that is not there yet: nothing of it is taken
            await expect(page.locator("#said")).to_contain_text("the next pair is on its way")
            assert await where(page) == here and held(site_store) == []
            network.open.set()
            await expect(page.locator(f'.pair:not([data-url="{here}"])')).to_have_count(1)
            await expect(page.locator("#sending")).to_be_empty()
            assert network.sent == ["vote", "rate", "rate"]
        assert [kind for kind, _ in said(site_store)] == ["comparison", "rating", "rating"]
        assert {row.value for row in held(site_store, type="rating")} == {3, 4}
        assert len({row.item_id for row in held(site_store, type="rating")}) == 1
        await ready(page)
        await press(page, "0 Enter")  # and no reload was needed
        await until_stored(site_store, 4)
        assert site.problems == []


async def try_now(page: Page) -> None:
    """Presses the button, unless the page has tried again by itself and got through before that."""
    with suppress(TooLate):
        await page.get_by_role("button", name="Try now").click(timeout=3000)


async def test_a_choice_while_a_rating_waits_is_kept(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 3)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        async with bad_network(page) as network:
            network.open.clear()
            await press(page, "r 2 Escape 9")
            await expect(page.locator("#choose-both_bad")).to_have_attribute("aria-pressed", "true")
            network.open.set()
            await until_stored(site_store, 2)
        assert said(site_store) == [("rating", "2"), ("comparison", "both_bad")]


async def test_what_fails_is_told_and_sent_again(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 4)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        async with bad_network(page) as network:
            network.answers = ["fail", "login", "fail"]  # the second one: a network that answers in the site's place
            await press(page, "1 r 5 Escape")
            await expect(page.locator("#sending")).to_contain_text("2 things that you said wait")
            for _ in range(3):
                await try_now(page)
            await until_stored(site_store, 2)
            await expect(page.locator("#sending")).to_be_empty()
            assert network.sent == ["vote"] * 4 + ["rate"]
        assert [kind for kind, _ in said(site_store)] == ["comparison", "rating"]


async def test_a_lost_answer_changes_nothing_twice(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 4)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        async with bad_network(page) as network:
            network.answers = ["pass", "pass", "lose"]
            await press(page, "2 r 4 Escape")
            await until_stored(site_store, 2)
            await press(page, "u")  # takes back the rating; the answer is lost, and it is sent again
            await try_now(page)
            await expect(page.locator("#said")).to_contain_text("Taken back: 4 of 5")
            assert network.sent == ["vote", "rate", "undo", "undo"]
        assert [kind for kind, _ in said(site_store)] == ["comparison"]


async def test_what_the_site_refuses_does_not_look_saved(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 3)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        await page.locator("#reply-left summary").click()
        await page.locator('#reply-left input[name="helpful"][value="3"]').evaluate("box => { box.value = '7'; }")
        await page.locator('#reply-left input[name="helpful"][value="7"]').check()
        await expect(page.locator("#problem")).to_contain_text("A rating is a whole number from 1 to 5")
        await expect(page.locator('#reply-left input[name="helpful"]:checked')).to_have_count(0)
        await press(page, "1")
        await until_stored(site_store, 1)
        await expect(page.locator("#problem")).to_be_empty()


async def test_what_waits_outlives_the_page(site_store: Store, tmp_path: Path) -> None:
    site_store.call(make_batch, 3)
    async with visit(site_store, tmp_path) as site:
        page = await at_pair(site)
        asked: list[str] = []

        async def leave(dialog: object) -> None:
            asked.append(dialog.type)  # type: ignore[attr-defined]
            await dialog.accept()  # type: ignore[attr-defined]

        page.on("dialog", leave)
        here = await where(page)
        async with bad_network(page) as network:
            network.answers = ["fail"] * 20  # it tries again by itself, so that one failure is soon over
            await press(page, "1")
            await expect(page.locator("#sending")).to_contain_text("One thing")
            await page.reload()
        assert asked == ["beforeunload"] and await where(page) == here
        await expect(page.locator(".pair[data-given]")).to_have_count(1)  # it was sent, and the pair shown as it is
        assert [kind for kind, _ in said(site_store)] == ["comparison"]


@pytest.mark.parametrize("lost", [{"name": "talkalike_session"}, {}], ids=["session", "all-cookies"])
async def test_after_a_log_in_it_goes_on_where_it_was(site_store: Store, tmp_path: Path, lost: dict[str, str]) -> None:
    site_store.call(make_batch, 3)
    async with owner_visits(site_store, tmp_path) as site:
        page = await site.page("/judge/1/")
        await ready(page)
        here = await where(page)
        await press(page, "2 e")
        await until_stored(site_store, 1)
        await page.context.clear_cookies(**lost)
        await page.keyboard.type("\nand a third line")
        await press(page, "Escape")
        await expect(page.get_by_text("not stored")).to_be_visible()
        await page.fill("#id_username", site.owner)
        await page.fill("#id_password", PASSWORD)
        await page.click("main button")
        await page.wait_for_url(f"{site.address}{here}")
        await until_stored(site_store, 2)
        assert held(site_store, type="correction")[0].text.endswith("and a third line")
        await expect(page.locator("#text-right")).to_have_value("\n".join(_text(site_store)))
        assert all("401" in text or "403" in text for text in site.problems)


def _text(store: Store) -> list[str]:
    return str(held(store, type="correction")[0].text).split("\n")


@pytest.mark.parametrize("number", ["1", "3"])
def test_what_arrives_late_does_not_undo_what_came_after(site_store: Store, guest: object, number: str) -> None:
    """Number 1 is overtaken by 2, and arrives once more; number 3 is new."""
    site_store.call(make_batch, 2)
    client = guest("judge")  # type: ignore[operator]
    client.get("/judge/1/")
    address = client.get("/judge/1/").content.decode().partition('data-url="')[2].partition('"')[0]
    for sending, value in (("1", "2"), ("2", "5"), (number, "2")):
        headers = {"HX-Request": "true", "X-Sending": f"0123abcd-9.{sending}"}
        answer = client.post(f"{address}rate/", {"side": "left", "helpful": value}, headers=headers)
        assert answer.headers["X-Sending"] == headers["X-Sending"] and answer.status_code in (200, 204)
    assert [row.value for row in held(site_store, type="rating")] == [5 if number == "1" else 2]
    nonsense = client.post(f"{address}rate/", {"side": "left", "helpful": "4"}, headers={"X-Sending": "x\r\ny"})
    assert "X-Sending" not in nonsense.headers
