"""The site behind a proxy: under a path of its host, whose word is taken, and what is told where it is set up badly."""

from __future__ import annotations

import asyncio
import html
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.async_api import expect

from browser import open_browser
from chat_script import HANG
from reverse_proxy import Proxy, proxied
from talkalike.errors import UserError
from talkalike.settings import load_settings
from talkalike.website.services import SiteServices, SiteSettings
from website_chat_visits import Browser

pytest_plugins = ("website_site", "website_chat_site")

PASSWORD = "correct horse battery 9"
ADDRESSES = re.compile(r'\s(?:href|src|action|data-url|data-next|data-live|data-version|hx-get|hx-post)="([^"]+)"')
LEAVE = re.compile(r"/(logout|delete|export|csv)\b")  # walked by nobody: they end the walk, or are files


@asynccontextmanager
async def site(services: SiteServices, settings: SiteSettings) -> AsyncIterator[str]:
    from talkalike.engine.listening import address_of, open_socket
    from talkalike.website.site import run_site

    own = SiteServices(store=services.store, root=services.root, engines=services.engines, settings=settings)
    listening, stop, ready = open_socket("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    address = address_of(listening).rstrip("/")
    running = asyncio.create_task(run_site(own, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    try:
        yield address
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)


WAYS = {
    "set, and taken away by the proxy": ("/double", True, {}),
    "set, and passed on": ("/double", False, {}),
    "told by the proxy": ("", True, {"X-Forwarded-Prefix": "/double"}),
}


@asynccontextmanager
async def under_a_path(services: SiteServices, way: str) -> AsyncIterator[Proxy]:
    path, strips, adds = WAYS[way]
    settings = SiteSettings(name="Anna", behind_proxy=True, path=path)
    async with site(services, settings) as address, proxied(Proxy(address, strips=strips, adds=adds)) as proxy:
        yield proxy


async def walk(client: httpx.AsyncClient, start: str) -> set[str]:
    """Every page that can be reached by links, with all files they name; what is no page of ours fails."""
    waiting, seen = [start], set()
    top = urlsplit(start)
    while waiting:
        here = waiting.pop()
        answer = await client.get(here)
        where = urlsplit(str(answer.url)).path
        assert answer.status_code == 200, (here, answer.status_code)
        if "text/html" not in answer.headers["Content-Type"]:
            continue
        for found in ADDRESSES.findall(answer.text):
            target = urljoin(str(answer.url), html.unescape(found))
            parts = urlsplit(target)
            if parts.netloc != top.netloc or found.startswith(("#", "data:")):
                continue
            assert parts.path.startswith("/double/"), (where, found)
            is_form = f'action="{found}"' in answer.text or f'hx-post="{found}"' in answer.text
            plain = target.split("#")[0].split("?" if "/static/" not in target else "#")[0]
            if not is_form and plain not in seen and not LEAVE.search(parts.path) and "/events" not in plain:
                seen.add(plain)
                waiting.append(plain)
    return {urlsplit(each).path for each in seen}


@pytest.mark.parametrize("way", WAYS)
async def test_every_link_form_file_and_cookie_stays_under_the_path(
    services: SiteServices, talking: Any, way: str
) -> None:
    from talkalike.store.judging import judges
    from talkalike.website.accounts import make_owner
    from website_judging import make_batch

    talking(("hello", "you"), ("again",))
    await services.store.run(make_owner, "anna", PASSWORD)
    await services.store.run(make_batch, 3)
    token, _ = await services.store.run(judges.invite, judges.Group.JUDGE, by=None)
    async with under_a_path(services, way) as proxy:
        async with httpx.AsyncClient(follow_redirects=True, timeout=30, trust_env=False) as client:
            bare = await client.get(proxy.address)  # without the slash at its end
            assert str(bare.url).endswith("/double/")
            guarded = await client.get(f"{proxy.address}/judge/")
            assert urlsplit(str(guarded.url)).path == "/double/login/" and "next=%2Fdouble%2Fjudge%2F" in str(
                guarded.url
            )
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', guarded.text)
            assert found
            form = {"username": "anna", "password": PASSWORD, "csrfmiddlewaretoken": found[1], "next": "/double/judge/"}
            answer = await client.post(f"{proxy.address}/login/", data=form)
            assert urlsplit(str(answer.url)).path == "/double/judge/"
            assert {cookie.path for cookie in client.cookies.jar} == {"/double/"}
            invited = await client.get(f"{proxy.address}/invite/{token}/")
            assert urlsplit(str(invited.url)).path == "/double/"  # the owner is in already
            walked = await walk(client, f"{proxy.address}/")
        pages = {"chat", "judge", "guess", "insights", "runs", "admin", "invitations", "static"}
        assert {path.split("/")[2] for path in walked} >= pages
        assert proxy.strayed == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_browser_chats_and_judges_under_the_path(services: SiteServices, talking: Any, way: str) -> None:
    """What scripts ask for, and where htmx leads, stays under the path as well."""
    from talkalike.store.judging import judges
    from website_judging import make_batch

    talking(("hello", "you"))
    await services.store.run(make_batch, 2)
    token, _ = await services.store.run(judges.invite, judges.Group.JUDGE, by=None)
    problems: list[str] = []
    async with under_a_path(services, way) as proxy, open_browser() as browser:
        page = await browser.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        await page.goto(f"{proxy.address}/invite/{token}/")
        await page.locator("main form button").click()
        await page.wait_for_url(f"{proxy.address}/")
        await page.goto(f"{proxy.address}/chat/")
        await page.fill("#text", "hi there")
        await page.keyboard.press("Enter")
        await expect(page.locator(".bubble", has_text="you")).to_have_count(1)
        assert urlsplit(page.url).path.startswith("/double/chat/")
        await page.goto(f"{proxy.address}/judge/")
        await page.locator("main a.button.primary").first.click()
        await expect(page.locator('#pair[data-ready="yes"]')).to_have_count(1)
        await page.keyboard.press("1")
        await expect(page.locator(".pair[data-given]")).to_have_count(1)
        assert (proxy.strayed, problems) == ([], [])


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        (False, "/double"),
        (True, "//evil.example"),
        (True, "/a b"),
        (True, "/../x"),
        (True, "/chat"),
        (True, "https://x"),
    ],
)
async def test_a_path_that_nobody_may_say_is_not_used(services: SiteServices, behind: bool, said: str) -> None:
    settings = SiteSettings(behind_proxy=behind)
    async with site(services, settings) as address, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(f"{address}/judge/", headers={"X-Forwarded-Prefix": said})
        assert answer.headers["Location"] == "/login/?next=%2Fjudge%2F"
        page = await client.get(f"{address}/login/", headers={"X-Forwarded-Prefix": said})
        assert 'href="/static/' in page.text and "double/" not in page.text and "evil" not in page.text


async def test_nobody_elses_computer_is_believed() -> None:
    """Only a connection from this computer may say that it is a proxy's."""
    from talkalike.website.proxy import BehindProxy

    told: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        told.append((scope["root_path"], scope["client"][0], scope["scheme"]))

    said = [(b"x-forwarded-prefix", b"/double"), (b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    headers = [(b"host", b"localhost"), *said]
    site = BehindProxy(app, SiteSettings(behind_proxy=True, tls=True))
    for peer in ("127.0.0.1", "192.0.2.7"):
        scope = {"type": "http", "scheme": "http", "path": "/", "headers": headers, "client": (peer, 1)}
        await site(scope, None, None)
    assert told == [("/double", "203.0.113.9", "https"), ("", "192.0.2.7", "http")]


@pytest.mark.parametrize("path", ["/chat", "/static/x", "/admin", "/login"])
def test_the_site_cannot_lie_under_its_own_pages(services: SiteServices, path: str) -> None:
    from talkalike.website.proxy import check_path

    with pytest.raises(UserError, match="one of its own pages"):
        check_path(path)
    assert check_path("/double/") == check_path("/double") == "/double"
    assert check_path("") == ""


def test_paths_are_written_as_paths(tmp_path: Any) -> None:
    file = tmp_path / "talkalike.toml"
    for right in ("", "/double", "/a/b-c/", "/~anna"):
        file.write_text(f'[web]\npath = "{right}"\n')
        load_settings(file, {})
    for wrong in ("double", "/", "//x", "/a//b", "/../x", "https://a.example/double", "/a b", "/a?b"):
        file.write_text(f'[web]\npath = "{wrong}"\n')
        with pytest.raises(UserError, match="path"):
            load_settings(file, {})


def test_cookies_of_a_path_are_not_the_whole_hosts() -> None:
    from talkalike.website.configure import _settings

    given = SiteSettings(tls=True, path="/double")
    assert _settings("sqlite:////x", "k", given)["SESSION_COOKIE_NAME"].startswith("__Secure-")
    assert _settings("sqlite:////x", "k", replace(given, path=""))["CSRF_COOKIE_NAME"].startswith("__Host-")


# ------------------------------------------------------------------------------------------- what is set up wrongly
RIGHT = SiteSettings(hosts=("double.example.org",), tls=True, behind_proxy=True)
GOOD = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "host": "double.example.org"}
FORM = {"origin": "https://double.example.org"}

WRONG = [
    (RIGHT, GOOD | FORM, []),
    (RIGHT, {"host": "localhost"}, []),  # the owner, at the computer itself
    (SiteSettings(), {"host": "127.0.0.1"}, []),
    (
        RIGHT,
        GOOD | {"host": "other.example.org"},
        ["other.example.org was refused", 'names = "double.example.org, oth'],
    ),
    (RIGHT, GOOD | {"host": "<script>"}, []),  # nonsense is nobody's name
    (replace(RIGHT, behind_proxy=False), GOOD, ["behind_proxy = true", "X-Forwarded-For"]),
    (replace(RIGHT, tls=False), GOOD, ["tls = true"]),
    (RIGHT, GOOD | {"x-forwarded-proto": "http"}, ["tls = false", "asked for by http"]),
    (RIGHT, {"host": "double.example.org", "x-forwarded-for": "203.0.113.9"}, ["X-Forwarded-Proto: https"]),
    (RIGHT, {"host": "double.example.org", "x-forwarded-proto": "https"}, ["without X-Forwarded-For"]),
    (
        replace(RIGHT, tls=False, behind_proxy=False),
        {"host": "double.example.org"} | FORM,
        ["does not know of the https"],
    ),
    (RIGHT, GOOD | FORM | {"host": "127.0.0.1"}, ["proxy_set_header Host"]),
    (RIGHT, GOOD | {"host": "127.0.0.1", "origin": "https://evil.example"}, []),  # that is an attack, not a mistake
]


@pytest.mark.parametrize(("settings", "headers", "told"), WRONG)
def test_a_wrong_setting_is_told_with_what_to_change(
    settings: SiteSettings, headers: dict[str, str], told: list[str]
) -> None:
    from talkalike.website.proxy import Arrival, mistakes

    seen = Arrival(
        peer="127.0.0.1", host=headers["host"], headers={name.encode(): value for name, value in headers.items()}
    )
    said = " ".join(mistakes(seen, settings))
    assert bool(said) == bool(told), said
    for words in told:
        assert words in said
    assert not said or "talkalike.toml" in said or "nginx" in said


async def test_it_is_told_once_in_the_log(services: SiteServices, caplog: pytest.LogCaptureFixture) -> None:
    settings = replace(RIGHT, behind_proxy=False, tls=False)
    async with site(services, settings) as address, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await client.get(f"{address}/login/", headers={"X-Forwarded-For": "203.0.113.9"})
            for number in range(40):
                await client.get(f"{address}/login/", headers={"Host": f"n{number}.example.org"})
    said = [record.getMessage() for record in caplog.records if record.name == "talkalike.website.proxy"]
    assert sum("Set behind_proxy = true" in line for line in said) == 1
    assert "n3.example.org was refused" in " ".join(said)
    assert len(said) == 20


@pytest.mark.parametrize(
    ("settings", "near", "told"),
    [
        (SiteSettings(), True, ""),
        (RIGHT, True, ""),
        (replace(RIGHT, behind_proxy=False), True, "behind_proxy = true"),
        (SiteSettings(behind_proxy=True), True, "names = "),
        (SiteSettings(), False, "names = "),
    ],
)
def test_what_looks_wrong_is_told_at_the_start(settings: SiteSettings, near: bool, told: str) -> None:
    from talkalike.website.proxy import doubts

    with socket.create_server(("127.0.0.1" if near else "", 0)) as listening:
        said = " ".join(doubts(settings, listening))
    assert bool(said) == bool(told) and told in said


async def test_the_start_says_where_it_is_and_what_looks_wrong(
    services: SiteServices, capsys: pytest.CaptureFixture[str], tmp_workspace: Any
) -> None:
    from talkalike.cli.web import web
    from talkalike.cli.workspace import open_workspace
    from talkalike.engine.listening import open_socket

    stop, listening = asyncio.Event(), open_socket("127.0.0.1", 0)
    settings = SiteSettings(tls=True, path="/double")
    opened = open_workspace(tmp_workspace)
    given = SiteServices(store=services.store, root=opened.root, settings=settings)
    running = asyncio.create_task(web(given, listening=listening, stop=stop))
    said = ""
    while "Nobody can log in" not in said:
        await asyncio.sleep(0.02)
        said += capsys.readouterr().err
    stop.set()
    await running
    assert re.search(r"The site: http://127\.0\.0\.1:\d+/double/\n", said)
    assert "Please check: tls is true, but the site itself speaks http" in said


async def test_replies_arrive_while_they_are_written_through_the_proxy(services: SiteServices, talking: Any) -> None:
    import aiohttp

    from talkalike.store.judging import judges

    talking((f"one two {HANG}",))  # it is still being written when the page asks for it
    token, _ = await services.store.run(judges.invite, judges.Group.JUDGE, by=None)
    async with under_a_path(services, "set, and taken away by the proxy") as proxy:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            top = proxy.address.removesuffix("/double")
            visitor = Browser(session, top)
            await visitor.get(f"/double/invite/{token}/")
            await visitor.post(f"/double/invite/{token}/")
            await visitor.get("/double/chat/")
            status, to, _ = await visitor.post("/double/chat/new/", text="hello")
            assert (status, to.startswith("/double/chat/")) == (204, True)
            live = re.search(r'data-live="(/double/[^"]+)"', await visitor.get(to.partition("#")[0]))
            assert live
            async with aclosing(visitor.follow(live[1])) as events:
                async for _, _, data in events:
                    if "one" in str(data):
                        break
                else:
                    raise AssertionError("the reply's first words never arrived")
