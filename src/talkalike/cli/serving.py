"""`talkalike serve`: what we own, offered to others: an API that OpenAI's clients speak, and the double on Discord."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from talkalike.cli.init import make_workspace
from talkalike.cli.output import say
from talkalike.cli.secrets import discord_token
from talkalike.cli.serving_api import api
from talkalike.cli.serving_faces import Faces, serve_faces
from talkalike.cli.talking import chosen_model, load_engine, with_reward
from talkalike.cli.workspace import SETTINGS_FILE, Workspace, WorkspaceOption, find_root, open_workspace
from talkalike.engine.listening import address_of
from talkalike.engine.server import create_app, listen
from talkalike.engine.server import serve as serve_app
from talkalike.errors import UserError
from talkalike.settings import listed
from talkalike.workspace.cards import Card


def serve(  # signature: typer
    engine: Annotated[bool, typer.Option("--engine", help="The OpenAI-compatible API.")] = False,
    discord: Annotated[bool, typer.Option("--discord", help="The double on Discord ($DISCORD_TOKEN).")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Discord's stand-in on this computer, with a page to talk in.")
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="The website: chat, judge, watch trainings.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Which model. Default: the one trained last, else the base.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: as in the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port. Default: as in the settings.")] = None,
    inherit: Annotated[int | None, typer.Option(hidden=True)] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve models: API, Discord, website. Without an option all of them, until Ctrl-C."""
    opened = _for_trying(workspace) if offline else open_workspace(workspace)
    if inherit is not None:
        asyncio.run(_serve_parent(opened, chosen_model(opened, model), inherit))
        return
    discord = discord or offline
    if not (engine or discord or web):
        engine = web = True
        discord = bool(discord_token(opened))
        if not discord:
            say("Without Discord: there is no token yet (`talkalike discord setup`).")
    if port is not None and engine + discord + web > 1:
        raise UserError("One port cannot serve several faces.", hint="Set their ports in talkalike.toml.")
    if engine and not discord and not web:
        settings = opened.settings.serve
        key = os.environ.get(settings.api_key_env, "")
        port = settings.port if port is None else port
        asyncio.run(_serve(opened, chosen_model(opened, model), host=host or settings.host, port=port, key=key))
        return
    faces = Faces(engine=engine, discord=discord, offline=offline, web=web, host=host, port=port)
    serve_faces(opened, faces, model=model)


def _for_trying(workspace: object) -> Workspace:
    """The workspace; one that is named and not there yet is made, since there is nothing to prepare for a try."""
    if isinstance(workspace, Path):
        root = find_root(workspace)
        if not (root / SETTINGS_FILE).exists():
            make_workspace(root)
            say(f"Made a workspace in {root}.")
        return open_workspace(root)
    return open_workspace(None)


async def _serve(opened: Workspace, card: Card, *, host: str, port: int, key: str) -> None:
    listening = listen(host, port, api_key=key)
    engine = with_reward(opened, load_engine(opened, card))
    say(f"Serving {engine.name} at {address_of(listening)}v1 ({'with' if key else 'without'} a key). Ctrl-C stops.")
    names = listed(opened.settings.serve.names)
    try:
        app = api(opened, engine, speaker=_speaker(card), key=key)
        await serve_app(app, listening=listening, names=names)
    finally:
        await engine.close()


async def _serve_parent(opened: Workspace, card: Card, inherited: int) -> None:
    """For `talkalike.engine.process`: on the socket it handed down, with the key it writes, until it is gone."""
    key = sys.stdin.readline().strip()
    if not key:
        raise UserError("The process that wanted this model is gone.")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        while sys.stdin.read(4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="the parent's end", daemon=True).start()
    engine = with_reward(opened, load_engine(opened, card))
    try:
        app = create_app(engine, speaker=_speaker(card), api_key=key)
        await serve_app(app, listening=socket.socket(fileno=inherited), stop=stop)
    finally:
        await engine.close()


def _speaker(card: Card) -> str:
    return card.speakers[0] if card.speakers else "assistant"
