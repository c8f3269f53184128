"""The frame of the site: headers, hosts, forms, error pages, access rules, the first page, static files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

MALICE = "<script>alert(1)</script>"
INLINE = re.compile(rb"<script(?![^>]*\bsrc=)(?![^>]*application/json)|\son[a-z]+=|\sstyle=|<style|javascript:", re.I)


def every_view(patterns: Any = None) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The views of the site with their addresses; the admin's are Django's."""
    from django.urls import get_resolver

    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if hasattr(pattern, "url_patterns"):
            if pattern.app_name != "admin":
                yield from every_view(pattern.url_patterns)
        else:
            yield str(pattern.pattern), pattern.callback


def test_every_view_says_who_may_use_it() -> None:
    from talkalike.website.access import RULE

    views = dict(every_view())
    assert {"login/", "health", "invitations/"} <= set(views)
    assert [address for address, view in views.items() if not hasattr(view, RULE)] == []


def test_a_view_without_a_rule_is_refused(person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from talkalike.website import access, frame

    monkeypatch.delattr(frame.robots, access.RULE)
    assert person().get("/robots.txt").status_code == 403
    assert person("owner").get("/robots.txt").status_code == 403


def test_strangers_see_the_first_page_and_nothing_else(person: Callable[..., Any]) -> None:
    stranger = person()
    assert "Nobody can log in yet" in stranger.get("/").content.decode()
    for address in ("/password/", "/invitations/", "/invitations/1/revoke/"):
        answer = stranger.get(address)
        assert (answer.status_code, answer.headers["Location"][:12]) == (302, "/login/?next")
        assert stranger.post(address).headers["Location"] == "/login/?sent=1"
    assert stranger.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/login/")


def test_htmx_is_sent_to_the_log_in_as_a_whole(person: Callable[..., Any]) -> None:
    """And comes back to the page that htmx works for; never to another site's."""
    for page, back in (
        ("http://localhost/chat/?q=x", "/login/?next=%2Fchat%2F%3Fq%3Dx"),
        ("http://evil.example/chat/", "/login/"),
        ("", "/login/"),
    ):
        answer = person().get("/invitations/", headers={"HX-Request": "true", "HX-Current-URL": page})
        assert (answer.status_code, answer.headers["X-Log-In"]) == (401, back)
    sent = person().post("/password/", headers={"Referer": "http://localhost/password/"})
    assert sent.headers["Location"] == "/login/?next=%2Fpassword%2F&sent=1"
    assert "was not stored" in person().get(sent.headers["Location"]).content.decode()


def test_roles_open_what_is_theirs_only(person: Callable[..., Any], guest: Callable[[str], Any]) -> None:
    for who in (person("judge"), person("viewer"), guest("judge"), guest("viewer")):
        assert who.get("/invitations/").status_code == 403
        assert who.get("/admin/", follow=True).status_code == 403
        assert b"/admin/" not in who.get("/").content
    owner = person("owner")
    assert owner.get("/invitations/").status_code == 200
    assert owner.get("/admin/").status_code == 200
    assert b"/admin/" in owner.get("/").content


def test_navigation_shows_only_what_may_be_opened(person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from talkalike.website import pages
    from talkalike.website.access import Role

    one = pages.PagePackage(name="one", title="First page", roles=(Role.JUDGE,), does="")
    two = pages.PagePackage(name="two", title="Second page", roles=(Role.VIEWER, Role.GUESSER), does="")
    monkeypatch.setattr(pages, "PAGES", (one, two))
    seen = {
        group: re.findall(r"(First|Second) page</a></li>", person(group).get("/nothing/").content.decode())
        for group in ("owner", "judge", "viewer")
    }
    assert seen == {"owner": ["First", "Second"], "judge": ["First", "Second"], "viewer": ["Second"]}


def test_headers_stand_on_every_answer(person: Callable[..., Any]) -> None:
    who = person("owner")
    static = re.findall(r'"(/static/[^"]+)"', who.get("/").content.decode())
    assert len(static) >= 3
    for address in ("/", "/nothing/", "/health", "/invitations/", "/admin/", *static):
        headers = who.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
        assert headers["Referrer-Policy"] == "same-origin"


def test_no_page_has_anything_inline(person: Callable[..., Any]) -> None:
    owner = person("owner")
    user = owner.get("/admin/auth/user/").content
    number = re.search(rb"/admin/auth/user/(\d+)/change/", user)
    assert number
    pages = ["/", "/nothing/", "/password/", "/invitations/", "/admin/", "/admin/auth/user/", "/admin/auth/user/add/"]
    pages += ["/admin/store/permissionrule/add/", f"/admin/auth/user/{number[1].decode()}/change/"]
    for address in pages:
        assert INLINE.search(owner.get(address).content) is None, address
    assert INLINE.search(person().get("/login/").content) is None
    assert INLINE.search(b"<p onclick='x'>") and INLINE.search(b"<script>") and INLINE.search(b'<p style="x">')


def test_static_files_have_versions_and_are_kept_by_browsers(person: Callable[..., Any]) -> None:
    who = person()
    addresses = re.findall(r'"(/static/[^"]+)"', who.get("/").content.decode())
    weight = 0
    for address in set(addresses):
        answer = who.get(address)
        assert answer.status_code == 200 and "?v=" in address
        assert "max-age=86400" in answer.headers["Cache-Control"]
        again = who.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        weight += len(answer.content)
    assert 0 < weight < 100_000
    assert who.get("/static/website/../configure.py").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "", "a b"])
def test_other_hosts_are_refused_and_not_repeated(person: Callable[..., Any], host: str) -> None:
    answer = person().get("/login/", headers={"Host": host})
    assert answer.status_code == 400
    assert b"evil" not in answer.content and "evil" not in str(answer.headers)
    assert b"not understood" in answer.content


def test_a_proxys_word_about_the_host_is_not_taken(person: Callable[..., Any]) -> None:
    owner = person("owner")
    form = {"role": "judge", "uses": "1", "days": "1"}
    made = owner.post("/invitations/", form, headers={"X-Forwarded-Host": "evil.example"})
    assert re.search(r'value="http://localhost/invite/[\w-]{43}/"', made.content.decode())


def test_forms_from_elsewhere_change_nothing(person: Callable[..., Any]) -> None:
    owner = person("owner", csrf=True)
    form = {"role": "judge", "uses": "1", "days": "1", "note": "for Bo"}
    forged = owner.post("/invitations/", form)
    assert forged.status_code == 403 and "Nothing was changed" in forged.content.decode()
    assert owner.post("/logout/").status_code == 403
    page = owner.get("/invitations/").content.decode()
    assert "for Bo" not in page
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    foreign = {"Origin": "https://evil.example"}
    assert owner.post("/invitations/", {**form, "csrfmiddlewaretoken": token[1]}, headers=foreign).status_code == 403
    assert owner.post("/invitations/", {**form, "csrfmiddlewaretoken": token[1]}).status_code == 200
    by_htmx = owner.post("/logout/", headers={"X-CSRFToken": token[1], "HX-Request": "true"})
    assert (by_htmx.status_code, by_htmx.headers["HX-Redirect"]) == (204, "/")


def test_what_people_type_is_shown_as_text(person: Callable[..., Any], services: SiteServices) -> None:
    owner = person("owner", name=MALICE)
    made = owner.post("/invitations/", {"role": "judge", "uses": "1", "days": "1", "note": MALICE})
    assert made.status_code == 200
    for address in ("/", "/invitations/", f"/{MALICE}/", "/admin/", "/admin/store/invitation/", "/admin/auth/user/"):
        page = owner.get(address).content.decode()
        assert MALICE not in page, address
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in owner.get("/invitations/").content.decode()


def test_errors_are_pages_in_plain_words(
    person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from talkalike.errors import UserError
    from talkalike.store.store import StoreError
    from talkalike.website import frame

    who = person()
    who.raise_request_exception = False
    assert b"Nothing here" in who.get("/nothing/").content
    said: list[tuple[int, str]] = []
    problems = (UserError(f"No {MALICE}.", hint="Try."), StoreError("Disk full."), ZeroDivisionError("secret"))
    for problem in problems:

        def fail(_visitor: object, problem: Exception = problem) -> Any:
            raise problem

        monkeypatch.setattr(frame, "todo_of", fail)
        answer = who.get("/")
        page = answer.content.decode()
        assert "secret" not in page and MALICE not in page and "Traceback" not in page
        said.append((answer.status_code, re.search(r"<h1>(.*?)</h1>", page)[1]))  # type: ignore[index]
        part = who.get("/", headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in part and 'class="notice error"' in part
    assert said == [
        (400, "That did not work"),
        (503, "That did not work right now"),
        (500, "Sorry, this is our fault"),
    ]
    assert "ZeroDivisionError" in caplog.text


def test_health_tells_whether_the_database_answers(person: Callable[..., Any], services: SiteServices) -> None:
    from django.db import connection

    assert person().get("/health").json() == {"status": "ok"}
    connection.close()
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(services.root / "no folder" / "x.sqlite3")
    try:
        assert person().get("/health").status_code == 503
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


def test_pages_read_well_without_styles_and_for_readers(person: Callable[..., Any]) -> None:
    """One main heading, a language, a way past the navigation, and a label for every control."""
    owner = person("owner")
    for address in ("/", "/invitations/", "/password/"):
        page = owner.get(address).content.decode()
        assert page.count("<h1>") == 1 and '<html lang="en">' in page and 'href="#main"' in page
        ids = re.findall(r'<(?:input|select|textarea)(?![^>]*type="hidden")[^>]*\bid="([^"]+)"', page)
        labels = set(re.findall(r'<label for="([^"]+)"', page))
        assert set(ids) <= labels, address
