"""Pairs to judge for tests of the judge page: replies of two models to the same messages, in a batch."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import Page, expect

from talkalike.store.judging import items, judges, pairs, serving, voting
from talkalike.store.judging.judgement_values import JudgedReply, Side
from talkalike.store.store import Store

MODELS = ("anna-3", "base")


def stored(number: int, model: str, *, messages: tuple[str, ...] = (), turns: int = 3, words: int = 0) -> int:
    """A reply of the model to the messages of that number, each of which goes on for so many more `words`."""
    more = " so it goes" * (words // 3)
    context = tuple((("Ben", "Cleo")[i % 2], f"Question {number}, line {i + 1}?{more}") for i in range(turns))
    said = messages or (
        f"Reply {number} by {'the one' if model == MODELS[0] else 'the other'}.",
        "And a second message!",
    )
    return items.put_item(JudgedReply(context=context, speaker="Anna", messages=said, model=model, origin="web"))


def make_batch(count: int, *, name: str = "First tries", seed: int = 7, turns: int = 3, words: int = 0) -> int:
    """An open batch of pairs between the two models."""
    batch = pairs.make_batch(name, seed=seed)
    for number in range(count):
        pairs.make_pair(*(stored(number, model, turns=turns, words=words) for model in MODELS), batch)
    return batch


def vote(batch: int, winner: str, times: int) -> None:
    """A judge who takes that model's reply in so many pairs of the batch."""
    judge = judges.guest()
    for _ in range(times):
        view = serving.next_pair(judge.id, batch)
        assert view is not None
        side = Side.LEFT if items.model_of(view.left.item_id) == winner else Side.RIGHT
        voting.compare(view.id, judge.id, side, face="web", repeat=view.repeat)


def held(store: Store, **conditions: Any) -> list[Any]:
    """The judgements that hold, in the order in which they came."""
    from talkalike.store.tables import judging_tables

    return store.call(lambda: list(judging_tables.Judgement.objects.filter(ended_at=None, **conditions).order_by("id")))


async def until_stored(store: Store, count: int, **conditions: Any) -> None:
    """Waits for what is on its way."""
    async with asyncio.timeout(20):
        while len(held(store, **conditions)) < count:
            await asyncio.sleep(0.05)


async def ready(page: Page) -> None:
    """Until a pair takes choices."""
    await expect(page.locator('#pair[data-ready="yes"]')).to_have_count(1)


async def where(page: Page) -> str:
    """Which pair is shown."""
    return await page.locator(".pair").get_attribute("data-url") or ""


async def judge(page: Page, key: str) -> str:
    """Presses the key of a choice, then Enter; returns which pair it was."""
    await ready(page)
    here = await where(page)
    await page.keyboard.press(key)
    await expect(page.locator(".pair[data-given]")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.locator(f'.pair:not([data-url="{here}"])')).to_have_count(1)
    return here
