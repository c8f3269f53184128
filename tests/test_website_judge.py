"""The judge page without a browser: what is shown and hidden, what is stored, and what is refused in which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from judging_world import everybody
from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

MALICE = "<script>alert(1)</script>"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def batch(services: SiteServices) -> int:
    from website_judging import make_batch

    return services.store.call(make_batch, 12)


def url_in(page: str) -> str:
    found = re.search(r'data-url="([^"]+)"', page)
    assert found, page
    return found[1]


def open_pair(who: Any, batch: int) -> str:
    answer = who.get(f"/judge/{batch}/")
    assert answer.status_code == 200
    return url_in(answer.content.decode())


def standing(services: SiteServices, **conditions: Any) -> list[tuple[str, str, str]]:
    """What holds: type, choice or value, text."""
    from talkalike.store.tables import judging_tables

    def rows() -> list[tuple[str, str, str]]:
        held = judging_tables.Judgement.objects.filter(ended_at=None, **conditions).order_by("id")
        return [(row.type, row.choice or str(row.value or ""), row.text) for row in held]

    return services.store.call(rows)


def test_a_pair_is_shown_whole_and_without_names(person: Callable[..., Any], batch: int) -> None:
    page = person("judge").get(f"/judge/{batch}/").content.decode()
    assert "by the one" in page and "by the other" in page and page.count("And a second message!") >= 2
    assert re.search(r"Question \d+, line 3", page)
    assert "anna-3" not in page and ">base<" not in page
    assert "0 of 12 today" in page


def test_a_choice_without_a_script_is_stored_and_leads_back_to_the_pair(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    page = who.get(url).content.decode()
    left = re.search(r'id="reply-left".*?Reply \d+ by (the one|the other)', page, re.S)
    assert left
    answer = who.post(f"{url}vote/", {"choice": "left", "seconds": ""})
    assert (answer.status_code, answer.headers["Location"]) == (303, url)
    page = who.get(url).content.decode()
    assert (
        "Saved: reply 1 is better." in page
        and 'id="choose-left" name="choice" value="left" aria-pressed="true"' in page
    )
    # "a" is the first model by construction, whichever side it stood on.
    assert standing(services) == [("comparison", "a" if left[1] == "the one" else "b", "")]
    assert "1 of 12 today" in page


def test_the_next_pair_comes_with_the_answer_where_one_wants_to_go_on(person: Callable[..., Any], batch: int) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    part = who.post(f"{url}vote/", {"choice": "tie", "go_on": "on"}, headers=HTMX).content.decode()
    assert "<html" not in part and "Saved: a tie." in part
    assert url_in(part) != url and "checked" in part.split("Next pair automatically")[0][-90:]
    back = who.get(url).content.decode()
    assert 'value="tie" aria-pressed="true"' in back


def test_many_that_are_left_are_not_counted(
    person: Callable[..., Any], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from talkalike.store.judging import serving

    monkeypatch.setattr(serving, "MANY", 11)
    who = person("judge")
    assert "0 today, 11 or more are left" in who.get(f"/judge/{batch}/").content.decode()
    for _ in range(2):
        who.post(f"{open_pair(who, batch)}vote/", {"choice": "skip"})
    assert "2 today, 11 or more are left" in who.get(f"/judge/{batch}/").content.decode()  # a skip judges nothing


def test_going_back_changes_the_choice_and_counts_once(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    for choice in ("left", "left", "skip", "both_bad"):
        assert who.post(f"{url}vote/", {"choice": choice}).status_code == 303
    assert standing(services) == [("comparison", "both_bad", "")]
    assert "1 of 12 today" in who.get(url).content.decode()


def test_undo_takes_back_one_step_after_the_other(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    who.post(f"{url}vote/", {"choice": "tie"})
    who.post(f"{url}rate/", {"side": "left", "helpful": "2"})
    pair = url.split("/")[3]
    undo = {"pair": pair, "again": "0"}
    said = [who.post(f"/judge/{batch}/undo/", undo, headers=HTMX).content.decode() for _ in range(3)]
    assert "Taken back: 2 of 5 for “helpful”." in said[0]
    assert "Taken back: a tie." in said[1] and url_in(said[1]) == url and "data-given" not in said[1]
    assert "There is nothing to undo." in said[2]
    assert standing(services) == []
    assert open_pair(who, batch) == url  # it is asked again


def test_ratings_corrections_and_flags_are_saved_for_the_reply_they_stand_at(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    assert b"Saved: your rating" in who.post(f"{url}rate/", {"side": "left", "honest": "5"}, headers=HTMX).content
    assert who.post(f"{url}rate/", {"side": "right", "sounds_like_me": "1", "harmless": "4"}).status_code == 303
    assert who.post(f"{url}correct/", {"side": "right", "text": "better\r\nstill"}).status_code == 303
    assert who.post(f"{url}flag/", {"side": "left", "reason": MALICE}).status_code == 303
    assert sorted(standing(services)) == [
        ("correction", "", "better\nstill"),
        ("flag", "", MALICE),
        ("rating", "1", ""),
        ("rating", "4", ""),
        ("rating", "5", ""),
    ]
    page = who.get(url).content.decode()
    assert MALICE not in page and "&lt;script&gt;alert(1)" in page
    left, right = page.split('id="reply-right"')
    assert 'name="honest" value="5" checked' in left and 'name="harmless" value="4" checked' in right
    assert "better\nstill</textarea>" in right and "better\nstill" not in left


@pytest.mark.parametrize("text", ["🎉🎉", "x" * 100_000])
def test_odd_corrections_are_kept_whole(
    person: Callable[..., Any], services: SiteServices, batch: int, text: str
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    assert who.post(f"{url}correct/", {"side": "left", "text": text}).status_code == 303
    assert standing(services) == [("correction", "", text)]


@pytest.mark.parametrize(
    ("what", "form", "words"),
    [
        ("vote", {"choice": "a"}, "choice does not exist"),
        ("vote", {}, "choice does not exist"),
        ("rate", {"side": "left", "helpful": "6"}, "from 1 to 5"),
        ("rate", {"side": "left", "helpful": "12"}, "from 1 to 5"),
        ("rate", {"side": "left"}, "from 1 to 5"),
        ("rate", {"side": "up", "helpful": "1"}, "not there any more"),
        ("correct", {"side": "left", "text": " \n"}, "needs a text"),
        ("correct", {"side": "left", "text": "x" * 200_001}, "Shorten it"),
        ("flag", {"side": "left", "reason": ""}, "needs a text"),
    ],
)
def test_what_cannot_be_taken_is_said_in_words(
    person: Callable[..., Any], services: SiteServices, batch: int, what: str, form: dict[str, str], words: str
) -> None:
    who = person("judge")
    url = open_pair(who, batch)
    answer = who.post(f"{url}{what}/", form)
    assert answer.status_code in (400, 404) and words in answer.content.decode()
    assert standing(services) == []


def test_nobody_judges_what_was_given_to_others(person: Callable[..., Any], services: SiteServices, batch: int) -> None:
    one, two = person("judge", name="one"), person("judge", name="two")
    url = open_pair(one, batch)
    assert open_pair(two, batch) != url
    assert two.get(url).status_code == 404
    for what, form in {
        "vote": {"choice": "tie"},
        "rate": {"side": "left", "helpful": "1"},
        "correct": {"side": "left", "text": "x"},
        "flag": {"side": "left", "reason": "x"},
    }.items():
        answer = two.post(f"{url}{what}/", form)
        assert answer.status_code == 404 and "not given to you" in answer.content.decode()
    again = url.removesuffix("0/") + "1/"
    assert one.post(f"{again}vote/", {"choice": "tie"}).status_code == 404  # nobody asked a second time
    assert one.post(f"/judge/{batch + 1}/{url.split('/')[3]}/0/vote/", {"choice": "tie"}).status_code == 404
    assert standing(services) == []
    assert two.post(f"/judge/{batch}/undo/", {"pair": url.split("/")[3]}, headers=HTMX).status_code == 200


def test_a_vote_for_a_reply_that_vanished_is_refused_and_the_rest_goes_on(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    from django.utils import timezone

    from talkalike.store.tables import judging_tables as tables

    who = person("judge")
    url = open_pair(who, batch)
    number = int(url.split("/")[3])

    def forget() -> None:
        item = tables.Pair.objects.get(id=number).a_id
        tables.Item.objects.filter(id=item).update(gone_at=timezone.now(), messages=[], context=[])

    services.store.call(forget)
    answer = who.post(f"{url}vote/", {"choice": "left"}, headers=HTMX)
    assert answer.status_code == 400 and "no longer there" in answer.content.decode()
    assert standing(services) == []
    assert open_pair(who, batch) != url


def test_after_closing_and_after_the_names_nothing_is_taken(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    who, owner = person("judge"), person("owner")
    first = open_pair(who, batch)
    who.post(f"{first}vote/", {"choice": "right"})
    second = open_pair(who, batch)
    owner.post(f"/judge/batches/{batch}/close/")
    for what, form in {"vote": {"choice": "tie"}, "rate": {"side": "left", "helpful": "1"}}.items():
        assert "This batch is closed." in who.post(f"{second}{what}/", form).content.decode()
    assert "closed for now" in who.get(f"/judge/{batch}/").content.decode()
    owner.post(f"/judge/batches/{batch}/reopen/")
    assert who.post(f"{second}vote/", {"choice": "tie"}).status_code == 303
    assert who.post(f"/judge/{batch}/reveal/").status_code == 400  # pairs wait for somebody
    assert "anna-3" not in who.get(first).content.decode()
    owner.post(f"/judge/batches/{batch}/reveal/")
    for what, form in {"vote": {"choice": "tie"}, "correct": {"side": "left", "text": "x"}}.items():
        assert "names" in who.post(f"{second}{what}/", form).content.decode()
    undone = who.post(f"/judge/{batch}/undo/", {"pair": second.split("/")[3], "again": "0"})
    assert undone.status_code == 400
    assert [choice for _, choice, _ in standing(services)][1:] == ["tie"]
    page = who.get(first).content.decode()
    assert 'id="vote"' not in page and "can no longer be judged" in page
    left, right = page.split('id="reply-right"')
    names = {"the one": "anna-3", "the other": "base"}
    for side in (left, right):
        writer = re.search(r"Reply \d+ by (the one|the other)", side)
        assert writer and f'<span class="badge">{names[writer[1]]}</span>' in side
    assert "Reply 1" not in who.get(f"/judge/{batch}/").content.decode()
    assert "anna-3" in who.get(f"/judge/{batch}/").content.decode()


def test_a_judge_reveals_once_nothing_waits(person: Callable[..., Any], services: SiteServices) -> None:
    from website_judging import make_batch

    batch = services.store.call(make_batch, 2, seed=3)
    people = [person("judge", name=f"judge {n}") for n in range(2)]
    for who in people:
        for _ in range(3):
            page = who.get(f"/judge/{batch}/").content.decode()
            if 'id="vote"' in page:
                who.post(f"{url_in(page)}vote/", {"choice": "left"})
    assert "Every pair of this batch is judged" in people[0].get(f"/judge/{batch}/").content.decode()
    assert people[0].post(f"/judge/{batch}/reveal/").status_code == 303
    assert "the models' names are shown" in people[1].get(f"/judge/{batch}/").content.decode()


def test_a_blocked_judge_is_refused(guest: Callable[[str], Any], services: SiteServices, batch: int) -> None:
    from talkalike.store.judging import judges

    who = guest("judge")
    url = open_pair(who, batch)
    for row in services.store.call(everybody):
        services.store.call(judges.set_blocked, row.id, True)
    assert who.post(f"{url}vote/", {"choice": "tie"}).status_code in (302, 401, 403)
    assert standing(services) == []


def test_strangers_viewers_and_forged_forms_change_nothing(
    person: Callable[..., Any], services: SiteServices, batch: int
) -> None:
    assert person().get("/judge/").status_code == 302
    assert person("viewer").get("/judge/").status_code == 403
    who = person("judge", csrf=True)
    url = open_pair(who, batch)
    assert who.post(f"{url}vote/", {"choice": "tie"}).status_code == 403
    assert who.get(f"{url}vote/").status_code == 405
    for address in ("/judge/batches/", f"/judge/batches/{batch}/reveal/"):
        assert who.get(address).status_code == 403
    assert standing(services) == []


def test_consent_is_asked_and_kept(person: Callable[..., Any], services: SiteServices) -> None:

    who = person("judge")
    assert who.post("/judge/consent/", {"agreed": "yes"}).status_code == 303
    assert [row.consent for row in services.store.call(everybody)] == [True]
    who.post("/judge/consent/", {"agreed": "no"})
    assert [row.consent for row in services.store.call(everybody)] == [False]


def test_the_owner_makes_batches_from_stored_replies(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.store.judging import pairs
    from website_judging import MODELS, stored

    owner = person("owner")
    assert "There are no stored replies to compare yet" in owner.get("/judge/batches/").content.decode()

    def fill() -> None:
        for number in range(5):
            for model in (*MODELS, MALICE):
                stored(number, model, messages=(f"{number} {model}",))

    services.store.call(fill)
    page = owner.get("/judge/batches/").content.decode()
    assert "anna-3 (5 replies)" in page and MALICE not in page
    alone = owner.post("/judge/batches/", {"name": "x", "models": ["base"], "count": "3"})
    assert alone.status_code == 400 and "no two replies to the same messages" in alone.content.decode()
    made = owner.post("/judge/batches/", {"name": "Second", "models": list(MODELS), "count": "40"}, follow=True)
    assert "A batch with 5 pairs was made. You asked for 40; there are no more." in made.content.decode()
    made = owner.post("/judge/batches/", {"name": "Third", "models": [*MODELS, MALICE], "count": "7"}, follow=True)
    assert "A batch with 7 pairs" in made.content.decode()
    assert [(row.name, row.pairs) for row in services.store.call(pairs.batches)] == [("Third", 7), ("Second", 5)]
    assert owner.post("/judge/batches/", {"name": "x", "models": ["nobody"], "count": "3"}).status_code == 400


def test_each_context_gives_one_pair_before_any_gives_two() -> None:
    from talkalike.website.judge.making import choose_pairs

    groups = [{"a": [1, 2], "b": [3]}, {"a": [4], "b": [5], "c": [6]}, {"a": [7, 8]}]
    for seed in range(20):
        chosen = choose_pairs(groups, 2, same_model=False, seed=seed)
        assert {min(pair) > 3 for pair in chosen} == {False, True}
        assert sorted(choose_pairs(groups, 99, same_model=False, seed=seed)) == [(1, 3), (2, 3), (4, 5), (4, 6), (5, 6)]
    assert {(1, 2), (7, 8)} < set(choose_pairs(groups, 99, same_model=True, seed=1))


def test_long_contexts_and_messages_are_folded_and_nothing_is_cut(
    person: Callable[..., Any], services: SiteServices
) -> None:
    from talkalike.store.judging import pairs
    from website_judging import MODELS, stored

    def fill() -> int:
        batch = pairs.make_batch("long", seed=1)
        a = stored(1, MODELS[0], turns=30, messages=("word " * 20_000 + "end of it",))
        pairs.make_pair(a, stored(1, MODELS[1], turns=30, messages=(MALICE,)), batch)
        return batch

    page = person("judge").get(f"/judge/{services.store.call(fill)}/").content.decode()
    folded = page.split("24 messages before that")[1].split("</details>")[0]
    assert "line 24?" in folded and "line 25?" not in folded and "line 30?" in page
    assert "end of it</div>" in page and MALICE not in page


def test_the_home_page_says_what_waits(person: Callable[..., Any], batch: int) -> None:
    who = person("judge")
    assert "Judge: First tries" in who.get("/").content.decode()
    assert "Judge: First tries" not in person("viewer").get("/").content.decode()


def test_pages_weigh_little_and_have_nothing_inline(person: Callable[..., Any], batch: int) -> None:
    owner = person("owner")
    for address in ("/judge/", f"/judge/{batch}/", "/judge/batches/"):
        page = owner.get(address).content
        assert not re.search(rb"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", page), address
        static = set(re.findall(r'"(/static/[^"]+)"', page.decode()))
        assert len(page) + sum(len(owner.get(file).content) for file in static) < 150_000
        ids = re.findall(rb'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), address
