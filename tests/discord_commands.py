"""A bot with every command on simcord's Discord: people of every level, scripted models and a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import simcord

from talkalike.chat.engines import OpenEngines, Voice
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.discord_bot.bot import Double
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.engine.scripted import ScriptedEngine
from talkalike.store import rules
from talkalike.store.store import open_store

VOICES = (
    Voice(model="ada-2", speaker="Ada", base="tiny", trained_at=datetime(2026, 5, 1, tzinfo=UTC), likeness=0.71),
    Voice(model="bob-1", speaker="Bob", base="small", fictional=True),
)


@dataclass
class Stage:
    """A server, its places and people. `owner` runs the bot, `anna` owns the server, `adam` may manage it."""

    env: simcord.Env
    bot: Double
    engines: dict[str, ScriptedEngine]
    guild: Any = None
    general: Any = None
    closed: Any = None
    people: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def put(self, subject: Subject, subject_id: int, *, server_id: int | None = None, **value: Any) -> None:
        server = self.guild.id if server_id is None else server_id or None
        self.store.call(rules.put, Rule(server_id=server, subject=subject, subject_id=subject_id, **value), by=1)

    @property
    def store(self) -> Any:
        return self.bot.services.store

    def text(self, result: Any) -> str:
        """What the caller was told; it must be for their eyes only, and said once."""
        assert result.acknowledged
        assert result.response is not None
        assert result.response.ephemeral
        assert not result.followups
        return result.response.content


@asynccontextmanager
async def stage(
    tmp_path: Path,
    *,
    replies: Sequence[Any] | Callable[..., Any] = (("hello there",),),
    delay: float = 0.0,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Everything set up: #general is open to mentions, #closed to nobody."""
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    engines = {voice.model: ScriptedEngine(replies, name=voice.model, delay=delay) for voice in VOICES}
    services = Services(
        store=store,
        engines=OpenEngines(engines=engines, described=VOICES),
        settings=BotSettings(owner_name="Ada Lovelace", **settings),
    )
    bot = Double(services, describe=False)
    try:
        async with simcord.run(bot) as env:
            play = Stage(env, bot, engines)
            owner_of_server = env.create_user("anna")
            play.guild = env.create_guild("Tea room", owner=owner_of_server)
            play.general = play.guild.create_text_channel("general")
            play.closed = play.guild.create_text_channel("closed")
            manage = play.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
            play.people["role"] = play.guild.create_role("regulars")
            play.people["anna"] = play.guild.add_member(owner_of_server)
            play.people["owner"] = play.guild.add_member(env.create_user("owen"))
            services.settings = replace(services.settings, owner_ids=frozenset({play.owner.id}))
            play.people["adam"] = play.guild.add_member(env.create_user("adam"), roles=[manage])
            for name in ("mona", "vic", "iggy"):
                play.people[name] = play.guild.add_member(env.create_user(name))
            play.put(Subject.CHANNEL, play.general.id, access=Access.MENTION)
            play.put(Subject.USER, play.mona.id, level=Level.MOD)
            play.put(Subject.USER, play.iggy.id, level=Level.IGNORED)
            yield play
    finally:
        store.close()
