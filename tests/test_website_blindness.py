"""Judging is blind: before a vote, nothing that the site sends to a judge says which models they compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

MODELS = ("quagga-lora-7", "okapi-base")  # words that stand on no page of ours
PAIRS = 24
HTMX = {"HX-Request": "true"}


def fill(name: str) -> int:
    """A batch between the two models, the first one's reply always stored first; half of the prompts have no twin."""
    from talkalike.store.judging import items, pairs
    from talkalike.store.judging.judgement_values import JudgedReply

    batch = pairs.make_batch(name, seed=11)
    for number in range(PAIRS):
        context = (("Ben", f"Question {number}?"), ("Cleo", "Well?"))
        ids = [
            items.put_item(
                JudgedReply(
                    context=context,
                    speaker="Anna",
                    messages=(f"{number} {words}",),
                    model=model,
                    origin="web",
                )
            )
            for model, words in zip(MODELS, ("said so", "told it"), strict=True)
        ]
        pairs.make_pair(ids[0], ids[1], batch)
    return batch


def everything(answer: Any) -> str:
    """What a judge's browser gets: the body, and the headers."""
    return f"{answer.headers}\n{answer.content.decode()}"


def visits(who: Any, batch: int) -> Iterator[str]:
    """Every page and form on a judge's way, up to and after the votes, as long as the batch is open."""
    for address in ("/", "/judge/", "/guess/"):
        yield everything(who.get(address))
    for _ in range(3):
        page = who.get(f"/judge/{batch}/")
        yield everything(page)
        found = re.search(r'data-url="([^"]+)"', page.content.decode())
        assert found
        url = found[1]
        yield everything(who.get(url))
        yield everything(who.post(f"{url}rate/", {"side": "left", "sounds like me": "3"}, headers=HTMX))
        yield everything(who.post(f"{url}correct/", {"side": "left", "text": "better"}, headers=HTMX))
        yield everything(who.post(f"{url}flag/", {"side": "right", "reason": "odd"}, headers=HTMX))
        yield everything(who.post(f"{url}vote/", {"choice": "left", "seconds": ""}, headers=HTMX))
        yield everything(who.post(f"/judge/{batch}/undo/", {}, headers=HTMX))
        yield everything(who.post(f"{url}vote/", {"choice": "right", "go_on": "on"}, headers=HTMX))
    yield everything(who.get("/judge/"))


@pytest.mark.parametrize(
    "name",
    [f"{MODELS[0]} or {MODELS[1]}", MODELS[1].upper(), f"Is ({MODELS[0]}) better?", "An honest name"],
)
@pytest.mark.parametrize("role", ["judge", "owner"])
def test_no_page_before_the_vote_names_the_models(
    person: Callable[..., Any], services: SiteServices, role: str, name: str
) -> None:
    batch = services.store.call(fill, name)
    who = person(role)
    said = [*visits(who, batch)]
    if role == "judge":  # refused while pairs wait; the owner may end the judging
        said.append(everything(who.post(f"/judge/{batch}/reveal/", {})))
    assert [page for page in said for model in MODELS if model in page.lower()] == []


def test_the_hidden_name_comes_back_with_the_models(services: SiteServices) -> None:
    from talkalike.store.judging import pairs

    batch = services.store.call(fill, f"{MODELS[0]} or {MODELS[1]}")

    def name() -> str:
        row = pairs.batch(batch)
        assert row is not None
        return row.name

    assert services.store.call(name) == f"Batch {batch}"
    services.store.call(pairs.close_batch, batch)
    assert services.store.call(name) == f"Batch {batch}"  # it can be opened again
    services.store.call(pairs.reveal_batch, batch)
    assert services.store.call(name) == f"{MODELS[0]} or {MODELS[1]}"


def test_the_order_of_the_two_tells_nothing(person: Callable[..., Any], services: SiteServices) -> None:
    """Either model stands left about as often, whichever was stored first; and no number on the page tells which."""
    batch = services.store.call(fill, "Which is better?")
    who, left = person("judge"), 0
    for _ in range(PAIRS):
        page = who.get(f"/judge/{batch}/").content.decode()
        (url,) = re.findall(r'data-url="([^"]+)"', page)
        first, second = re.findall(r"<article.*?</article>", page, re.S)
        assert {"said so" in first, "said so" in second} == {True, False}
        left += "said so" in first
        # What is left of the two but their words and their side is the same.
        plain = [re.sub(r"\d+ (said so|told it)|left|right|First|Second", "", side) for side in (first, second)]
        assert re.sub(r'value="\w+"', "", plain[0]) == re.sub(r'value="\w+"', "", plain[1])
        who.post(f"{url}vote/", {"choice": "skip", "seconds": ""})
    assert PAIRS // 4 <= left <= PAIRS - PAIRS // 4


def test_the_owner_cannot_name_a_batch_after_its_models(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.store.judging import pairs

    services.store.call(fill, "first")
    form = {"models": list(MODELS), "count": "3"}
    refused = person("owner").post("/judge/batches/", {"name": f"The new {MODELS[0]}", **form})
    assert refused.status_code == 400 and "must not name a model" in refused.content.decode()
    assert len(services.store.call(pairs.batches)) == 1
