"""A gateway session: what one shard of a bot is told, numbered, and kept for a client that comes back."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from local_discord import payloads
from local_discord.events import Event
from local_discord.model import Bot
from local_discord.world_state import State

KEPT_EVENTS = 2000  # for RESUME
KEPT_SECONDS = 120.0  # a session without a connection


class Intent:
    GUILDS = 1 << 0
    MEMBERS = 1 << 1
    PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_REACTIONS = 1 << 10
    GUILD_TYPING = 1 << 11
    DIRECT_MESSAGES = 1 << 12
    DIRECT_REACTIONS = 1 << 13
    DIRECT_TYPING = 1 << 14
    MESSAGE_CONTENT = 1 << 15


_PRIVILEGED_BITS = {
    "members": Intent.MEMBERS,
    "presences": Intent.PRESENCES,
    "message_content": Intent.MESSAGE_CONTENT,
}

# prefix of the event's name -> the intent on servers, the intent in DMs (0: not sent there, None: needs none)
_NEEDED: tuple[tuple[str, int | None, int | None], ...] = (
    ("MESSAGE_REACTION", Intent.GUILD_REACTIONS, Intent.DIRECT_REACTIONS),
    ("MESSAGE_", Intent.GUILD_MESSAGES, Intent.DIRECT_MESSAGES),
    ("TYPING_", Intent.GUILD_TYPING, Intent.DIRECT_TYPING),
    ("GUILD_MEMBER_", Intent.MEMBERS, 0),
    ("GUILD_MEMBERS_CHUNK", None, None),
    ("THREAD_MEMBERS_UPDATE", Intent.GUILDS, 0),
    ("THREAD_", Intent.GUILDS, 0),
    ("CHANNEL_", Intent.GUILDS, Intent.DIRECT_MESSAGES),
    ("GUILD_", Intent.GUILDS, 0),
    ("INTERACTION_CREATE", None, None),
)


def forbidden_intents(bot: Bot, intents: int) -> bool:
    """Whether a privileged intent is asked for that is not switched on for the bot."""
    return any(intents & bit and name not in bot.privileged for name, bit in _PRIVILEGED_BITS.items())


@dataclass(eq=False, kw_only=True)
class Session:
    id: str
    bot: Bot
    intents: int
    shard: tuple[int, int]
    seq: int = 0
    kept: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    connected: bool = True
    left_at: float = 0.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def dispatch(self, name: str, payload: Any) -> None:
        self.seq += 1
        frame = json.dumps({"op": 0, "t": name, "s": self.seq, "d": payload}, ensure_ascii=False)
        self.kept.append((self.seq, frame))
        self.wake.set()

    def after(self, seq: int) -> list[tuple[int, str]] | None:
        """The events with a number above `seq`; None when some of them are kept no longer."""
        if seq > self.seq:
            return None
        missing = self.seq - seq
        if missing > len(self.kept):
            return None
        return [self.kept[i] for i in range(len(self.kept) - missing, len(self.kept))]

    # ---------------------------------------------------------------------------------------------- what it is told
    def hear(self, world: State, event: Event) -> None:
        """Takes an event if it is meant for this bot, this shard and these intents; without the right to message
        contents its texts are emptied."""
        if not self._wants(event) or not world.reaches(event, self.bot.id):
            return
        payload = event.payload
        if event.message is not None:
            payload = readable(world, payload, self.bot, bool(self.intents & Intent.MESSAGE_CONTENT))
        self.dispatch(event.name, payload)

    def _wants(self, event: Event) -> bool:
        shard = 0 if event.server_id is None else (event.server_id >> 22) % self.shard[1]
        if shard != self.shard[0]:
            return False
        for prefix, on_servers, in_dms in _NEEDED:
            if event.name.startswith(prefix):
                needed = in_dms if event.server_id is None else on_servers
                return needed is None or bool(needed and self.intents & needed)
        return False

    def ready(self, world: State, gateway_url: str) -> None:
        """READY, then GUILD_CREATE for every server of this shard."""
        mine = [
            s
            for s in world.servers.values()
            if self.bot.id in s.members and (s.id >> 22) % self.shard[1] == self.shard[0]
        ]
        start = {
            "v": 10,
            "user": payloads.user(self.bot) | {"verified": True, "mfa_enabled": False, "email": None, "flags": 0},
            "guilds": [{"id": str(s.id), "unavailable": True} for s in mine],
            "session_id": self.id,
            "resume_gateway_url": gateway_url,
            "shard": list(self.shard),
            "application": {"id": str(self.bot.id), "flags": payloads.application(world, self.bot)["flags"]},
        }
        self.dispatch("READY", start)
        if not self.intents & Intent.GUILDS:
            return
        everyone = bool(self.intents & Intent.PRESENCES)
        for server in mine:
            created = payloads.guild_create(world, server, self.bot, all_members=everyone)
            self.dispatch("GUILD_CREATE", created | {"unavailable": False})  # that key tells it from being invited

    def member_chunks(self, world: State, request: dict[str, Any]) -> None:
        """Answers op 8, in chunks of 1000."""
        server = world.servers.get(int(request.get("guild_id") or 0))
        if server is None or self.bot.id not in server.members:
            return
        members = list(server.members.values())
        wanted = request.get("user_ids")
        missing: list[str] = []
        if wanted is not None:
            asked = [int(i) for i in (wanted if isinstance(wanted, list) else [wanted])]
            missing = [str(i) for i in asked if i not in server.members]
            members = [server.members[i] for i in asked if i in server.members]
        else:
            prefix, limit = str(request.get("query") or "").lower(), int(request.get("limit") or 0)
            if not prefix and not self.intents & Intent.MEMBERS:
                return
            members = [m for m in members if (m.nick or world.users[m.user_id].name).lower().startswith(prefix)]
            members = members[:limit] if limit else members
        chunks = [members[i : i + 1000] for i in range(0, len(members), 1000)] or [[]]
        for index, chunk in enumerate(chunks):
            payload: dict[str, Any] = {
                "guild_id": str(server.id),
                "members": [payloads.member(world, m) for m in chunk],
                "chunk_index": index,
                "chunk_count": len(chunks),
                "not_found": missing,
            }
            if request.get("nonce") is not None:
                payload["nonce"] = request["nonce"]
            self.dispatch("GUILD_MEMBERS_CHUNK", payload)


_CONTENT_KEYS: dict[str, Any] = {"content": "", "embeds": [], "attachments": [], "components": []}


def readable(world: State, payload: dict[str, Any], bot: Bot, content: bool) -> dict[str, Any]:
    """The message as the bot may read it. Without message contents only its own messages, DMs, and messages that
    mention it keep their text, files, embeds and components; the message replied to is judged by itself."""
    if content:
        return payload
    made = dict(payload)
    own = payload["author"]["id"] == str(bot.id)
    mentioned = any(m["id"] == str(bot.id) for m in payload["mentions"])
    if not (own or mentioned or payload.get("guild_id") is None):
        made |= {key: empty for key, empty in _CONTENT_KEYS.items() if key in made}
        made.pop("message_snapshots", None)
    if made.get("referenced_message"):
        made["referenced_message"] = readable(world, made["referenced_message"], bot, content)
    return made
