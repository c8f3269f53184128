"""Where the parts of the server find each other: typed keys of the aiohttp application and request."""

from __future__ import annotations

from aiohttp import web

from local_discord.gateway import Gateway
from local_discord.model import Bot
from local_discord.world import World

WORLD: web.AppKey[World] = web.AppKey("world", World)
GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
BOT: web.RequestKey[Bot] = web.RequestKey("bot", Bot)


def asking(request: web.Request) -> tuple[World, Bot]:
    """The world, and the bot whose token the request carries."""
    return request.app[WORLD], request[BOT]
