"""Everything that `talkalike serve` can offer, in one process that starts and stops it together.

The models run in processes of their own; what runs here waits for the network and the database only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.output import FICTIONAL, say
from talkalike.cli.secrets import database_url
from talkalike.cli.serving_api import api
from talkalike.cli.talking import reply_options
from talkalike.cli.web_serving import site_store, web
from talkalike.cli.workspace import Workspace
from talkalike.engine.listening import address_of, open_socket
from talkalike.engine.server import listen, serve
from talkalike.settings import listed
from talkalike.store.judging import judges
from talkalike.store.store import Store, open_store
from talkalike.website.services import SiteSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """What to offer, and where. `port` is for the one face that is asked for; None: each as in the settings."""

    engine: bool = False
    discord: bool = False
    offline: bool = False
    web: bool = False
    invite: bool = False  # tell a link to the website that needs no account, for a day
    host: str | None = None
    port: int | None = None


def serve_faces(opened: Workspace, faces: Faces, *, model: str | None) -> None:
    """Runs until Ctrl-C or SIGTERM, or until one of the faces fails."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with _store(opened, faces) as store:
        try:
            asyncio.run(_serve(opened, faces, store, model))
        except BaseExceptionGroup as failures:  # the first face that failed has ended the others
            raise failures.exceptions[0] from None


async def _serve(opened: Workspace, faces: Faces, store: Store, model: str | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with _engines(opened, model) as engines, asyncio.TaskGroup() as running:
            if faces.web:
                running.create_task(_web(opened, faces, store, engines, stop))
            if faces.discord:
                running.create_task(_discord(opened, faces, store, engines, stop))
            if faces.engine:
                running.create_task(_api(opened, faces, engines, stop))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _web(opened: Workspace, faces: Faces, store: Store, engines: WorkspaceEngines, stop: asyncio.Event) -> None:
    settings = opened.settings.web
    listening = open_socket(faces.host or settings.host, settings.port if faces.port is None else faces.port)
    if faces.invite:
        token = await store.run(_invitation)
        top = f"http://127.0.0.1:{listening.getsockname()[1]}{site_settings(opened).path}"
        say(f"Chat and judge without an account, by this link: {top}/invite/{token}/")
    await web(opened, store, listening=listening, stop=stop, settings=site_settings(opened), engines=engines)


def _invitation() -> str:
    token, _ = judges.invite(judges.Group.JUDGE, by=None, uses=10, days=1, note="talkalike demo")
    return token


async def _discord(
    opened: Workspace, faces: Faces, store: Store, engines: WorkspaceEngines, stop: asyncio.Event
) -> None:
    from talkalike.cli.discord_serving import serve_offline, serve_online  # discord.py: for this face alone

    if not faces.offline:
        await serve_online(opened, store, engines, stop)
        return
    port = opened.settings.discord.page_port if faces.port is None else faces.port
    await serve_offline(opened, store, engines, stop, port=port)


async def _api(opened: Workspace, faces: Faces, engines: WorkspaceEngines, stop: asyncio.Event) -> None:
    """The public API over the default model's process."""
    settings = opened.settings.serve
    key = os.environ.get(settings.api_key_env, "")
    listening = listen(faces.host or settings.host, settings.port if faces.port is None else faces.port, api_key=key)
    say(f"The API: {address_of(listening)}v1 ({'with' if key else 'without'} a key)")
    engine = await engines.open(engines.default)
    app = api(opened, engine, speaker=engines.voice.speaker, key=key)
    await serve(app, listening=listening, names=listed(settings.names), stop=stop)


@contextmanager
def _store(opened: Workspace, faces: Faces) -> Iterator[Store]:
    """The workspace's database. What is said at the stand-in alone is forgotten when it ends."""
    if faces.web:
        with site_store(opened, site_settings(opened)) as store:
            yield store
    elif faces.offline:
        with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder) / 'offline.db'}") as store:
            yield store
    else:
        with open_store(database_url(opened)) as store:
            yield store


@asynccontextmanager
async def _engines(opened: Workspace, model: str | None) -> AsyncIterator[WorkspaceEngines]:
    engines = WorkspaceEngines(opened, default=model)
    try:
        if engines.voice.fictional:
            say(f"{FICTIONAL}.")
        say(f"Loading {engines.voice.model} (it talks like {engines.voice.speaker}) ... Ctrl-C stops everything.")
        await engines.open(engines.default)
        yield engines
    finally:
        await engines.close()


def site_settings(opened: Workspace) -> SiteSettings:
    """The settings file's part for the website."""
    web = opened.settings.web
    return SiteSettings(
        hosts=listed(web.names),
        tls=web.tls,
        behind_proxy=web.behind_proxy,
        path=web.path.rstrip("/"),
        name=opened.settings.discord.owner_name,
        options=reply_options(opened),
    )
