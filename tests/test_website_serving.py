"""The site as it runs: uvicorn on a loopback port, beside other things in one event loop; its files; the terminal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from talkalike.errors import UserError
from talkalike.store.store import Store
from talkalike.website.configure import secret_key
from talkalike.website.services import SiteServices, SiteSettings

pytest_plugins = ("website_site",)

PASSWORD = "correct horse battery 9"


@asynccontextmanager
async def running(store: Store, root: Path, settings: SiteSettings | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """The site at a free port, in this event loop; a client that keeps cookies."""
    from talkalike.engine.listening import open_socket
    from talkalike.website.site import run_site

    services = SiteServices(store=store, root=root, settings=settings or SiteSettings())
    listening, stop, ready = open_socket("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = asyncio.create_task(run_site(services, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    try:
        async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
            yield client
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)


def token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found, page
    return found[1]


async def test_it_serves_beside_others_and_stops_when_told(site_store: Store, tmp_path: Path) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with running(site_store, tmp_path) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        answers = await asyncio.gather(*(client.get("/login/") for _ in range(30)))
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "server" not in answers[0].headers
        assert {number: signal.getsignal(number) for number in handlers} == handlers
    with pytest.raises(httpx.ConnectError):
        await client.__class__(trust_env=False).get(str(client.base_url))
    assert await site_store.run(lambda: True)  # the store is its opener's
    async with running(site_store, tmp_path) as client:
        assert (await client.get("/health")).status_code == 200  # and it can be started again


async def test_logging_in_over_the_wire(site_store: Store, tmp_path: Path) -> None:
    from talkalike.website.accounts import make_owner

    await site_store.run(make_owner, "anna", PASSWORD)
    async with running(site_store, tmp_path) as client:
        form = {"username": "anna", "password": PASSWORD}
        assert (await client.post("/login/", data=form)).status_code == 403  # no token: not from our page
        form["csrfmiddlewaretoken"] = token_in((await client.get("/login/")).text)
        foreign = await client.post("/login/", data=form, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert (await client.post("/login/", data=form)).status_code == 302
        assert "Hello, anna" in (await client.get("/")).text
        assert (await client.get("/admin/")).status_code == 200


async def test_a_host_that_is_not_ours_is_refused(site_store: Store, tmp_path: Path) -> None:
    async with running(site_store, tmp_path) as client:
        for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}):
            answer = await client.get("/", headers=headers)
            assert answer.status_code == 400 and "evil" not in answer.text
        proxied = await client.get("/login/", headers={"X-Forwarded-Host": "evil.example"})
        assert proxied.status_code == 200 and "evil" not in proxied.text


@pytest.mark.parametrize(("behind", "counted"), [(False, "127.0.0.1"), (True, "203.0.113.9")])
async def test_a_proxys_word_counts_only_where_one_is_set_up(
    site_store: Store, tmp_path: Path, behind: bool, counted: str
) -> None:
    from talkalike.website.accounts import _digest
    from talkalike.website.models import LoginAttempt

    async with running(site_store, tmp_path, SiteSettings(behind_proxy=behind)) as client:
        form = {"username": "x", "password": "y", "csrfmiddlewaretoken": token_in((await client.get("/login/")).text)}
        await client.post("/login/", data=form, headers={"X-Forwarded-For": "203.0.113.9"})
    assert await site_store.run(lambda: LoginAttempt.objects.get().address) == _digest(counted)


async def test_too_large_a_body_is_refused_before_it_is_kept(
    site_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from talkalike.website import body_cap

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 2**16

    monkeypatch.setattr(body_cap.BodyCap.__init__, "__kwdefaults__", {"most": 2**20})
    async with running(site_store, tmp_path) as client:
        for body in (b"x" * (2**20 + 1), endless()):  # one that says how long it is, one that does not
            answer = await client.post("/login/", content=body)
            assert (answer.status_code, "too large" in answer.text) == (413, True)
        assert (await client.post("/login/", content=b"x" * 2**20)).status_code == 403  # let through, and no token


async def test_streamed_answers_hold_no_thread(site_store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    """More streams than threads, all open at once, and pages are still answered."""
    from django.http import HttpRequest, StreamingHttpResponse

    from talkalike.website import frame, urls
    from talkalike.website.access import open_to_all
    from talkalike.website.data import aread, awrite
    from talkalike.website.services import THREADS

    streams, go, begun = THREADS * 2, asyncio.Event(), []

    @open_to_all
    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        async def pieces() -> AsyncIterator[str]:
            begun.append(await aread(lambda: 1) + await awrite(lambda: 1))
            await go.wait()
            yield "done"

        return StreamingHttpResponse(pieces())

    from django.urls import clear_url_caches, path

    monkeypatch.setattr(urls, "urlpatterns", [path("stream", stream), path("health", frame.health), *urls.urlpatterns])
    clear_url_caches()
    try:
        async with running(site_store, tmp_path) as client:
            open_now = [asyncio.create_task(client.get("/stream")) for _ in range(streams)]
            while len(begun) < streams:
                await asyncio.sleep(0.01)
            assert (await client.get("/health")).status_code == 200
            go.set()
            assert [(await one).text for one in open_now] == ["done"] * streams
    finally:
        clear_url_caches()
    assert begun == [2] * streams


def test_a_write_inside_a_transaction_is_a_mistake_that_is_told(services: SiteServices) -> None:
    from django.db import transaction

    from talkalike.website.data import write

    assert write(lambda: 1) == 1
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        write(lambda: 1)


# --------------------------------------------------------------------------------------------------------- secret key
def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    key = secret_key(tmp_path)
    assert len(key) > 50 and secret_key(tmp_path) == key
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(UserError, match="other users"):
        secret_key(tmp_path)
    file.chmod(0o600)
    file.write_text("")
    with pytest.raises(UserError, match="no usable key"):
        secret_key(tmp_path)


def test_cookies_are_for_tls_only_where_there_is_tls() -> None:
    from talkalike.website.configure import _settings

    plain, tls = (_settings("sqlite:////x", "k", SiteSettings(tls=tls, hosts=("a.example",))) for tls in (False, True))
    for name in ("SESSION", "CSRF"):
        assert (plain[f"{name}_COOKIE_SECURE"], tls[f"{name}_COOKIE_SECURE"]) == (False, True)
        assert tls[f"{name}_COOKIE_NAME"].startswith("__Host-")
    assert (plain["SECURE_HSTS_SECONDS"], tls["SECURE_HSTS_SECONDS"] > 0) == (0, True)
    assert "*" not in tls["ALLOWED_HOSTS"] and "a.example" in tls["ALLOWED_HOSTS"]
    assert tls["DEBUG"] is False


# ------------------------------------------------------------------------------------------------------ from a terminal
RUN = "import sys; from talkalike.cli.web import app, open_workspace; from pathlib import Path; "
SITE = """
import asyncio, signal
from talkalike.cli.web import site_store, web
from talkalike.website.services import SiteServices, SiteSettings

async def main(opened, store):
    from talkalike.engine.listening import open_socket
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    listening = open_socket("127.0.0.1", {port})
    services = SiteServices(store=store, root=opened.root, settings=SiteSettings())
    await web(services, listening=listening, stop=stop)

opened = open_workspace()
with site_store(opened, SiteSettings()) as store:
    asyncio.run(main(opened, store))
"""


def child(code: str, workspace: Path, **streams: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "TALKALIKE_WORKSPACE": str(workspace)}
    return subprocess.Popen([sys.executable, "-c", RUN + code], env=environment, text=True, **streams)


def make_owner(workspace: Path, name: str, password: str) -> tuple[int, str]:
    code = f"app(['owner', {name!r}])"
    process = child(code, workspace, stdin=-1, stdout=-1, stderr=subprocess.STDOUT)
    out, _ = process.communicate(password, timeout=60)
    return process.returncode, out


def test_owner_and_site_from_the_terminal(tmp_workspace: Path) -> None:
    """Two programs on one workspace: the site serves, an owner is made meanwhile, logs in, and Ctrl-C ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with child(SITE.format(port=port), tmp_workspace, stderr=-1) as site:
        assert site.stderr
        assert f"http://127.0.0.1:{port}/" in site.stderr.readline()
        weak, words = make_owner(tmp_workspace, "anna", "password\n")
        assert weak != 0 and "too common" in words
        assert make_owner(tmp_workspace, "anna", "")[0] != 0
        done, words = make_owner(tmp_workspace, "anna", f"{PASSWORD}\n")
        assert (done, "anna may do everything" in words, PASSWORD in words) == (0, True, False)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            form = {
                "username": "anna",
                "password": PASSWORD,
                "csrfmiddlewaretoken": token_in(client.get("/login/").text),
            }
            assert client.post("/login/", data=form).status_code == 302
            assert "Hello, anna" in client.get("/").text
        site.send_signal(signal.SIGINT)
        _, errors = site.communicate(timeout=30)
        assert (site.returncode, "Traceback" in errors) == (0, False), errors
    assert sorted(path.name for path in tmp_workspace.iterdir() if "secret" in path.name) == ["web.secret"]


def test_a_program_without_the_site_opens_its_database(tmp_workspace: Path) -> None:
    """Its tables (people, sessions) are none that a newer version made."""
    assert make_owner(tmp_workspace, "anna", f"{PASSWORD}\n")[0] == 0
    code = (
        "from talkalike.store.store import open_store; from talkalike.store import rules; "
        f"print(open_store('sqlite:///{tmp_workspace}/talkalike.db').call(rules.all_rules))"
    )
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (plain.returncode, plain.stdout) == (0, "()\n"), plain.stderr


def test_the_site_never_loads_torch() -> None:
    code = (
        "import sys; from talkalike.website.configure import configure_site; "
        "from talkalike.website.services import SiteSettings; "
        "configure_site('sqlite:////x', secret='x' * 50, settings=SiteSettings()); "
        "import talkalike.website.site, talkalike.website.urls; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout == "False\n"
