"""Discord's data package: `messages/c123/messages.json` (older: .csv) with what its owner wrote, and nothing else.

Names of folders are translated and capitalised as Discord likes; a folder's `channel.json` tells which channel it is.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.importers.protocol import Choices, Damaged, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    identifier,
    mapping,
    one_part,
    read_items,
    read_whole,
    string,
)
from talkalike.chats.importers.times import iso_ms
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Attachment, Message, Platform, Speaker

_MESSAGES = re.compile(r"(?:^|/)c?\d{15,22}/messages\.(?:json|csv)$", re.IGNORECASE)
_CHANNEL = re.compile(r"(?:^|/)c?\d{15,22}/channel\.json$", re.IGNORECASE)
_USER = re.compile(r"(?:^|/)[^/]+/user\.json$", re.IGNORECASE)
_INDEX = re.compile(r"(?:^|/)[^/]+/index\.json$", re.IGNORECASE)
_PAIRS = frozenset({"1", "DM"})
_OWN_ONLY = (
    "Discord's data package holds your own messages only: they teach how you write, not what you answer. With "
    "DiscordChatExporter's JSON of the same channels beside it, the others' messages are there too."
)
_FIELD_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscordPackage:
    """Discord's own export ("Request all of my data")."""

    choices: Choices = field(default_factory=Choices)
    name: str = "discord"
    described: str = "Discord (data package, your own messages)"

    def recognises(self, entry: Entry) -> bool:
        """By the numbers that its folders are called, and the files about the account."""
        path = entry.path if "/" in entry.path else f"{entry.container}/{entry.path}"
        if _MESSAGES.search(path) or _CHANNEL.search(path):
            return True
        if _USER.search(path):
            return b'"username"' in entry.head() or b'"global_name"' in entry.head()
        return _INDEX.search(path) is not None and re.match(rb'\s*\{\s*"\d{15,22}"\s*:', entry.head(256)) is not None

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One channel for each folder with messages."""
        about = {(entry.root, _folder(entry), entry.name.lower()): entry for entry in entries}
        users = [entry for entry in entries if _USER.search(f"/{entry.path}")]
        user = mapping(read_whole(users[0], findings)) if users else {}
        names: dict[str, object] = {}
        for entry in entries:
            if entry.name.lower() == "index.json":
                names |= mapping(read_whole(entry, findings))
        own = Cast(Platform.DISCORD).person(
            identifier(user.get("id")) or "me",
            string(user.get("global_name")) or string(user.get("username")) or "Me",
        )
        found = sorted((entry for entry in entries if entry.name.lower().startswith("messages.")), key=_place)
        for entry in found:
            channel = about.get((entry.root, _folder(entry), "channel.json"))
            facts = _facts(mapping(read_whole(channel, findings)) if channel else {}, entry, names)
            yield ReadChat(facts, one_part(_messages(entry, facts, own, findings)), findings)
        if found:
            findings.notes.append(_OWN_ONLY)


def _place(entry: Entry) -> tuple[str, str]:
    return entry.path, entry.root


def _folder(entry: Entry) -> str:
    return PurePosixPath(entry.path).parent.as_posix()


def _facts(channel: Mapping[str, object], entry: Entry, names: Mapping[str, object]) -> ChatFacts:
    key = identifier(channel.get("id")) or entry.folder.lower().removeprefix("c")
    server = string(mapping(channel.get("guild")).get("name"))
    name = string(channel.get("name"))
    title = (f"#{name} ({server})" if server else name) or string(names.get(key)) or key
    return ChatFacts(
        platform=Platform.DISCORD,
        key=key,
        title=title,
        is_group=identifier(channel.get("type")) not in _PAIRS if channel else bool(server),
    )


def _messages(entry: Entry, facts: ChatFacts, own: Speaker, findings: Findings) -> Iterator[Message]:
    rows = _csv_rows(entry, findings) if entry.name.lower().endswith(".csv") else read_items(entry, findings, array="")
    for raw in rows:
        when = iso_ms(raw.get("Timestamp"))
        if when is None:
            findings.drop(NO_TIME, file=entry.path)
            continue
        text = string(raw.get("Contents"))
        attachments = tuple(
            Attachment(kind=kind_of_file(uri), uri=uri) for uri in string(raw.get("Attachments")).split() if uri
        )
        yield Message(
            id=identifier(raw.get("ID")),
            author=facts.met(own),
            sent_ms=when,
            kind=kind_of_message(text, attachments),
            text=text,
            attachments=attachments,
            source=entry.path,
        )


def _csv_rows(entry: Entry, findings: Findings) -> Iterator[Mapping[str, object]]:
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        with closing(entry.open()) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            yield from csv.DictReader(line.replace("\0", "") for line in text)
    except (*READ_ERRORS, csv.Error) as error:
        findings.damaged.append(Damaged(file=entry.path, reason=str(error), position=0, messages_read=0))
