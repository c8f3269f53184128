"""The blind test without a browser: consent, pseudonyms, what is taken and refused, the result, the owner's page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from judging_world import everybody
from talkalike.website.services import SiteServices
from website_guessing import BASE, DOUBLE, make_round

pytest_plugins = ("website_site",)

MALICE = "<script>alert(1)</script>"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def number(services: SiteServices) -> int:
    return services.store.call(make_round, 4)


def begin(who: Any, number: int) -> str:
    answer = who.post(f"/guess/{number}/start/", {"agreed": "yes"}, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def form_of(page: str) -> dict[str, str]:
    found = re.search(r'name="asked" value="([^"]+)"', page)
    assert found, page
    return {"asked": found[1]}


def real_side(page: str) -> str:
    left, right = page.split('id="reply-right"')
    assert ("really said" in left) != ("really said" in right)
    return "left" if "really said" in left else "right"


def other(side: str) -> str:
    return "right" if side == "left" else "left"


def stored(services: SiteServices) -> list[tuple[int, bool]]:
    from talkalike.store.tables import judging_tables as tables

    return services.store.call(lambda: list(tables.Guess.objects.order_by("id").values_list("question_id", "right")))


def test_friends_agree_before_they_see_anything(
    guest: Callable[[str], Any], services: SiteServices, number: int
) -> None:

    friend = guest("judge")
    page = friend.get(f"/guess/{number}/").content.decode()
    assert "Before you start" in page and "4 questions" in page
    assert "really said" not in page and "question 0" not in page
    assert friend.post(f"/guess/{number}/start/").status_code == 400
    assert "really said" in begin(friend, number)
    assert [row.consent for row in services.store.call(everybody)] == [False]
    friend.post(f"/guess/{number}/start/", {"agreed": "yes", "learn": "yes"})
    assert [row.consent for row in services.store.call(everybody)] == [True]


def test_people_in_the_context_have_other_names(guest: Callable[[str], Any], number: int) -> None:
    page = begin(guest("judge"), number)
    assert "Friend 1" in page and "Friend 2" in page and "hm" in page
    body = page.split("<main")[1]
    assert "Ben" not in body and "Bold" not in body and "Cleo" not in body
    assert "to Friend 1" in body  # within the real reply as well
    assert DOUBLE not in page and BASE not in page


def test_all_questions_then_the_result(guest: Callable[[str], Any], services: SiteServices, number: int) -> None:
    friend = guest("judge")
    page = begin(friend, number)
    for turn in range(4):
        assert f"Question {turn + 1} of 4" in page and "taken for the real" not in page
        side = real_side(page) if turn == 0 else other(real_side(page))
        arm = "double" if "The double said" in page else "base"
        page = friend.post(f"/guess/{number}/guess/", form_of(page) | {"side": side}, headers=HTMX).content.decode()
        assert "<html" not in page and arm
    assert "You found the real one in <strong>1 of 4</strong>" in page
    assert "The double" in page and "The base model" in page and "<svg" in page
    votes = [int(n) for n in re.findall(r'<td class="number" data-label="Votes">(\d+)</td>', page)]
    assert sum(votes) == 4 and len(stored(services)) == 4
    again = friend.get(f"/guess/{number}/").content.decode()
    assert "1 of 4" in again and "the result so far" in again


def test_the_interval_is_wilsons(services: SiteServices) -> None:
    from talkalike.store.judging import guesses
    from talkalike.website.guess.showing import shown

    (line,) = shown((guesses.GuessResult(arm="base", model="b", taken_for_real=guesses.wilson(0, 100)),))
    assert (line.share, round(line.low, 1), round(line.high, 1), line.votes) == (0.0, 0.0, 3.7, 100)
    assert shown((guesses.GuessResult(arm="base", model="b", taken_for_real=guesses.wilson(0, 0)),)) == []


def test_voting_twice_keeps_the_first_answer(guest: Callable[[str], Any], services: SiteServices, number: int) -> None:
    friend = guest("judge")
    page = begin(friend, number)
    form, side = form_of(page), real_side(page)
    friend.post(f"/guess/{number}/guess/", form | {"side": side})
    answer = friend.post(f"/guess/{number}/guess/", form | {"side": other(side)}, follow=True)
    assert "Your first answer counts" in answer.content.decode()
    assert [right for _, right in stored(services)] == [True]


def test_a_guess_belongs_to_whoever_was_asked(
    guest: Callable[[str], Any], person: Callable[..., Any], services: SiteServices, number: int
) -> None:
    friend, foe = guest("judge"), person("judge", name="foe")
    second = services.store.call(make_round, 2, name="Another")
    form = form_of(begin(friend, number)) | {"side": "left"}
    begin(foe, number)
    forged = form | {"asked": form["asked"][:-2] + "xx"}
    for who, address, sent in (
        (foe, number, form),
        (friend, second, form),
        (friend, number, forged),
        (friend, number, {"side": "left"}),
        (friend, number, form | {"side": "up"}),
    ):
        answer = who.post(f"/guess/{address}/guess/", sent)
        assert answer.status_code == 400 and "Nothing was stored" in answer.content.decode()
    assert stored(services) == []


def test_after_closing_nothing_is_taken_and_the_result_stays(
    guest: Callable[[str], Any], person: Callable[..., Any], services: SiteServices, number: int
) -> None:
    friend, owner = guest("judge"), person("owner")
    page = begin(friend, number)
    page = friend.post(f"/guess/{number}/guess/", form_of(page) | {"side": "left"}, headers=HTMX).content.decode()
    assert owner.post(f"/guess/rounds/{number}/close/").status_code == 303
    late = friend.post(f"/guess/{number}/guess/", form_of(page) | {"side": "left"}, headers=HTMX)
    assert late.status_code == 400 and "This blind test is over" in late.content.decode()
    assert len(stored(services)) == 1
    assert "the result" in friend.get(f"/guess/{number}/").content.decode()
    assert owner.post("/guess/rounds/999/close/").status_code == 404
    assert friend.get("/guess/999/").status_code == 404


def test_a_reply_that_vanished_is_left_out(guest: Callable[[str], Any], services: SiteServices) -> None:
    from django.utils import timezone

    from talkalike.store.tables import judging_tables as tables

    number = services.store.call(make_round, 2, arms=("double",))
    friend = guest("judge")
    page = begin(friend, number)

    def forget() -> None:
        answered = tables.GuessQuestion.objects.filter(round_id=number).order_by("-id")[0]
        tables.Item.objects.filter(id=answered.other_id).update(gone_at=timezone.now(), messages=[], context=[])

    services.store.call(forget)
    page = friend.post(f"/guess/{number}/guess/", form_of(page) | {"side": "left"}, headers=HTMX).content.decode()
    assert "You found the real one in" in page


@pytest.mark.parametrize("token", ["x" * 43, "", "../../admin"])
def test_forged_invitations_let_nobody_in(person: Callable[..., Any], number: int, token: str) -> None:
    who = person()
    assert who.post(f"/invite/{token}/").status_code in (403, 404)
    assert who.get(f"/guess/{number}/").status_code == 302


def test_an_expired_invitation_lets_nobody_in(person: Callable[..., Any], services: SiteServices, number: int) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from talkalike.store.judging import judges
    from talkalike.store.tables import judging_tables as tables

    token, row = services.store.call(judges.invite, judges.Group.JUDGE, by=None)
    past = timezone.now() - timedelta(minutes=1)
    services.store.call(lambda: tables.Invitation.objects.filter(id=row.id).update(expires_at=past))
    who = person()
    answer = who.post(f"/invite/{token}/")
    assert answer.status_code == 403 and "is not valid" in answer.content.decode()
    assert who.get(f"/guess/{number}/").status_code == 302


def test_only_the_owner_sees_and_changes_rounds(
    guest: Callable[[str], Any], person: Callable[..., Any], services: SiteServices, number: int
) -> None:
    from talkalike.store.judging import guesses

    for who in (guest("judge"), person("judge")):
        assert who.get("/guess/rounds/").status_code == 403
        assert who.post(f"/guess/rounds/{number}/learn/").status_code == 403
        assert who.post("/guess/rounds/invite/").status_code == 403
    owner = person("owner")
    assert "exported nowhere" in owner.get("/guess/rounds/").content.decode()
    owner.post(f"/guess/rounds/{number}/learn/")
    assert [row.as_preferences for row in services.store.call(guesses.rounds)] == [True]
    owner.post(f"/guess/rounds/{number}/keep/")
    assert [row.as_preferences for row in services.store.call(guesses.rounds)] == [False]
    link = re.search(
        r'value="http://localhost(/invite/[\w-]{43}/)"', owner.post("/guess/rounds/invite/").content.decode()
    )
    assert link
    friend = person()
    assert friend.post(link[1]).status_code == 303
    assert "really said" in begin(friend, number)


def test_pages_escape_and_have_nothing_inline(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.store.judging import guesses
    from talkalike.store.judging.guesses import Writing

    def fill() -> int:
        made = guesses.make_round(MALICE)
        guesses.add_question(
            made, [(MALICE, MALICE)], "Anna", real=Writing(messages=(MALICE,)), other=Writing(messages=(MALICE, "b"))
        )
        return made

    number = services.store.call(fill)
    owner = person("owner")
    pages = [owner.get(address).content.decode() for address in ("/guess/", "/guess/rounds/", f"/guess/{number}/", "/")]
    pages.append(begin(owner, number))
    pages.append(
        owner.post(f"/guess/{number}/guess/", form_of(pages[-1]) | {"side": "left"}, follow=True).content.decode()
    )
    assert "the result so far" in pages[-1]
    for page in pages:
        assert MALICE not in page
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", page)
    assert "&lt;script&gt;" in pages[0]


def test_forms_from_elsewhere_change_nothing(person: Callable[..., Any], services: SiteServices, number: int) -> None:
    who = person("judge", csrf=True)
    for address in (f"/guess/{number}/start/", f"/guess/{number}/guess/"):
        assert who.post(address, {"agreed": "yes", "side": "left"}).status_code == 403
    assert stored(services) == []
