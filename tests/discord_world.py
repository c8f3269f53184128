"""A small Discord for the tests of the double: simcord with the real bot, a real store, and a script for a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import simcord
from simcord.env import Env

from talkalike.chat.engines import OpenEngines, Voice
from talkalike.chat.looking import Onlooker
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.discord_bot.bot import Double
from talkalike.discord_bot.markers import MARKER_SIGN, NOTICE_SIGN, reset_marker
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.engine.eyes import Eye
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import Reply, ScriptedEngine
from talkalike.store import rules
from talkalike.store.seeing.recalling import StoredWords
from talkalike.store.store import Store, open_store

Script = Sequence[Reply] | Callable[[Prompt], Reply]
SETTLE = 2.0  # seconds of real time that simcord gives to whatever is due sooner; what is due later it leaves alone
WAIT = 2.5  # seconds: the default end of a burst


def is_word(text: str) -> bool:
    """What the double said, and no notice or marker of the bot's."""
    return bool(text) and not text.endswith((f"-# {NOTICE_SIGN}", f"-# {MARKER_SIGN}"))


class World:
    """One server with two channels, two people and the bot; `open` and `closed` are as their names say."""

    def __init__(self, env: Env, services: Services, engine: ScriptedEngine) -> None:
        self.env = env
        self.services = services
        self.engine = engine
        self.guild = env.create_guild("The Server")
        self.open = self.guild.create_text_channel("open")
        self.mention = self.guild.create_text_channel("mention")
        self.closed = self.guild.create_text_channel("closed")
        self.anna = self.guild.add_member(env.create_user("Anna"))
        self.ben = self.guild.add_member(env.create_user("Ben"))

    @property
    def bot(self) -> Double:
        assert isinstance(self.env.bot, Double)
        return self.env.bot

    @property
    def me(self) -> str:
        assert self.bot.user is not None
        return self.bot.user.mention

    def rule(
        self, subject: Subject, subject_id: int, *, access: Access | None = None, level: Level | None = None
    ) -> None:
        server_id = None if subject is Subject.DM else self.guild.id
        rule = Rule(server_id=server_id, subject=subject, subject_id=subject_id, access=access, level=level)
        self.services.store.call(rules.put, rule, by=1)

    async def wait(self, seconds: float = WAIT + 1) -> None:
        await self.env.advance_time(seconds)

    def dm(self, member: Any) -> Any:
        """The channel of a person's direct messages with the bot."""
        return member.user.dm_channel

    async def restart(self) -> None:
        """The process ends, and another one starts with the same store and script."""
        await self.env.restart_bot(Double(self.services, describe=False))

    async def replay(self, message: discord.Message) -> None:
        """Discord tells of a message a second time, as after a dropped connection."""
        self.bot.dispatch("message", message)
        await self.wait()

    async def reset(self, channel: Any) -> None:
        found = self.bot.get_channel(channel.id)
        assert isinstance(found, discord.TextChannel) and self.bot.user is not None
        await reset_marker(found, self.bot.user)
        await self.env.settle()

    async def delete_marker(self, channel: Any) -> None:
        (marker,) = [one for one in channel.history() if one.content and "fresh start" in one.content]
        found = self.bot.get_channel(channel.id)
        assert isinstance(found, discord.TextChannel)
        await found.get_partial_message(marker.id).delete()
        await self.env.settle()

    async def leave(self) -> None:
        """The bot leaves the server."""
        found = self.bot.get_guild(self.guild.id)
        assert found is not None
        await found.leave()
        await self.env.settle()

    def words(self, channel: Any) -> list[str]:
        """What the bot said in a channel, without notices."""
        return [one.content for one in channel.history() if one.author.id == self.bot.user.id and is_word(one.content)]

    def notices(self, channel: Any) -> list[str]:
        """The notices of the bot in a channel."""
        found = [one.content for one in channel.history() if one.author.id == self.bot.user.id]
        return [told.removesuffix(f"\n-# {NOTICE_SIGN}") for told in found if told and not is_word(told)]

    def prompts(self) -> list[list[str]]:
        """What the model was shown, one list for each time it was asked."""
        return [[f"{turn.speaker}: {turn.text}" for turn in prompt.turns] for prompt in self.engine.prompts]


def services(
    tmp_path: Path, engine: ScriptedEngine, *, settings: Mapping[str, Any] | None = None, store: Store | None = None
) -> Services:
    engines = OpenEngines(
        engines={"anton-1": engine}, described=(Voice(model="anton-1", speaker="Anton", fictional=True),)
    )
    given = {"owner_ids": frozenset({7}), "owner_name": "Anton", "dm_access": "open", **(settings or {})}
    opened = store or open_store(f"sqlite:///{tmp_path / 'store.db'}")
    return Services(store=opened, engines=engines, settings=BotSettings(**given))


@asynccontextmanager
async def world(
    tmp_path: Path,
    script: Script = ("hello there",),
    *,
    settle: float = SETTLE,
    engine: ScriptedEngine | None = None,
    eye: Eye | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """The bot is online, `open` is open, `mention` answers mentions, `closed` is closed. `eye` looks at pictures."""
    engine = engine or ScriptedEngine(script)
    given = services(tmp_path, engine, settings=settings)
    if eye is not None:
        given.onlooker = Onlooker(eye, StoredWords(given.store))
    try:
        async with simcord.run(Double(given, describe=False), settle_timeout=settle) as env:
            made = World(env, given, engine)
            made.rule(Subject.CHANNEL, made.open.id, access=Access.OPEN)
            made.rule(Subject.CHANNEL, made.mention.id, access=Access.MENTION)
            with env.time_context():
                yield made
    finally:
        given.store.close()
