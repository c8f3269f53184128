"""The bot as one of the faces of `talkalike serve`: at Discord, or at the stand-in on this computer."""

from __future__ import annotations

import asyncio
import logging

from local_discord.server import LocalDiscord
from local_discord.world import World
from talkalike.chat.engines import Engines
from talkalike.cli.discord_room import furnish
from talkalike.cli.output import say
from talkalike.cli.secrets import TOKEN_VARIABLE, discord_token
from talkalike.cli.talking import reply_options
from talkalike.cli.workspace import Workspace
from talkalike.discord_bot.running import point_at, run
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.errors import UserError
from talkalike.store.store import Store


async def serve_online(opened: Workspace, store: Store, engines: Engines, stop: asyncio.Event) -> None:
    """The bot at Discord. UserError where there is no token, or a wrong one."""
    token = discord_token(opened)
    if not token:
        raise UserError(
            f"There is no token for the bot: ${TOKEN_VARIABLE} is not set.",
            hint="Run `talkalike discord setup` to make one, or try without one: talkalike serve --discord --offline",
        )
    _quiet()
    settings = bot_settings(opened, engines)
    if not settings.owner_ids:
        say("Nobody is the bot's owner: set owner_id in [discord] of talkalike.toml (`talkalike discord setup` helps).")
    services = Services(store=store, engines=engines, settings=settings)
    shards = opened.settings.discord.shards
    await run(services, token, stop=stop, shards=shards, when_ready=lambda: say("The double is on Discord."))


async def serve_offline(opened: Workspace, store: Store, engines: Engines, stop: asyncio.Event, *, port: int) -> None:
    """The bot at a Discord of our own, with a page to talk in."""
    _quiet()
    world = World()
    room = furnish(world)
    for rule in room.rules:
        await store.run(room.put_rule, rule)
    services = Services(store=store, engines=engines, settings=bot_settings(opened, engines, owner_id=room.owner_id))
    async with LocalDiscord(world, port=port) as server:
        point_at(server.api_base, server.gateway_url)
        words = f"Discord's stand-in, nothing leaves this computer: {server.page_url}"
        await run(services, room.token, stop=stop, when_ready=lambda: say(words))


def _quiet() -> None:
    logging.getLogger("discord.client").setLevel(logging.ERROR)  # it warns that voice, which we do not use, is missing


def bot_settings(opened: Workspace, engines: Engines, *, owner_id: int | None = None) -> BotSettings:
    """The settings file's part for the bot; `[chat]` gives the options that hold where Discord says nothing else."""
    settings = opened.settings.discord
    owner = owner_id or settings.owner_id
    return BotSettings(
        owner_ids=frozenset({owner} if owner else ()),
        owner_name=settings.owner_name or _voice(engines),
        dm_access=settings.dm_access,
        options=reply_options(opened),
        history_limit=settings.history_messages,
        text_file_cap=settings.text_file_kb * 1024,
        stale_after=60 * settings.catch_up_minutes,
        max_waiting=settings.max_waiting,
        at_once=settings.at_once,
        scenario_folder=settings.scenarios,
    )


def _voice(engines: Engines) -> str:
    return next((voice.speaker for voice in engines.voices() if voice.model == engines.default), engines.default)
