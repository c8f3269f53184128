"""Accounts, log-in and its limit, passwords, invitations, and the admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from judging_world import everybody
from talkalike.errors import UserError
from talkalike.store import rules
from talkalike.store.judging import judges
from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

PASSWORD = "correct horse battery 9"


def log_in(client: Any, name: str, password: str = PASSWORD, **headers: str) -> Any:
    return client.post("/login/", {"username": name, "password": password}, **headers)


@pytest.fixture
def quick_passwords() -> Any:
    """A hash that is quick to make, where a test logs in often. What is tested is not the hash."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


# ------------------------------------------------------------------------------------------------------------ accounts
def test_the_first_owner_is_made_with_a_password_of_their_own(
    services: SiteServices, person: Callable[..., Any]
) -> None:
    from talkalike.website.accounts import has_owner, make_owner

    call = services.store.call
    assert not call(has_owner)
    for weak in ("short1!", "password123", "839201748392", "anna-maria9"):
        with pytest.raises(UserError, match=r"password"):
            call(make_owner, "anna-maria", weak)
    with pytest.raises(UserError, match="valid username"):
        call(make_owner, "an na <b>", PASSWORD)
    assert not call(has_owner)
    assert call(make_owner, "anna-maria", PASSWORD) and call(has_owner)
    client = person()
    assert log_in(client, "anna-maria").headers["Location"] == "/"
    assert "Hello, anna-maria" in client.get("/").content.decode()
    assert client.get("/admin/").status_code == 200

    assert not call(make_owner, "ANNA-MARIA", f"{PASSWORD} new")  # the same person
    assert "Hello, anna-maria" not in client.get("/").content.decode()  # a new password ends old sessions
    assert log_in(person(), "anna-maria").status_code == 200  # the form again
    assert log_in(person(), "anna-maria", f"{PASSWORD} new").status_code == 302


def test_nobody_becomes_owner_by_taking_a_judges_name(services: SiteServices, person: Callable[..., Any]) -> None:
    from talkalike.website.accounts import make_owner

    person("judge", name="bo")
    with pytest.raises(UserError, match="not an owner's"):
        services.store.call(make_owner, "Bo", PASSWORD)


@pytest.mark.usefixtures("quick_passwords")
def test_wrong_passwords_are_limited_by_name_and_address(services: SiteServices, person: Callable[..., Any]) -> None:
    from talkalike.website.accounts import FOR_ACCOUNT, make_owner

    services.store.call(make_owner, "anna", PASSWORD)
    client = person()
    assert [log_in(client, "Anna ", "wrong").status_code for _ in range(FOR_ACCOUNT)] == [200] * FOR_ACCOUNT
    refused = log_in(client, "anna")  # the right one, too late
    assert refused.status_code == 429 and 0 < int(refused.headers["Retry-After"]) <= 15 * 60
    assert "15 minutes" in refused.content.decode()
    assert log_in(client, "anna", HTTP_X_FORWARDED_FOR="203.0.113.9").status_code == 429  # anybody can say that
    assert log_in(client, "bo", "wrong").status_code == 200  # another name
    assert log_in(client, "anna", REMOTE_ADDR="203.0.113.9").status_code == 302  # the owner, from elsewhere


@pytest.mark.usefixtures("quick_passwords")
def test_one_address_cannot_try_many_names(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.website.accounts import FOR_ADDRESS

    codes = [log_in(person(), f"name{number}", "wrong").status_code for number in range(FOR_ADDRESS + 1)]
    assert codes == [200] * FOR_ADDRESS + [429]
    assert log_in(person(), "name0", "wrong", REMOTE_ADDR="203.0.113.9").status_code == 200


def test_tries_at_the_same_moment_are_all_counted(services: SiteServices) -> None:
    from django.utils import timezone

    from talkalike.website.accounts import FOR_ACCOUNT, WINDOW, begin_attempt, forget_failures

    now = timezone.now()
    with ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(services.store.call, begin_attempt, "anna", "::1", now) for _ in range(40)]
    assert sum(one.result()[0] is not None for one in tries) == FOR_ACCOUNT
    begin = services.store.call
    assert begin(begin_attempt, "anna", "::1", now + WINDOW / 2)[1] == pytest.approx(WINDOW.total_seconds() / 2, abs=1)
    assert begin(begin_attempt, "anna", "::1", now + WINDOW + timedelta(seconds=1))[0] is not None  # it renews
    services.store.call(forget_failures, "anna", "::1")
    assert begin(begin_attempt, "anna", "::1", now)[0] is not None


def test_failures_are_kept_without_names_or_addresses(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.website.models import LoginAttempt

    log_in(person(), "somebody-else", "wrong")
    (row,) = services.store.call(lambda: list(LoginAttempt.objects.values_list("account", "address")))
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in row)


@pytest.mark.usefixtures("quick_passwords")
def test_logging_in_leads_back_but_never_elsewhere(services: SiteServices, person: Callable[..., Any]) -> None:
    from talkalike.website.accounts import make_owner

    services.store.call(make_owner, "anna", PASSWORD)
    form = {"username": "anna", "password": PASSWORD}
    assert person().post("/login/", {**form, "next": "/invitations/"}).headers["Location"] == "/invitations/"
    for elsewhere in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "http:///evil.example"):
        assert person().post("/login/", {**form, "next": elsewhere}).headers["Location"] == "/"


@pytest.mark.usefixtures("quick_passwords")
def test_a_log_in_changes_the_session_and_its_cookie_is_guarded(
    services: SiteServices, person: Callable[..., Any]
) -> None:
    from talkalike.website.accounts import make_owner

    services.store.call(make_owner, "anna", PASSWORD)
    client = person()
    client.cookies["talkalike_session"] = "a" * 32  # somebody else chose it
    cookie = log_in(client, "anna").cookies["talkalike_session"]
    assert cookie.value != "a" * 32
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    kept = cookie.value
    assert client.get("/logout/").status_code == 405  # a link cannot log anybody out
    client.post("/logout/")
    client.cookies["talkalike_session"] = kept
    assert "Hello, anna" not in client.get("/").content.decode()


@pytest.mark.usefixtures("quick_passwords")
def test_changing_the_password_keeps_this_browser_and_ends_others(
    services: SiteServices, person: Callable[..., Any]
) -> None:
    from talkalike.website.accounts import make_owner

    services.store.call(make_owner, "anna", PASSWORD)
    here, elsewhere = person(), person()
    log_in(here, "anna")
    log_in(elsewhere, "anna")
    form = {"old_password": PASSWORD, "new_password1": "tiny", "new_password2": "tiny"}
    assert "too short" in here.post("/password/", form).content.decode()
    fresh = "another horse 7 battery"
    form = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    assert "Your password was changed." in here.post("/password/", form, follow=True).content.decode()
    assert "Hello, anna" in here.get("/").content.decode()
    assert "Hello, anna" not in elsewhere.get("/").content.decode()


def test_somebody_switched_off_is_out_at_once(person: Callable[..., Any], services: SiteServices) -> None:
    from django.contrib.auth.models import User

    judge, other = person("judge", name="bo"), person("judge", name="cy")
    services.store.call(lambda: User.objects.filter(username="bo").update(is_active=False))
    assert "Hello, bo" not in judge.get("/").content.decode()
    assert "Hello, cy" in other.get("/").content.decode()


# --------------------------------------------------------------------------------------------------------- invitations
def made_link(owner: Any, **form: str) -> str:
    page = owner.post("/invitations/", {"role": "judge", "uses": "1", "days": "1", **form}).content.decode()
    found = re.search(r'value="http://localhost(/invite/[\w-]{43}/)"', page)
    assert found, page
    return found[1]


def test_a_link_lets_in_without_an_account(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.website.access import Role
    from talkalike.website.visitors import find_visitor

    link = made_link(person("owner"), uses="2")
    friend, second, third = person(), person(), person()
    for _ in range(5):
        assert "You are invited" in friend.get(link).content.decode()  # looking takes no use
    assert friend.post(link).headers["Location"] == "/"
    page = friend.get("/").content.decode()
    assert "Leave" in page and "Log in" not in page
    assert friend.post(link).headers["Location"] == "/"  # once more takes no use either
    assert second.post(link).status_code == 303
    assert third.post(link).status_code == 403 and third.get(link).status_code == 403
    guests = services.store.call(everybody)[1:]  # the first is the owner who invited
    assert len({guest.pseudonym for guest in guests}) == len(guests) == 2

    request = friend.get("/").wsgi_request
    visitor = find_visitor(request)
    assert (visitor.key, visitor.roles) == (f"guest:{guests[0].id}", frozenset({Role.JUDGE, Role.GUESSER}))
    friend.post("/logout/")
    assert "Log in" in friend.get("/").content.decode()


def test_forged_expired_and_revoked_links_are_refused_alike(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.store.judging.models import Invitation

    owner, stranger = person("owner"), person()
    good, expired, revoked = (made_link(owner) for _ in range(3))
    rows = {row.id: row for row in services.store.call(judges.all_invitations)}
    newest = max(rows)
    assert owner.post(f"/invitations/{newest}/revoke/").status_code == 303
    past = rows[newest - 1].made_at - timedelta(days=1)
    services.store.call(lambda: Invitation.objects.filter(id=newest - 1).update(expires_at=past))
    forged = f"{good[:-2]}{'A' if good[-2] != 'A' else 'B'}/"
    pages = set()
    for link in (expired, revoked, forged, "/invite/x/", f"/invite/{'a' * 5000}/", "/invite/%00%ff/"):
        for answer in (stranger.get(link), stranger.post(link)):
            assert answer.status_code == 403, link
            pages.add(re.sub(r'"X-CSRFToken": "\w+"', "", answer.content.decode()))
    assert len(pages) == 1  # nothing tells a forger how near they were
    assert stranger.get(good).status_code == 200
    listed = owner.get("/invitations/").content.decode()
    assert re.findall(r"<td data-label=\"State\">(open|expired|revoked|used up)</td>", listed) == [
        "revoked",
        "expired",
        "open",
    ]


def test_the_link_itself_is_stored_nowhere(person: Callable[..., Any], services: SiteServices) -> None:
    owner = person("owner")
    token = made_link(owner).split("/")[2].encode()
    assert token not in owner.get("/invitations/").content
    services.store.close()
    files = list(services.root.glob("site.sqlite3*"))
    assert files and not any(token in file.read_bytes() for file in files)


def test_nobody_is_made_owner_by_a_link(person: Callable[..., Any], services: SiteServices) -> None:
    refused = person("owner").post("/invitations/", {"role": "owner", "uses": "1", "days": "1"})
    assert refused.status_code == 400 and "/invite/" not in refused.content.decode()
    token, _ = services.store.call(judges.invite, judges.Group.OWNER, by=None)
    client = person()
    client.post(f"/invite/{token}/")
    assert client.get("/invitations/").status_code == 403
    assert client.get("/admin/", follow=True).status_code == 403


@pytest.mark.parametrize(
    "form", [{"uses": "0"}, {"uses": "10001"}, {"days": "0"}, {"days": "366"}, {"note": "x" * 201}]
)
def test_invitations_have_bounds(person: Callable[..., Any], form: dict[str, str]) -> None:
    answer = person("owner").post("/invitations/", {"role": "judge", "uses": "1", "days": "1", **form})
    assert answer.status_code == 400 and 'class="problem-text"' in answer.content.decode()


def test_a_blocked_guest_is_out_and_a_logged_in_person_takes_no_use(
    person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices
) -> None:
    first, second = guest("judge"), guest("judge")
    number = services.store.call(everybody)[0].id
    services.store.call(judges.set_blocked, number, True)
    assert "Leave" not in first.get("/").content.decode()
    assert "Leave" in second.get("/").content.decode()
    owner = person("owner")
    link = made_link(owner)
    assert owner.post(link).headers["Location"] == "/"
    assert services.store.call(judges.all_invitations)[0].used == 0


def test_who_people_judge_as(person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices) -> None:
    from django.core.exceptions import PermissionDenied

    from talkalike.website.visitors import judge_of

    account, other, friend = person("judge", name="bo"), person("judge", name="cy"), guest("judge")
    seen = [judge_of(client.get("/").wsgi_request) for client in (account, other, friend, account)]
    assert seen[0] == seen[3] and len({judge.id for judge in seen}) == 3
    assert not any("bo" in judge.pseudonym for judge in seen)
    with pytest.raises(PermissionDenied):
        judge_of(person().get("/").wsgi_request)
    services.store.call(judges.set_blocked, seen[0].id, True)
    with pytest.raises(PermissionDenied):
        judge_of(account.get("/").wsgi_request)


# --------------------------------------------------------------------------------------------------------------- admin
RULE = {"server_id": "7", "subject": "user", "subject_id": "5", "kind": "level", "value": "2", "as_loaded": ""}


def test_every_table_can_be_looked_at(person: Callable[..., Any]) -> None:
    from django.apps import apps

    owner = person("owner")
    tables = list(apps.get_app_config("store").get_models())
    assert len(tables) > 10
    for table in tables:
        assert owner.get(f"/admin/store/{table._meta.model_name}/").status_code == 200
    names = re.findall(r'<a href="/admin/store/\w+/">([^<]+)</a>', owner.get("/admin/").content.decode())
    assert {"Batches", "Guesses", "People", "Replies", "Tallies", "Usage"} <= set(names) and len(names) == len(tables)
    assert not [name for name in names if name.endswith(("chs", "ys", "sss", "Persons"))]
    assert owner.get("/admin/store/reply/add/").status_code == 403
    assert owner.get("/admin/store/permissionchange/add/").status_code == 403


def test_rules_are_changed_as_the_bot_does_it_with_their_history(
    person: Callable[..., Any], services: SiteServices
) -> None:
    owner = person("owner")
    assert owner.post("/admin/store/permissionrule/add/", RULE).status_code == 302
    assert [int(rule.level or 0) for rule in services.store.call(rules.rules_of, 7)] == [2]
    page = owner.get("/admin/store/permissionrule/1/change/").content.decode()
    as_loaded = re.search(r'name="as_loaded" value="(\w+)"', page)
    assert as_loaded
    change = {"value": "3", "as_loaded": as_loaded[1]}
    assert owner.post("/admin/store/permissionrule/1/change/", change).status_code == 302
    assert [int(rule.level or 0) for rule in services.store.call(rules.rules_of, 7)] == [3]
    assert owner.post("/admin/store/permissionrule/1/delete/", {"post": "yes"}).status_code == 302
    assert services.store.call(rules.rules_of, 7) == ()
    history = services.store.call(rules.history, 7)
    assert [(one.removed, int(one.previous or 0)) for one in history] == [(True, 3), (False, 2), (False, 0)]


def test_two_who_edit_one_rule_do_not_overwrite_each_other(person: Callable[..., Any], services: SiteServices) -> None:
    first, second = person("owner", name="anna"), person("owner", name="bo")
    first.post("/admin/store/permissionrule/add/", RULE)
    as_loaded = [
        re.search(r'name="as_loaded" value="(\w+)"', who.get("/admin/store/permissionrule/1/change/").content.decode())
        for who in (first, second)
    ]
    forms = [{"value": value, "as_loaded": found[1]} for value, found in zip("31", as_loaded, strict=True) if found]
    assert first.post("/admin/store/permissionrule/1/change/", forms[0]).status_code == 302
    clash = second.post("/admin/store/permissionrule/1/change/", forms[1])
    assert clash.status_code == 200 and "Somebody else changed this" in clash.content.decode()
    assert [int(rule.level or 0) for rule in services.store.call(rules.rules_of, 7)] == [3]


@pytest.mark.parametrize(
    "wrong", [{"kind": "access", "value": "3"}, {"value": "4"}, {"subject": "nobody"}, {"value": "x"}]
)
def test_what_is_no_rule_is_not_saved(
    person: Callable[..., Any], services: SiteServices, wrong: dict[str, str]
) -> None:
    answer = person("owner").post("/admin/store/permissionrule/add/", {**RULE, **wrong})
    assert answer.status_code == 200 and "errornote" in answer.content.decode()
    assert services.store.call(rules.all_rules) == ()
