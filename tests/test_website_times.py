"""Times are the reader's, on pages and in what one takes away; where their zone is not known, UTC is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from talkalike.store.store import Store
from talkalike.website import zones
from talkalike.website.services import SiteServices
from talkalike.website.templatetags import showing
from website_chat import Talking, begin, page
from website_owner import owner_visits

pytest_plugins = ("website_site", "website_chat_site")

AT = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
ZONES = {
    "Asia/Kolkata": "2026-03-29 05:00",
    "America/New_York": "2026-03-28 19:30",
    "Europe/Prague": "2026-03-29 00:30",
}


def said_at(services: SiteServices) -> None:
    from talkalike.store.tables import talking_tables

    talking_tables.WebMessage.objects.update(at=AT)
    talking_tables.WebConversation.objects.update(made_at=AT, changed_at=AT)


@pytest.mark.parametrize("zone", [*ZONES, ""])
def test_a_conversation_is_taken_away_in_the_readers_time(
    person: Any, talking: Talking, services: SiteServices, zone: str
) -> None:
    talking(("hey",))
    anna = person("judge", name="anna")
    address = begin(anna, "hi")
    services.store.call(said_at, services)
    if zone:
        anna.cookies[zones.COOKIE] = zone
    local = ZONES.get(zone, "2026-03-28 23:30")
    text = anna.get(f"{address}transcript.txt").content.decode()
    assert f"begun {local}, times in {zone or 'UTC'}" in text and text.count(f"[{local}]") == 2
    told = json.loads(anna.get(f"{address}transcript.json").content)
    assert told["zone"] == (zone or "UTC") and {datetime.fromisoformat(one["at"]) for one in told["messages"]} == {AT}
    assert told["begun"].startswith(local.replace(" ", "T"))
    shown = re.search(r'<time datetime="2026-03-28T23:30:00\+00:00" data-exact="minute">([^<]+)<', page(anna, address))
    day = datetime.fromisoformat(local)
    assert shown and shown[1] == f"{day.day} Mar 2026, {day:%H:%M}" + ("" if zone else " UTC")
    assert shown[1] in anna.get(f"{address}transcript.html").content.decode()


@given(
    st.one_of(st.text(), st.sampled_from(["Europe", "../../etc/passwd", "/etc/localtime", "posix/../UTC", "\0", ""]))
)
def test_any_cookie_is_a_zone_or_none(cookie: str) -> None:
    request = RequestFactory().get("/")
    request.COOKIES[zones.COOKIE] = cookie
    found = zones.zone_of(request)
    assert found is None or isinstance(found, ZoneInfo)


def test_what_is_no_time_is_shown_as_it_is() -> None:
    assert (showing.day(""), showing.day(None), showing.when(None)) == ("–", "–", "–")
    assert showing.day("in spring") == "in spring"
    assert ">1 Nov 2026 UTC<" in showing.day("2026-11-01T10:00:00")
    assert (
        showing.commands("Run `talkalike train <x>` & wait") == "Run <code>talkalike train &lt;x&gt;</code> &amp; wait"
    )


async def test_a_browser_tells_its_zone(site_store: Store, tmp_path: Path) -> None:
    """The first page is written before the site knows it: the script puts the times right."""
    import picture_world as world

    world.fill_workspace(tmp_path)
    async with owner_visits(site_store, tmp_path) as site:
        context = await site.browser.new_context(timezone_id="America/New_York")
        stranger = await context.new_page()
        await stranger.goto(f"{site.address}/login/?next=/runs/")
        await stranger.fill("#id_username", site.owner)
        await stranger.fill("#id_password", "correct horse battery")
        await stranger.click("main button")
        await stranger.wait_for_url(f"{site.address}/runs/")
        run = stranger.locator("#runs time").first
        moment = datetime.fromisoformat(await run.get_attribute("datetime") or "").astimezone(
            ZoneInfo("America/New_York")
        )
        expected = f"{moment.day} {moment:%b %Y, %H:%M}"
        assert await run.inner_text() == expected and await run.get_attribute("title") == "America/New_York"
        plain = await site.browser.new_context(java_script_enabled=False, storage_state=await context.storage_state())
        without = await plain.new_page()  # the cookie is enough
        await without.goto(f"{site.address}/runs/")
        assert await without.locator("#runs time").first.inner_text() == expected
        await context.clear_cookies(name=zones.COOKIE)
        await without.context.clear_cookies(name=zones.COOKIE)
        await without.reload()
        assert (await without.locator("#runs time").first.inner_text()).endswith(" UTC")
        await stranger.reload()
        assert await run.inner_text() == expected
