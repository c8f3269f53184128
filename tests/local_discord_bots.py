"""Real discord.py clients on our own Discord, for the tests of both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import discord
import yarl
from discord import app_commands

from local_discord.model import Bot, Channel, Server, User
from local_discord.server import LocalDiscord
from local_discord.world import World

PATIENCE = 10.0  # seconds; only ever used up by a failing test


@dataclass
class DiscordServer:
    """A served world with one server: two people, two channels, one of them with a category, and a bot."""

    world: World
    wire: LocalDiscord
    guild: Server
    anna: User  # the owner
    ben: User
    general: Channel
    other: Channel
    bot: Bot


@asynccontextmanager
async def open_server(*, ago: float = 0.0) -> AsyncIterator[DiscordServer]:
    """`ago`: seconds by which its clock is behind, until the test moves it on."""
    world = World()
    world.clock.advance(-ago)
    anna, ben = world.add_user("anna", global_name="Anna"), world.add_user("ben")
    guild = world.add_server("Town", anna)
    world.add_server("Elsewhere", ben)
    world.add_member(guild, ben)
    general = world.add_channel(guild, "general")
    other = world.add_channel(guild, "other", world.add_category(guild, "Rooms"))
    bot = world.add_bot("double", owner=anna)
    world.invite(guild, bot)
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    async with LocalDiscord(world) as wire:
        discord.http.Route.BASE = wire.api_base
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(wire.gateway_url)
        try:
            yield DiscordServer(world, wire, guild, anna, ben, general, other, bot)
        finally:
            discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before


class Probe(discord.Client):
    """Remembers every event of discord.py; `register` fills the command tree before it is synced."""

    def __init__(
        self,
        *,
        intents: discord.Intents | None = None,
        register: Callable[[app_commands.CommandTree[Probe]], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(intents=intents or discord.Intents.all(), guild_ready_timeout=0.1, **options)
        self.tree: app_commands.CommandTree[Probe] = app_commands.CommandTree(self)
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self._register = register
        self._news = asyncio.Event()

    async def setup_hook(self) -> None:
        if self._register is not None:
            self._register(self.tree)
            await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library's own waits five seconds before it identifies a second time."""

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        super().dispatch(event, *args, **kwargs)
        self.events.append((event, args))
        self._news.set()

    async def hears(self, event: str, check: Callable[..., bool] = lambda *_: True, *, after: int = 0) -> Any:
        """The arguments (one: itself) of the first such event told at place `after` or later."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for name, args in self.events[after:]:
                    if name == event and check(*args):
                        return args[0] if len(args) == 1 else args
                self._news.clear()
                await self._news.wait()

    def heard(self, event: str) -> list[Any]:
        return [args[0] if len(args) == 1 else args for name, args in self.events if name == event]


@asynccontextmanager
async def running(client: Probe, token: str) -> AsyncIterator[Probe]:
    """Logged in and ready; closed again at the end."""
    running_client = asyncio.create_task(client.start(token))
    ready = asyncio.create_task(client.hears("ready"))
    try:
        await asyncio.wait({running_client, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running_client.done():
            await running_client
        yield client
    finally:
        ready.cancel()
        await client.close()
        await asyncio.gather(running_client, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> Any:
    """Waits for something to become true, and gives it."""
    async with asyncio.timeout(PATIENCE):
        while not (value := condition()):
            await asyncio.sleep(0.005)
    return value
