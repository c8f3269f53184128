"""Replies while they are written, over a real socket: followed, left, stopped, waiting for each other."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from chat_script import HANG
from talkalike.website.chat.reply import LIVE, MOST_AT_ONCE
from talkalike.website.services import SiteServices
from website_chat import Talking, bubbles, numbers
from website_chat_visits import open_site

pytest_plugins = ("website_site", "website_chat_site")


@pytest.fixture
async def anna(services: SiteServices, talking: Talking, person: Any) -> Any:
    return await asyncio.to_thread(person, "judge", name="anna")


async def test_a_reply_is_followed_word_by_word_and_from_the_middle(
    services: SiteServices, talking: Talking, anna: Any
) -> None:
    engine = talking(("hey you", "all good?"))
    engine.gate.clear()
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        events = re.search(r'data-live="([^"]+)"', await browser.get(address))
        assert events is not None
        following = browser.follow(events[1])
        told = [await anext(following)]
        engine.gate.set()
        told += [event async for event in following]
        assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
        assert [data["text"] for _, name, data in told if name == "text"] == ["hey", " you", "all", " good?"]
        assert [data["text"] for _, name, data in told if name == "message"] == ["hey you", "all good?"]
        assert told[-1][1:] == ("end", {"state": "done"})
        html = await browser.get(address)
        assert bubbles(html) == ["> hi", "hey you", "all good?"]
        again = [name async for _, name, _ in browser.follow(events[1])]
        assert again == ["end"]


async def test_who_comes_later_or_again_is_told_what_is_missing(
    services: SiteServices, talking: Talking, anna: Any
) -> None:
    engine = talking((f"one two {HANG}",))
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        await engine.hanging.wait()
        events = address + f"{numbers(await browser.get(address), 'theirs')[0]}/events/"
        first = browser.follow(events)
        seen = [await anext(first) for _ in range(3)]
        await first.aclose()  # the tab is closed; the reply goes on
        assert [name for _, name, _ in seen] == ["start", "text", "text"]
        second = browser.follow(events, after=seen[1][0])
        assert await anext(second) == seen[2]
        await second.aclose()
        assert engine.running == 1
        status, _, html = await browser.post(f"{address}stop/")
        assert (status, engine.running) == (200, 0)
        assert bubbles(html) == ["> hi", "one two"]
        assert "You stopped it here" in html


async def test_a_closed_tab_does_not_end_a_reply(services: SiteServices, talking: Talking, anna: Any) -> None:
    engine = talking(("the whole reply", "to its end"))
    engine.gate.clear()
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        number = numbers(await browser.get(address), "theirs")[0]
        events = browser.follow(f"{address}{number}/events/")
        await anext(events)
        await events.aclose()
        live = LIVE.get(number)
        assert live is not None
        engine.gate.set()
        await live.wait()
        assert bubbles(await browser.get(address)) == ["> hi", "the whole reply", "to its end"]


async def test_what_is_said_meanwhile_waits_and_sees_the_reply(
    services: SiteServices, talking: Talking, anna: Any
) -> None:
    engine = talking((f"half {HANG}",), ("second",))
    async with open_site(services, anna) as browser:
        address = await browser.begin("one")
        await engine.hanging.wait()
        status, _, html = await browser.post(f"{address}say/", text="two")
        assert status == 200
        assert html.count("data-live") == 2
        first, second = numbers(html, "theirs")
        assert len(engine.prompts) == 1
        live, later = LIVE.get(first), LIVE.get(second)
        assert live is not None
        assert later is not None
        await LIVE.stop(live)
        await later.wait()
        assert [turn.text for turn in engine.prompts[1].turns] == ["one", "half", "two"]
        assert bubbles(await browser.get(address)) == ["> one", "half", "> two", "second"]


async def test_nobody_has_many_replies_written_at_once(services: SiteServices, talking: Talking, anna: Any) -> None:
    engine = talking((HANG,))
    async with open_site(services, anna) as browser:
        addresses = [await browser.begin(f"number {number}") for number in range(MOST_AT_ONCE)]
        status, _, html = await browser.post(f"{addresses[0]}say/", text="one more")
        assert status == 400
        assert "still busy" in html
        assert "one more" not in await browser.get(addresses[0])
        status, _, html = await browser.post(f"{addresses[0]}delete/")
        assert status == 400
        await browser.post(f"{addresses[0]}stop/")
        assert engine.running == MOST_AT_ONCE - 1
        assert (await browser.post(f"{addresses[0]}say/", text="one more"))[0] == 200


async def test_another_reply_stops_the_one_being_written(services: SiteServices, talking: Talking, anna: Any) -> None:
    engine = talking((f"bad {HANG}",), ("better",))
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        await engine.hanging.wait()
        number = numbers(await browser.get(address), "theirs")[0]
        await browser.post(f"{address}{number}/again/")
        html = await browser.get(address)
        live = LIVE.get(numbers(html, "theirs")[0])
        if live is not None:
            await live.wait()
        assert bubbles(await browser.get(address)) == ["> hi", "better"]
        await browser.post(f"{address}{number}/show/")
        assert bubbles(await browser.get(address)) == ["> hi", "bad"]


async def test_words_written_so_far_are_on_the_disk(services: SiteServices, talking: Talking, anna: Any) -> None:
    engine = talking(("kept", f"half {HANG}"))
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        await engine.hanging.wait()

        def stored() -> list[Any]:
            from talkalike.store.talking.models import WebMessage

            return list(WebMessage.objects.filter(kind="reply").values_list("state", "text"))

        assert await services.store.run(stored) == [("writing", "kept")]
        assert bubbles(await browser.get(address)) == ["> hi", "kept"]


async def test_the_end_of_the_site_marks_replies_as_broken_off(
    services: SiteServices, talking: Talking, anna: Any
) -> None:
    engine = talking((f"half {HANG}",))
    async with open_site(services, anna) as browser:
        address = await browser.begin("hi")
        await engine.hanging.wait()
        live = LIVE.get(numbers(await browser.get(address), "theirs")[0])
        assert live is not None
        assert live.task is not None
        live.task.cancel()  # as the event loop does when the program ends
        await live.wait()
        html = await browser.get(address)
        assert bubbles(html) == ["> hi", "half"]
        assert "The site was shut down while this reply was being written" in html
