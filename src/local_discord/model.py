"""What the world is made of. Plain mutable records: only the `World` changes them, and every change makes an event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class ChannelType(IntEnum):
    TEXT = 0
    DM = 1
    CATEGORY = 4
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12


class MessageType(IntEnum):
    DEFAULT = 0
    PIN = 6
    JOIN = 7
    THREAD_CREATED = 18
    REPLY = 19
    CHAT_INPUT_COMMAND = 20
    THREAD_STARTER = 21
    CONTEXT_MENU_COMMAND = 23


class MessageFlag(IntEnum):
    CROSSPOSTED = 1
    SUPPRESS_EMBEDS = 1 << 2
    HAS_THREAD = 1 << 5
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    HAS_SNAPSHOT = 1 << 14
    COMPONENTS_V2 = 1 << 15


@dataclass(slots=True, eq=False, kw_only=True)
class User:
    """A person. `accepts_dms` False: bots get 50007 when they write first (or at all)."""

    id: int
    name: str
    avatar_color: str = ""
    global_name: str | None = None
    accepts_dms: bool = True
    bot: bool = False

    @property
    def display_name(self) -> str:
        return self.global_name or self.name


PRIVILEGED = frozenset({"message_content", "members", "presences"})


@dataclass(slots=True, eq=False, kw_only=True)
class Bot(User):
    """A bot and its application, which share one id. `privileged`: the intents switched on in the developer portal."""

    token: str
    owner_id: int
    description: str = ""
    privileged: frozenset[str] = PRIVILEGED
    commands: dict[int, dict[str, Any]] = field(default_factory=dict)  # as registered, with id and guild_id


@dataclass(slots=True, eq=False, kw_only=True)
class Role:
    id: int
    server_id: int
    name: str
    position: int = 0
    permissions: int = 0
    color: int = 0
    managed_by: int | None = None  # the bot whose own role this is


@dataclass(slots=True, eq=False, kw_only=True)
class Member:
    user_id: int
    joined: float
    role_ids: set[int] = field(default_factory=set)
    nick: str | None = None


@dataclass(slots=True, frozen=True)
class Overwrite:
    """Permissions allowed and denied in one channel, to a role (`type` 0) or a member (1)."""

    target_id: int
    type: int
    allow: int = 0
    deny: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Attachment:
    """A file. The bytes live in the `FileStore`, which may have dropped them (the oldest first)."""

    id: int
    channel_id: int
    filename: str
    size: int
    content_type: str
    width: int | None = None
    height: int | None = None
    description: str | None = None
    ephemeral: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Message:
    id: int
    channel_id: int
    server_id: int | None
    author_id: int
    content: str
    timestamp: float
    type: int = MessageType.DEFAULT
    edited: float | None = None
    flags: int = 0
    tts: bool = False
    pinned: bool = False
    nonce: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    mention_ids: list[int] = field(default_factory=list)
    mention_role_ids: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    reactions: dict[str, list[int]] = field(default_factory=dict)  # emoji ("name" or "name:id") -> who
    reference: dict[str, Any] | None = None
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    application_id: int | None = None  # made by an interaction's answer
    interaction_metadata: dict[str, Any] | None = None
    thread_id: int | None = None
    only_for: int | None = None  # ephemeral: the one person who sees it


@dataclass(slots=True, eq=False, kw_only=True)
class Channel:
    """Text channels, categories, DMs and threads."""

    id: int
    type: int
    name: str
    server_id: int | None = None
    parent_id: int | None = None  # category of a channel, channel of a thread
    position: int = 0
    topic: str | None = None
    nsfw: bool = False
    slowmode: int = 0
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    recipient_ids: tuple[int, ...] = ()  # of a DM, both
    opened_by: frozenset[int] = frozenset()  # of a DM: who opened it or wrote in it
    messages: dict[int, Message] = field(default_factory=dict)  # oldest first
    last_message_id: int | None = None
    # threads only
    owner_id: int | None = None
    created: float = 0.0
    member_ids: dict[int, float] = field(default_factory=dict)  # who -> joined
    archived: bool = False
    archived_at: float = 0.0
    locked: bool = False
    invitable: bool = True
    auto_archive_minutes: int = 4320
    total_sent: int = 0

    @property
    def is_thread(self) -> bool:
        return self.type in (ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD)


@dataclass(slots=True, eq=False, kw_only=True)
class Server:
    id: int
    name: str
    owner_id: int
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    threads: dict[int, Channel] = field(default_factory=dict)


class InteractionType(IntEnum):
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL_SUBMIT = 5


class CallbackType(IntEnum):
    PONG = 1
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE_MESSAGE = 7
    CHOICES = 8
    MODAL = 9


@dataclass(slots=True, eq=False, kw_only=True)
class Interaction:
    """One click or command of a person, and what became of it. `created` by the world's clock."""

    id: int
    token: str
    type: int
    bot_id: int
    user_id: int
    channel_id: int
    data: dict[str, Any]
    created: float
    source_id: int | None = None  # the message whose button it was
    parent_metadata: dict[str, Any] | None = None  # of a modal: what had opened it
    callback: int | None = None  # the CallbackType of the first answer
    original_id: int | None = None  # the message behind @original
    ephemeral: bool = False
    modal: dict[str, Any] | None = None
    choices: list[dict[str, Any]] | None = None
    message_ids: set[int] = field(default_factory=set)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
