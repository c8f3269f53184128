"""`talkalike serve --discord`: the bot with its store and models, at Discord or at the stand-in on this computer."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from talkalike.cli.discord_room import furnish
from talkalike.cli.engines import WorkspaceEngines
from talkalike.cli.output import FICTIONAL, say
from talkalike.cli.secrets import TOKEN_VARIABLE, database_url, discord_token
from talkalike.discord_bot.running import run
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.errors import UserError
from talkalike.store.store import Store, open_store

if TYPE_CHECKING:
    from talkalike.cli.workspace import Workspace


def serve_discord(opened: Workspace, model: str | None, *, offline: bool, port: int | None) -> None:
    """Runs the bot until Ctrl-C or SIGTERM."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("discord.client").setLevel(logging.ERROR)  # it warns that voice, which we do not use, is missing
    if offline:
        asyncio.run(_offline(opened, model, opened.settings.discord.page_port if port is None else port))
        return
    token = discord_token(opened)
    if not token:
        raise UserError(
            f"There is no token for the bot: ${TOKEN_VARIABLE} is not set.",
            hint="Run `talkalike discord setup` to make one, or try without one: talkalike serve --discord --offline",
        )
    asyncio.run(_online(opened, model, token))


async def _online(opened: Workspace, model: str | None, token: str) -> None:
    settings = bot_settings(opened)
    if not settings.owner_ids:
        say("Nobody is the bot's owner: set owner_id in [discord] of talkalike.toml (`talkalike discord setup` helps).")
    with open_store(database_url(opened)) as store:
        async with _services(opened, model, store, settings) as services:
            await _until_stopped(
                services, token, words="It is online. Ctrl-C stops it.", shards=opened.settings.discord.shards
            )


async def _offline(opened: Workspace, model: str | None, port: int) -> None:
    from talkalike.discord_bot.wire import point_at
    from talkalike.local_discord.server import LocalDiscord
    from talkalike.local_discord.world import World

    world = World()
    room = furnish(world)
    settings = bot_settings(opened, owner_id=room.owner_id)
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder) / 'offline.db'}") as store:
        for rule in room.rules:
            await store.run(room.put_rule, rule)
        async with _services(opened, model, store, settings) as services, LocalDiscord(world, port=port) as server:
            point_at(server.api_base, server.gateway_url)
            words = f"Talk to it in your browser: {server.page_url}\nNothing leaves this computer. Ctrl-C stops it."
            await _until_stopped(services, room.token, words=words, shards=1)


@asynccontextmanager
async def _services(
    opened: Workspace, model: str | None, store: Store, settings: BotSettings
) -> AsyncIterator[Services]:
    engines = WorkspaceEngines(opened, default=model)
    try:
        voice = next(voice for voice in engines.voices() if voice.model == engines.default)
        if voice.fictional:
            say(f"{FICTIONAL}.")
        say(f"Loading {voice.model} (it talks like {voice.speaker}) ...")
        await engines.open(voice.model)
        settings = dataclasses.replace(settings, owner_name=settings.owner_name or voice.speaker)
        yield Services(store=store, engines=engines, settings=settings)
    finally:
        await engines.close()


async def _until_stopped(services: Services, token: str, *, words: str, shards: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await run(services, token, stop=stop, shards=shards, when_ready=lambda: say(words))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def bot_settings(opened: Workspace, *, owner_id: int | None = None) -> BotSettings:
    """The settings file's part for the bot; `[chat]` gives the options that hold where Discord says nothing else."""
    settings, chat = opened.settings.discord, opened.settings.chat
    options = {key: value for key, value in chat.model_dump(exclude={"budget_tokens"}).items() if value is not None}
    if chat.budget_tokens != "auto":
        options["budget_tokens"] = chat.budget_tokens
    owner = owner_id or settings.owner_id
    return BotSettings(
        owner_ids=frozenset({owner} if owner else ()),
        owner_name=settings.owner_name,
        dm_access=settings.dm_access,
        options=options,
        history_limit=settings.history_messages,
        text_file_cap=settings.text_file_kb * 1024,
        max_waiting=settings.max_waiting,
        at_once=settings.at_once,
        scenario_folder=settings.scenarios,
    )
