"""Matrix: a room as Element exports it in JSON, which is its events.

A name, an edit and a reaction are events of their own, before or after what they are about, so a file is read twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from talkalike.chats.importers.attachments import kind_of_media_type, kind_of_message
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    mapping,
    one_part,
    only_messages,
    read_items,
    string,
)
from talkalike.chats.importers.times import sent_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction

_SHAPE = re.compile(rb'"origin_server_ts"\s*:|"room_creator"\s*:|"exported_by"\s*:')
_SPOKEN = frozenset({"m.text", "m.notice", "m.emote", ""})
_FILES = {"m.image": "image/", "m.video": "video/", "m.audio": "audio/", "m.file": ""}
_QUOTED = re.compile(r"\A(?:> .*\n)+\n")
_ENCRYPTED = "encrypted, and the export had no key for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The rooms that Element exports, a file for each."""

    choices: Choices = field(default_factory=Choices)
    name: str = "matrix"
    described: str = "Matrix (Element, Export chat, JSON)"

    def recognises(self, entry: Entry) -> bool:
        """By the fields of a room and of its events."""
        if not entry.name.lower().endswith(".json"):
            return False
        return self.choices.forced or len(set(_SHAPE.findall(entry.head()))) > 1

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One room for each file."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            room = _Room(entry)
            yield ReadChat(room.facts, one_part(room.messages(findings)), findings)


class _Room:
    """One room's file. The first reading learns names, edits, reactions and what was taken back."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._names: dict[str, str] = {}
        self._edits: dict[str, Mapping[str, object]] = {}
        self._reactions: dict[str, list[tuple[str, str]]] = {}
        self._gone: set[str] = set()
        header: dict[str, object] = {}
        room = ""
        for event in read_items(entry, Findings(), header=header):  # the second reading tells of damage
            room = room or string(event.get("room_id"))
            self._learn(event)
        self.facts = ChatFacts(
            platform=Platform.MATRIX,
            key=room or string(header.get("room_name")) or entry.name.removesuffix(".json"),
            title=string(header.get("room_name")),
        )
        self._cast = Cast(Platform.MATRIX)

    def _learn(self, event: Mapping[str, object]) -> None:
        content, sender = mapping(event.get("content")), string(event.get("sender"))
        type_, relation = string(event.get("type")), mapping(content.get("m.relates_to"))
        target = string(relation.get("event_id"))
        if type_ == "m.room.member":
            if name := string(content.get("displayname")):
                self._names[string(event.get("state_key")) or sender] = name
        elif type_ == "m.reaction" and string(relation.get("key")):
            self._reactions.setdefault(target, []).append((sender, string(relation.get("key"))))
        elif type_ == "m.room.redaction":
            self._gone.add(string(event.get("redacts")) or string(content.get("redacts")))
        elif string(relation.get("rel_type")) == "m.replace":
            self._edits[target] = mapping(content.get("m.new_content"))

    def messages(self, findings: Findings) -> Iterator[Message]:
        """The room's messages; what is none is counted."""
        read = map(self._message, read_items(self._entry, findings))
        return only_messages(read, findings, file=self._entry.path)

    def _message(self, event: Mapping[str, object]) -> Message | str | None:
        type_, content = string(event.get("type")), mapping(event.get("content"))
        relation = mapping(content.get("m.relates_to"))
        if type_ in ("m.reaction", "m.room.redaction") or relation.get("rel_type") == "m.replace":
            return None  # told with what it is about
        when, sender = sent_ms(event.get("origin_server_ts")), string(event.get("sender"))
        if when is None:
            return NO_TIME
        if not sender:
            return NO_AUTHOR
        id_ = string(event.get("event_id"))
        gone = id_ in self._gone or bool(mapping(event.get("unsigned")).get("redacted_because"))
        if (type_ == "m.room.encrypted" or content.get("msgtype") == "m.bad.encrypted") and not gone:
            return _ENCRYPTED
        replaced = mapping(mapping(mapping(event.get("unsigned")).get("m.relations")).get("m.replace"))
        edit = self._edits.get(id_) or mapping(mapping(replaced.get("content")).get("m.new_content"))
        kind, text, attachments = _read(type_, edit or content)
        answered = string(mapping(relation.get("m.in_reply_to")).get("event_id"))
        author = self._cast.person(sender, self._name(sender))
        if kind is not MessageKind.SYSTEM:
            self.facts.met(author)
        return Message(
            id=id_,
            author=author,
            sent_ms=when,
            kind=kind,
            text="" if gone else _QUOTED.sub("", text) if answered else text,
            reply_to=answered or None,
            reactions=tuple(
                Reaction(actor=self._name(who), emoji=emoji) for who, emoji in self._reactions.get(id_, ())
            ),
            attachments=attachments,
            unsent=gone,
            edited=bool(edit),
            is_bot=content.get("msgtype") == "m.notice",
            source=self._entry.path,
        )

    def _name(self, sender: str) -> str:
        return self._names.get(sender) or sender.removeprefix("@").partition(":")[0]


def _read(type_: str, content: Mapping[str, object]) -> tuple[MessageKind, str, tuple[Attachment, ...]]:
    body, kind = string(content.get("body")), string(content.get("msgtype"))
    if type_ == "m.sticker":
        return MessageKind.STICKER, "", (Attachment(kind=AttachmentKind.STICKER, uri=string(content.get("url"))),)
    if type_.endswith("poll.start"):
        poll = mapping(content.get("m.poll.start") or content.get("org.matrix.msc3381.poll.start"))
        question = mapping(poll.get("question"))
        return MessageKind.POLL, string(question.get("body")) or string(question.get("org.matrix.msc1767.text")), ()
    if type_.startswith("m.call."):
        return MessageKind.CALL, "", ()
    if type_ != "m.room.message":
        return MessageKind.SYSTEM, string(content.get("name")) or string(content.get("topic")) or type_, ()
    if kind in _FILES:
        media_type = string(mapping(content.get("info")).get("mimetype")) or _FILES[kind]
        uri = string(content.get("url")) or string(mapping(content.get("file")).get("url"))
        name = string(content.get("filename"))
        attachments = (Attachment(kind=kind_of_media_type(media_type, name or body), uri=uri or name or body),)
        caption = body if name and name != body else ""
        return kind_of_message(caption, attachments), caption, attachments
    if kind == "m.location":
        return MessageKind.SHARE, "", (Attachment(kind=AttachmentKind.LINK, uri=string(content.get("geo_uri"))),)
    return MessageKind.ACTION if kind == "m.emote" else MessageKind.TEXT, body, ()
