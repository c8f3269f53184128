"""`talkalike serve`: serves models through an OpenAI-compatible API, on Discord and on the website.

Several faces run in one process, which starts and stops them together. The models run in processes of their own; what
runs beside them waits for the network and the database only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from starlette.types import ASGIApp

from talkalike.chat.looking import Onlooker
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engines import (
    WorkspaceEngines,
    base_to_share,
    choose_model,
    reply_options,
    sampling_of,
    speaker_of,
)
from talkalike.cli.eye_opening import eye_to_serve, gated, open_onlooker
from talkalike.cli.offering import OpenedByName, doubles_beside, open_models
from talkalike.cli.output import FICTIONAL, say
from talkalike.cli.web import WorkspaceRunCommands, site_store, web
from talkalike.cli.workspace import Workspace, database_url, discord_token, find_root, make_workspace, open_workspace
from talkalike.engine.eyes import Eye
from talkalike.engine.listening import address_of, open_socket
from talkalike.engine.offer import Beside, Offered
from talkalike.engine.server import NOTHING_BESIDE, create_app, listen
from talkalike.engine.server import serve as serve_app
from talkalike.errors import TalkalikeError, UserError
from talkalike.settings import split_names
from talkalike.store.judging import judges
from talkalike.store.seeing.recalling import StoredWords
from talkalike.store.store import Store, open_store
from talkalike.website.services import SiteServices, SiteSettings
from talkalike.workspace.cards import Card
from talkalike.workspace.paths import SETTINGS_FILE

if TYPE_CHECKING:
    from talkalike.cli.eye_opening import LocalEye


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """Which faces to serve, and where. `port` is for a single face; None: each as in the settings."""

    engine: bool = False
    discord: bool = False
    offline: bool = False
    web: bool = False
    invite: bool = False  # print a link to the website that needs no account, for a day
    host: str | None = None
    port: int | None = None


def serve(  # signature: typer
    engine: Annotated[bool, typer.Option("--engine", help="Serve the OpenAI-compatible API.")] = False,
    discord: Annotated[
        bool, typer.Option("--discord", help="Run the double on Discord (token: $DISCORD_TOKEN).")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Run it on a local stand-in for Discord, with a page to talk to it.")
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Serve the website: chat, judge replies, watch and start runs.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Model to use. Default: the promoted one, else the newest double, else the base.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Network address to listen on. Default: as in the settings.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on. Default: as in the settings.")
    ] = None,
    inherit: Annotated[int | None, typer.Option(hidden=True)] = None,
    save: Annotated[bool, typer.Option("--save", hidden=True)] = False,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Serve a model through the API, on Discord and on the website. Without an option: all three, until Ctrl-C."""
    workspace = _open_or_make_workspace(workspace_dir) if offline else open_workspace(workspace_dir)
    if inherit is not None:
        asyncio.run(_serve_parent(workspace, choose_model(workspace, model), inherit, saves=save))
        return
    discord = discord or offline
    if not (engine or discord or web):
        engine = web = True
        discord = bool(discord_token(workspace))
        if not discord:
            say("Discord is left out: there is no token yet (`talkalike discord setup`).")
    if port is not None and engine + discord + web > 1:
        raise UserError(
            "--port can be given for one service only.", hint="Set the ports of the others in talkalike.toml."
        )
    if engine and not discord and not web:
        settings = workspace.settings.serve
        key = os.environ.get(settings.api_key_env, "")
        port = settings.port if port is None else port
        asyncio.run(_serve(workspace, choose_model(workspace, model), host=host or settings.host, port=port, key=key))
        return
    faces = Faces(engine=engine, discord=discord, offline=offline, web=web, host=host, port=port)
    serve_faces(workspace, faces, model=model)


def _open_or_make_workspace(workspace_dir: object) -> Workspace:
    """Opens the workspace; makes it first if it is named and not there yet: trying offline needs no preparation."""
    if isinstance(workspace_dir, Path):
        root = find_root(workspace_dir)
        if not (root / SETTINGS_FILE).exists():
            make_workspace(root)
            say(f"Made a workspace in {root}.")
        return open_workspace(root)
    return open_workspace(None)


async def _serve(workspace: Workspace, card: Card, *, host: str, port: int, key: str) -> None:
    beside = doubles_beside(workspace, card)
    listening = listen(host, port, api_key=key)
    serving = open_models(workspace, card, beside=beside)
    names = ", ".join((card.name, *beside))
    say(f"Serving {names} at {address_of(listening)}v1 ({'with' if key else 'without'} a key). Ctrl-C stops.")
    try:
        first = Offered(engine=serving.engine, speaker=speaker_of(card))
        eye = eye_to_serve(workspace)
        offered = Beside(models=serving.others, eye=gated(workspace, eye) if eye else None)
        app = api(workspace, first, beside=offered, key=key)
        await serve_app(app, listening=listening, names=split_names(workspace.settings.serve.names))
    finally:
        await serving.close()


async def _serve_parent(workspace: Workspace, card: Card, inherited: int, *, saves: bool) -> None:
    """For `talkalike.engine.process`: on the socket it handed down, with the key it writes, until it is gone."""
    key = sys.stdin.readline().strip()
    if not key:
        raise UserError("The process that started this one has ended.")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        while sys.stdin.read(4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    threading.Thread(target=watch, name="the parent's end", daemon=True).start()
    beside = None if base_to_share(workspace, card) == card.name else ()
    serving = open_models(workspace, card, beside=beside, saves=saves)
    try:
        eye = eye_to_serve(workspace)
        opening = asyncio.create_task(_open_early(eye)) if eye else None
        app = create_app(
            serving.engine, speaker=speaker_of(card), api_key=key, beside=Beside(eye=eye, models=serving.others)
        )
        await serve_app(app, listening=socket.socket(fileno=inherited), stop=stop)
        if opening is not None:
            await opening
    finally:
        await serving.close()


async def _open_early(eye: LocalEye) -> None:
    """While the first replies are written, so that nobody waits for it; what is wrong is told to who looks first."""
    with suppress(TalkalikeError):
        await eye.open()


def api(workspace: Workspace, first: Offered, *, beside: Beside = NOTHING_BESIDE, key: str) -> ASGIApp:
    """Makes the API's app; options that a request leaves out are as [chat] of the settings says."""
    chat, pages = workspace.settings.chat, workspace.settings.serve.origins
    return create_app(
        first.engine,
        speaker=first.speaker,
        beside=beside,
        api_key=key,
        defaults=dataclasses.replace(sampling_of(workspace), best_of=chat.best_of),
        origins=[page.strip() for page in pages.split(",") if page.strip()],
    )


# --------------------------------------------------------------------------------------------- several faces at once
def serve_faces(workspace: Workspace, faces: Faces, *, model: str | None) -> None:
    """Runs until Ctrl-C or SIGTERM, or until one of the faces fails."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with _store(workspace, faces) as store:
        try:
            asyncio.run(_serve_all(workspace, faces, store, model))
        except BaseExceptionGroup as failures:  # the first face that failed has ended the others
            raise failures.exceptions[0] from None


async def _serve_all(workspace: Workspace, faces: Faces, store: Store, model: str | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with (
            _engines(workspace, faces, model) as engines,
            _onlooker(workspace, faces, store, engines) as onlooker,
            asyncio.TaskGroup() as running,
        ):
            if faces.web:
                running.create_task(_web(workspace, faces, store, engines, stop, onlooker=onlooker))
            if faces.discord:
                running.create_task(_discord(workspace, faces, store, engines, stop, onlooker=onlooker))
            if faces.engine:
                running.create_task(_api(workspace, faces, engines, stop, eye=onlooker.eye if onlooker else None))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _web(
    workspace: Workspace,
    faces: Faces,
    store: Store,
    engines: WorkspaceEngines,
    stop: asyncio.Event,
    *,
    onlooker: Onlooker | None,
) -> None:
    settings = workspace.settings.web
    listening = open_socket(faces.host or settings.host, settings.port if faces.port is None else faces.port)
    if faces.invite:
        token = await store.run(_invitation)
        top = f"http://127.0.0.1:{listening.getsockname()[1]}{site_settings(workspace).path}"
        say(f"Link to chat and judge without an account: {top}/invite/{token}/")
    services = SiteServices(
        store=store,
        root=workspace.root,
        engines=engines,
        onlooker=onlooker,
        run_commands=WorkspaceRunCommands(workspace),
        settings=site_settings(workspace),
    )
    await web(services, listening=listening, stop=stop)


def _invitation() -> str:
    token, _ = judges.invite(judges.Group.JUDGE, by=None, uses=10, days=1, note="talkalike demo")
    return token


async def _discord(
    workspace: Workspace,
    faces: Faces,
    store: Store,
    engines: WorkspaceEngines,
    stop: asyncio.Event,
    *,
    onlooker: Onlooker | None,
) -> None:
    from talkalike.cli.discord import serve_offline, serve_online  # discord.py: for this face alone

    if not faces.offline:
        await serve_online(workspace, store, engines, stop, onlooker=onlooker)
        return
    port = workspace.settings.discord.page_port if faces.port is None else faces.port
    await serve_offline(workspace, store, engines, stop, port=port, onlooker=onlooker)


async def _api(
    workspace: Workspace, faces: Faces, engines: WorkspaceEngines, stop: asyncio.Event, *, eye: Eye | None
) -> None:
    """The public API over the default model's process, and over those of the doubles that are offered beside it."""
    settings = workspace.settings.serve
    beside = doubles_beside(workspace, workspace.catalog().card(engines.default))
    key = os.environ.get(settings.api_key_env, "")
    listening = listen(faces.host or settings.host, settings.port if faces.port is None else faces.port, api_key=key)
    say(f"The API: {address_of(listening)}v1 ({'with' if key else 'without'} a key)")
    first = Offered(engine=await engines.open(engines.default), speaker=engines.voice.speaker)
    offered = Beside(models=OpenedByName(engines, beside) if beside else None, eye=eye)
    app = api(workspace, first, beside=offered, key=key)
    await serve_app(app, listening=listening, names=split_names(settings.names), stop=stop)


@contextmanager
def _store(workspace: Workspace, faces: Faces) -> Iterator[Store]:
    """The workspace's database. What is said at the stand-in alone is forgotten when it ends."""
    if faces.web:
        with site_store(workspace, site_settings(workspace)) as store:
            yield store
    elif faces.offline:
        with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder) / 'offline.db'}") as store:
            yield store
    else:
        with open_store(database_url(workspace)) as store:
            yield store


@asynccontextmanager
async def _onlooker(
    workspace: Workspace, faces: Faces, store: Store, engines: WorkspaceEngines
) -> AsyncIterator[Onlooker | None]:
    """What looks at the pictures that people send."""
    onlooker = await open_onlooker(workspace, engines, StoredWords(store)) if faces.web or faces.discord else None
    try:
        yield onlooker
    finally:
        if onlooker is not None:
            await onlooker.close()


@asynccontextmanager
async def _engines(workspace: Workspace, faces: Faces, model: str | None) -> AsyncIterator[WorkspaceEngines]:
    engines = WorkspaceEngines(workspace, default=model, saves=not faces.offline)
    try:
        if engines.voice.fictional:
            say(f"{FICTIONAL}.")
        say(f"Loading {engines.voice.model} (it talks like {engines.voice.speaker}) ... Ctrl-C stops everything.")
        await engines.open(engines.default)
        yield engines
    finally:
        await engines.close()


def site_settings(workspace: Workspace) -> SiteSettings:
    """The settings file's part for the website."""
    web = workspace.settings.web
    return SiteSettings(
        hosts=split_names(web.names),
        tls=web.tls,
        behind_proxy=web.behind_proxy,
        path=web.path.rstrip("/"),
        name=workspace.settings.discord.owner_name,
        options=reply_options(workspace),
    )
