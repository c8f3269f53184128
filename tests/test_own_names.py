"""Every server that we open on this computer answers to this computer's names only: API, model, website, Discord."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from local_discord.server import LocalDiscord
from local_discord.world import World
from talkalike.engine.listening import address_of, open_socket
from talkalike.engine.own_names import OwnNamesOnly, is_local, is_loopback
from talkalike.engine.process import ProcessEngine
from talkalike.engine.scripted import ScriptedEngine
from talkalike.engine.server import create_app, listen, serve
from talkalike.errors import UserError
from talkalike.settings import load_settings

pytest_plugins = ("website_site",)

OTHERS = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example:80",
    "[2001:db8::1]",
    "",
    "a b",
)
OWN = ("localhost", "LOCALHOST", "127.0.0.1", "[::1]")

Server = Callable[[str, Path], AbstractAsyncContextManager[str]]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ADDRESSES = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]


@asynccontextmanager
async def api(host: str, _folder: Path) -> AsyncIterator[str]:
    listening, stop = listen(host, 0, api_key=""), asyncio.Event()
    address = address_of(listening)
    app = create_app(ScriptedEngine([["hi"]]), speaker="Ann")
    running = asyncio.create_task(serve(app, listening=listening, names=("api.example.org",), stop=stop))
    try:
        yield f"{address}v1/models"
    finally:
        stop.set()
        await running


@asynccontextmanager
async def models_own_process(_host: str, folder: Path) -> AsyncIterator[str]:
    child = Path(__file__).with_name("scripted_child.py")
    engine = ProcessEngine(
        "ann-1", command=lambda fd: [sys.executable, str(child), str(fd), "ann-1"], log=folder / "log"
    )
    await engine.start()
    try:
        yield f"{address_of(engine._socket)}health"
    finally:
        await engine.close()


@asynccontextmanager
async def offline_discord(host: str, _folder: Path) -> AsyncIterator[str]:
    world = World()
    async with LocalDiscord(world, host) as server:
        yield f"{server.base_url}/page"


@asynccontextmanager
async def offline_files(host: str, _folder: Path) -> AsyncIterator[str]:
    """What people sent each other there, whose addresses hold no secret."""
    world = World()
    async with LocalDiscord(world, host) as server:
        world.files.put(7, b"dear diary", "text/plain")
        yield f"{server.base_url}/attachments/1/7/note.txt"


@pytest.mark.parametrize("host", ADDRESSES)
@pytest.mark.parametrize("server", [api, models_own_process, offline_discord, offline_files])
async def test_only_this_computers_names_are_answered(server: Server, host: str, tmp_path: Path) -> None:
    async with server(host, tmp_path) as address, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for name in OWN:
            assert (await client.get(address, headers={"Host": f"{name}:{httpx.URL(address).port}"})).status_code == 200
        for name in OTHERS:
            answer = await client.get(address, headers={"Host": name})
            assert answer.status_code in (400, 403)
            assert "hi" not in answer.text or "This server answers" in answer.text
            assert "evil" not in answer.text and "diary" not in answer.text


@pytest.mark.parametrize("host", ADDRESSES)
async def test_the_site_answers_to_no_other_name(host: str, site_store, tmp_path: Path) -> None:
    from talkalike.website.services import SiteServices
    from talkalike.website.site import run_site

    services = SiteServices(store=site_store, root=tmp_path)
    listening, stop, ready = open_socket(host, 0), asyncio.Event(), asyncio.Event()
    address = address_of(listening)
    running = asyncio.create_task(run_site(services, listening=listening, stop=stop, when_ready=ready.set))
    await ready.wait()
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client:
        for name in OWN:
            assert (await client.get("/login/", headers={"Host": name})).status_code == 200
        for name in OTHERS:
            assert (await client.get("/login/", headers={"Host": name})).status_code == 400
    stop.set()
    await running


async def test_a_proxys_name_is_answered_where_it_is_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with api("127.0.0.1", tmp_path) as address, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(address, headers={"Host": "API.example.org"})).status_code == 200
        refused = await client.get(address, headers={"Host": "other.example.org"})
        assert refused.status_code == 400
        assert "`names` in [serve] of talkalike.toml" in refused.json()["error"]["message"]
        await client.get(address, headers={"Host": "other.example.org"})
    (told,) = [record.getMessage() for record in caplog.records if record.name == "talkalike.engine.own_names"]
    assert "'other.example.org' was refused" in told and "names in [serve] of talkalike.toml" in told


def test_a_unix_socket_is_this_computers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert is_local(listening)
    with socket.create_server(("", 0)) as listening:  # every network's
        assert not is_local(listening)


def test_others_are_let_in_with_a_key_only() -> None:
    with pytest.raises(UserError, match="let anyone in the network"):
        listen("0.0.0.0", 0, api_key="")
    listen("127.0.0.2", 0, api_key="").close()  # as much this computer as 127.0.0.1


@pytest.mark.parametrize(
    ("address", "own"),
    [
        *((address, True) for address in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1")),
        *((address, False) for address in ("10.0.0.1", "localhost", "", "::ffff:10.0.0.1", "0.0.0.0", "::")),
    ],
)
def test_which_addresses_are_this_computers(address: str, own: bool) -> None:
    assert is_loopback(address) is own


@given(host=st.text(max_size=40))
def test_no_odd_host_gets_through(host: str) -> None:
    """Whatever stands in the header: what is let through is a name of this computer, with or without a port."""
    guard = OwnNamesOnly(PlainTextResponse("in"), PlainTextResponse("out"))
    if guard._is_ours(host):
        name = host.rsplit(":", 1)[0] if host.rsplit(":", 1)[-1].isdigit() and not host.endswith("]") else host
        assert name.lower() == "localhost" or is_loopback(name.strip("[]"))


@pytest.mark.parametrize("section", ["web", "serve"])
def test_names_are_written_as_names(tmp_path: Path, section: str) -> None:
    file = tmp_path / "talkalike.toml"
    for right in ("", "double.example.org", " a.example , b.example", "[::1]", ".example.org", "192.0.2.1"):
        file.write_text(f'[{section}]\nnames = "{right}"\n')
        load_settings(file, {})
    for wrong in ("https://a.example", "a.example:8443", "a.example/double", "*", "a.example b.example", "a,,b"):
        file.write_text(f'[{section}]\nnames = "{wrong}"\n')
        with pytest.raises(UserError, match="names") as told:
            load_settings(file, {})
        assert "without https://" in f"{told.value.what} {told.value.hint}"
