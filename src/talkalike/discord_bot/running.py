"""The bot from login to logout: where Discord is, and its refusals in words."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress

import discord
import yarl

from talkalike.discord_bot.bot import Double, ShardedDouble, intents
from talkalike.discord_bot.services import Services
from talkalike.errors import TalkalikeError, UserError


def point_at(api_base: str, gateway_url: str) -> None:
    """Lets every client of this process talk to another server, such as our local Discord.

    `api_base` is like "http://127.0.0.1:8080/api/v10", `gateway_url` like "ws://127.0.0.1:8080/gateway". Call it before
    a client logs in. discord.py has no setting for this; both names are its own (seen in 2.7.1).
    """
    discord.http.Route.BASE = api_base
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)


async def run(
    services: Services, token: str, *, stop: asyncio.Event, shards: int = 1, when_ready: Callable[[], None]
) -> None:
    """Keeps the bot online until `stop` is set. `shards`: connections to Discord, 0 for as many as it recommends.

    Raises UserError for a wrong token or a missing intent, TalkalikeError where Discord cannot be reached.
    """
    calm_collector()
    bot = Double(services) if shards == 1 else ShardedDouble(services, intents=intents(), shard_count=shards or None)
    running = asyncio.create_task(_start(bot, token, when_ready))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        await bot.close()
        for task in (running, stopped):
            task.cancel()
            with suppress(asyncio.CancelledError, TalkalikeError):
                await task


def calm_collector() -> None:
    """Rare and small garbage collections: a full one over the kept messages of a thousand channels stops the event loop
    for a third of a second. Reference counting frees what replies leave behind; cycles wait for a full collection
    that comes every ten million objects or so.
    """
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked through again
    gc.set_threshold(10_000, 50, 20)


async def _start(bot: Double, token: str, when_ready: Callable[[], None]) -> None:
    async def tell() -> None:
        await bot.wait_until_ready()
        when_ready()

    try:
        await bot.login(token)
        telling = asyncio.create_task(tell())
        try:
            await bot.connect()
        finally:
            telling.cancel()
    except discord.LoginFailure:
        raise UserError("Discord does not know this token.", hint="Run: talkalike discord setup") from None
    except discord.PrivilegedIntentsRequired:
        raise UserError(
            "The bot may not read messages: the intent Message Content is off.",
            hint="`talkalike discord setup` shows where to switch it on.",
        ) from None
    except (discord.HTTPException, discord.GatewayNotFound, OSError) as problem:
        raise TalkalikeError(f"Discord could not be reached: {problem}", hint="Check the connection.") from None
