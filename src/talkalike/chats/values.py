"""The plain values every room shares: people, messages, conversations and sessions.

Two values with the same content are equal; where a message is stored is the archive's concern, not the value's.
Times are UTC milliseconds since 1970. Texts are exactly what was written (no normalisation): typing habits are the
training signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

_BOTS = (
    "ubotu ubottu ubot2 ubot3 ubot4 ubot5 ubot9 ubotwo ubot93 lubotu lubottu lubotu1 lubotu2 lubotu3 kubotu ubuntulog "
    "meetingology supybot chanserv nickserv memoserv floodbot1 floodbot2 floodbot3 floodbot4 floodbotk1 floodbotk2"
)
KNOWN_BOTS = frozenset(_BOTS.split())
"""Nicks of IRC channels' bots, in small letters. Exports with a mark for bots need no names."""


class Platform(StrEnum):
    """Where a conversation was exported from; part of a person's and a conversation's identity."""

    MESSENGER = "messenger"
    IRC = "irc"
    INSTAGRAM = "instagram"
    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"
    DISCORD = "discord"
    SLACK = "slack"
    SIGNAL = "signal"
    IMESSAGE = "imessage"
    GOOGLE_CHAT = "google-chat"
    MATRIX = "matrix"
    TABLE = "table"  # a CSV or JSONL file, whatever it was made from


class MessageKind(StrEnum):
    """What a message is. Only TEXT and ACTION carry words a person typed into `text`."""

    TEXT = "text"
    ACTION = "action"  # IRC's `/me waves`: the text without the nick
    MEDIA = "media"  # photo, video, audio or file without words
    STICKER = "sticker"
    SHARE = "share"  # a link shared through the platform, without words of its own
    CALL = "call"
    POLL = "poll"
    SYSTEM = "system"  # written by the platform: joins, renames, topic changes


class AttachmentKind(StrEnum):
    PHOTO = "photo"
    VIDEO = "video"
    GIF = "gif"
    AUDIO = "audio"
    FILE = "file"
    STICKER = "sticker"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Something sent along with a message. `uri` is the path inside the export, or the link that was shared."""

    kind: AttachmentKind
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """An emoji put on a message by `actor` (a display name)."""

    actor: str
    emoji: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Somebody who speaks. `id` is stable within the archive (`platform:name`), `name` is what others see."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it was sent. `id` is unique within its conversation and the same on every import."""

    id: str
    author: Speaker
    sent_ms: int
    kind: MessageKind = MessageKind.TEXT
    text: str = ""
    reply_to: str | None = None  # id of the message it answers, or the name it addresses on IRC
    reactions: tuple[Reaction, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    unsent: bool = False  # taken back by its author: kept as a fact, its words are never used
    edited: bool = False  # `text` is how it reads since
    forwarded: bool = False  # somebody else's words, passed on: no example of how its author writes
    is_bot: bool = False
    source: str = ""  # the export's file it came from, relative to the export


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One chat: a direct one between two people, or a group. `id` is `platform:slug`."""

    id: str
    platform: Platform
    title: str
    is_group: bool
    participants: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A stretch of one conversation without a long silence, oldest message first. Never empty."""

    conversation: Conversation
    messages: tuple[Message, ...]


class Chats(Protocol):
    """Conversations with their messages, wherever they are kept."""

    def conversations(self) -> Sequence[Conversation]:
        """Returns every conversation that is kept."""
        ...

    def messages(self, conversation_id: str) -> Iterable[Message]:
        """A conversation's messages, oldest first."""
        ...
