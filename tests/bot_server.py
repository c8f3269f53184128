"""The whole double (real discord.py, a real store, a script for a model) on our own Discord, for tests of trouble."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord

from discord_world import is_word
from local_discord.model import Bot, Channel, Interaction, Message
from local_discord_bots import DiscordServer, until
from talkalike.chat.engines import Engines, OpenEngines, Voice
from talkalike.chat.permissions import Access, Rule, Subject
from talkalike.discord_bot.bot import Double, ShardedDouble
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import replies, rules
from talkalike.store.replies import ReplyRow
from talkalike.store.store import Store

CHILD = Path(__file__).with_name("fault_child.py")
VOICE = Voice(model="anton-1", speaker="Anton", fictional=True)
PROMPTLY = {"wait_seconds": 0.0, "replies_per_minute": 600}


def echo(prompt: Prompt) -> tuple[str, ...]:
    """Every reply names what it answers."""
    return (f"re: {prompt.turns[-1].text}",)


@dataclass
class BotServer(DiscordServer):
    """A server and the double's store, which outlive the double. Every message in #general is answered."""

    store: Store

    def __post_init__(self) -> None:
        self.open(self.general)

    def open(self, channel: Channel, access: Access = Access.OPEN) -> None:
        """Every message there is answered; with `Access.MENTION`, those that call the double."""
        rule = Rule(server_id=channel.server_id, subject=Subject.CHANNEL, subject_id=channel.id, access=access)
        self.store.call(rules.put, rule, by=1)

    def open_channels(self, count: int) -> list[Channel]:
        """Adds further channels in which every message is answered."""
        made = [self.world.add_channel(self.guild, f"room-{number}") for number in range(count)]
        for one in made:
            self.open(one)
        return made

    def send(self, words: str, channel: Channel | None = None) -> Message:
        return self.world.send(self.anna.id, (channel or self.general).id, words)

    def by_bot(self, channel: Channel | None = None, bot: Bot | None = None) -> list[Message]:
        author = (bot or self.bot).id
        return [one for one in (channel or self.general).messages.values() if one.author_id == author]

    def words(self, channel: Channel | None = None, bot: Bot | None = None) -> list[str]:
        """What the double said, without notices."""
        return [one.content for one in self.by_bot(channel, bot) if is_word(one.content)]

    def notices(self, channel: Channel | None = None) -> list[str]:
        return [one.content for one in self.by_bot(channel) if one.content and not is_word(one.content)]

    def rows(self, channel: Channel | None = None) -> Sequence[ReplyRow]:
        """Newest first, as the store has them."""
        return self.store.call(replies.recent, (channel or self.general).id, 50)

    async def wait_ended(self, count: int, channel: Channel | None = None) -> Sequence[ReplyRow]:
        """Waits until there are that many replies and all have ended."""

        def all_ended() -> Sequence[ReplyRow]:
            rows = self.rows(channel)
            return rows if len(rows) >= count and all(row.ended_at for row in rows) else ()

        return await until(all_ended)

    async def use_command(self, name: str) -> Interaction:
        """Anna uses a slash command in the open channel; its first answer is there."""
        anna, general = self.anna.id, self.general.id
        (found,) = [one for one in self.world.commands(anna, general) if one["name"] == name]
        return await self.world.answered(self.world.invoke(anna, general, int(found["id"])), timeout=3.0)

    async def read_answer(self, interaction: Interaction) -> str:
        """Waits for what a command answers to the one who used it."""
        await until(lambda: self._original(interaction).content)
        return self._original(interaction).content

    def _original(self, interaction: Interaction) -> Message:
        return self.world.ephemeral[interaction.original_id or 0]


class _Prompt:
    """Without discord.py's five seconds before it identifies a second time."""

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        return None


class PromptDouble(_Prompt, Double):
    """The double."""


class PromptShardedDouble(_Prompt, ShardedDouble):
    """The double over several connections."""


@asynccontextmanager
async def online(
    server: BotServer,
    engine: ScriptedEngine | None = None,
    *,
    engines: Engines | None = None,
    shards: int = 1,
    **settings: Any,
) -> AsyncIterator[Double]:
    """The double is ready; it logs out at the end."""
    engines = engines or OpenEngines(engines={VOICE.model: engine or ScriptedEngine(echo)}, described=(VOICE,))
    given: dict[str, Any] = {"owner_name": "Anton", "dm_access": "open", **settings}
    given["options"] = PROMPTLY | given.get("options", {})
    services = Services(store=server.store, engines=engines, settings=BotSettings(**given))
    options: dict[str, Any] = {"describe": False, "guild_ready_timeout": 0.1}
    bot: Double = PromptDouble(services, **options)
    if shards > 1:
        bot = PromptShardedDouble(services, shard_count=shards, **options)
    running = asyncio.create_task(bot.start(server.bot.token))
    ready = asyncio.create_task(_ready(bot))
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield bot
    finally:
        ready.cancel()
        await bot.close()
        await asyncio.gather(running, return_exceptions=True)


async def _ready(bot: discord.Client) -> None:
    while not hasattr(bot, "conversations"):
        await asyncio.sleep(0.01)
    await bot.wait_until_ready()


@asynccontextmanager
async def child(
    server: BotServer, url: str, *, token: str, delay: float = 0.0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The double in a process of its own, ready. It is killed at the end if it still runs."""
    wire = server.wire
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), "bot", wire.api_base, wire.gateway_url, token, url, str(delay),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
