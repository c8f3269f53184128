"""Slack's workspace export: `<channel>/YYYY-MM-DD.json` for each day, and lists of people and channels beside them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from talkalike.chats.importers.attachments import kind_of_media_type, kind_of_message
from talkalike.chats.importers.protocol import Choices, Draft, Findings, Part
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    identifier,
    mapping,
    mappings,
    only_messages,
    read_items,
    read_whole,
    string,
)
from talkalike.chats.importers.times import seconds_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, Message, MessageKind, Platform, Reaction, Speaker

_DAY = re.compile(r"\d{4}-\d\d-\d\d\.json")
_LISTS = ("users.json", "org_users.json", "channels.json", "groups.json", "dms.json", "mpims.json")
_LISTED = re.compile(rb'^\s*\[\s*(?:\]|\{\s*"id"\s*:\s*"[A-Z])')
_MESSAGE = re.compile(rb'"ts"\s*:\s*"\d{9,11}\.\d')
_SPOKEN = frozenset(
    {"", "thread_broadcast", "file_share", "file_comment", "me_message", "bot_message", "reply_broadcast"}
)
_REFERENCE = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """A Slack workspace, or as much of it as was exported."""

    choices: Choices = field(default_factory=Choices)
    name: str = "slack"
    described: str = "Slack (workspace export)"

    def recognises(self, entry: Entry) -> bool:
        """A day of a channel, or one of the lists."""
        if entry.name in _LISTS:
            return _LISTED.match(entry.head(512)) is not None
        return _DAY.fullmatch(entry.name) is not None and (
            _MESSAGE.search(entry.head()) is not None or entry.head(64).strip() == b"[]"
        )

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each channel's folder, its days in order."""
        exports: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            folder = PurePosixPath(entry.path).parent
            top = folder if entry.name in _LISTS else folder.parent
            exports.setdefault((entry.root, top.as_posix()), []).append(entry)
        for _, files in sorted(exports.items()):
            yield from _workspace(files, findings)


def _workspace(files: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
    lists = {entry.name: entry for entry in files if entry.name in _LISTS}
    people = _People(lists, findings)
    channels = _channels(lists, findings)
    folders: dict[str, list[Entry]] = {}
    for entry in files:
        if entry.name not in _LISTS:
            folders.setdefault(entry.folder, []).append(entry)
    for folder, days in sorted(folders.items()):
        kind, listed = channels.get(folder, ("", {}))
        members = [people.of(string(member)) for member in _strings(listed.get("members"))]
        facts = ChatFacts(
            platform=Platform.SLACK,
            key=identifier(listed.get("id")) or folder,
            title="" if kind in ("dms.json", "mpims.json") else f"#{folder}",
            is_group=kind != "dms.json",
        )
        for member in members if not facts.title else ():
            facts.met(member)
        chat = _Channel(facts, people, findings)
        ordered = sorted(days, key=lambda entry: entry.name)
        yield ReadChat(facts, (Part(messages=chat.messages(day)) for day in ordered), findings)


def _channels(lists: Mapping[str, Entry], findings: Findings) -> dict[str, tuple[str, Mapping[str, object]]]:
    """The list and the entry in it for each channel's folder: direct chats are called by their ids."""
    found = {}
    for name, entry in lists.items():
        if "users" in name:
            continue
        listed = read_whole(entry, findings)
        for channel in mappings(listed):
            for key in (string(channel.get("name")), string(channel.get("id"))):
                if key:
                    found[key] = (name, channel)
    return found


class _People:
    """A workspace's people, by their ids."""

    def __init__(self, lists: Mapping[str, Entry], findings: Findings) -> None:
        self._cast = Cast(Platform.SLACK)
        self.names: dict[str, str] = {}
        self.bots: set[str] = set()
        for name, entry in lists.items():
            for user in mappings(read_whole(entry, findings)) if "users" in name else ():
                profile, key = mapping(user.get("profile")), string(user.get("id"))
                names = (profile.get("display_name"), user.get("real_name"), profile.get("real_name"), user.get("name"))
                self.names[key] = next((found for each in names if (found := string(each))), key)
                if user.get("is_bot"):
                    self.bots.add(key)

    def of(self, key: str, name: str = "") -> Speaker:
        """The person with an id; the name is of messages that bring their own."""
        return self._cast.person(key, self.names.get(key) or name or key)


class _Channel:
    """The messages of one channel."""

    def __init__(self, facts: ChatFacts, people: _People, findings: Findings) -> None:
        self._facts = facts
        self._people = people
        self._findings = findings

    def messages(self, day: Entry) -> Iterator[Message]:
        """One day's messages; what is none is counted."""
        read = (self._message(raw, day.path) for raw in read_items(day, self._findings, array=""))
        return only_messages(read, self._findings, file=day.path)

    def _message(self, raw: Mapping[str, object], source: str) -> Message | str:
        ts = string(raw.get("ts"))
        when = seconds_ms(ts)
        if when is None:
            return NO_TIME
        subtype = string(raw.get("subtype"))
        profile = mapping(raw.get("user_profile"))
        key = string(raw.get("user")) or string(raw.get("bot_id")) or string(raw.get("username"))
        if not key:
            return NO_AUTHOR
        name = string(raw.get("username")) or string(profile.get("display_name")) or string(profile.get("real_name"))
        author = self._people.of(key, name)
        text = self._plain(string(raw.get("text")))
        attachments = tuple(_attachments(raw))
        kind = kind_of_message(text, attachments)
        if subtype == "me_message":
            kind = MessageKind.ACTION
        elif subtype not in _SPOKEN and subtype != "tombstone":
            kind = MessageKind.SYSTEM
        if kind is not MessageKind.SYSTEM:
            self._facts.met(author)
        thread = string(raw.get("thread_ts"))
        gone = subtype == "tombstone"
        return Message(
            id=ts,
            author=author,
            sent_ms=when,
            kind=kind,
            text="" if gone else text,
            reply_to=thread if thread and thread != ts else None,
            reactions=tuple(self._reactions(raw.get("reactions"))),
            attachments=attachments,
            unsent=gone,
            edited=bool(raw.get("edited")),
            forwarded=any(item.get("is_share") for item in mappings(raw.get("attachments"))) and not text,
            is_bot=subtype == "bot_message" or "bot_id" in raw or key in self._people.bots,
            source=source,
        )

    def _plain(self, text: str) -> str:
        """As it was typed: people and channels by name, links without brackets, signs that were escaped."""
        return html.unescape(_REFERENCE.sub(self._reference, text)) if "<" in text or "&" in text else text

    def _reference(self, found: re.Match[str]) -> str:
        sign, target, label = found[1], found[2], found[3]
        if sign == "@":
            return f"@{label or self._people.names.get(target, target)}"
        if sign == "#":
            return f"#{label or target}"
        if sign == "!":
            return label or f"@{target.partition('^')[0]}"
        return target if label is None or target.endswith(label) else label

    def _reactions(self, found: object) -> Iterator[Reaction]:
        for reaction in mappings(found):
            emoji = f":{string(reaction.get('name'))}:"
            for user in _strings(reaction.get("users")):
                yield Reaction(actor=self._people.of(user).name, emoji=emoji)


def _attachments(raw: Mapping[str, object]) -> Iterator[Attachment]:
    for file in mappings(raw.get("files")):
        uri = string(file.get("url_private")) or string(file.get("permalink")) or string(file.get("name"))
        yield Attachment(kind=kind_of_media_type(string(file.get("mimetype")), string(file.get("name"))), uri=uri)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
