"""The history that Signal Desktop exports: `main.jsonl`, a line for each person, chat and message.

Messages of all chats stand in one file, so they are sorted by chat on disk before they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from talkalike.chats.importers.attachments import kind_of_media_type, kind_of_message
from talkalike.chats.importers.protocol import Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_MESSAGES,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    identifier,
    mapping,
    mappings,
    one_part,
    only_messages,
    parse_object,
    read_json_lines,
    string,
)
from talkalike.chats.importers.spool import Spool
from talkalike.chats.importers.times import sent_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction, Speaker

_SHAPE = re.compile(rb'\{"(?:version|backupTimeMs|account|recipient|chat|chatItem|chatFolder|stickerPack)"\s*:')
_TELLING = (b'"mediaRootBackupKey"', b'"recipient":', b'"backupTimeMs"', b'"chatItem"', b'"chat":')
_OTHERS = {"updateMessage": MessageKind.SYSTEM, "contactMessage": MessageKind.SHARE, "giftBadge": MessageKind.SYSTEM}


def is_desktop_export(entry: Entry) -> bool:
    """Whether a file begins as this export does."""
    head = entry.head(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return entry.name.lower().endswith(".jsonl") and _SHAPE.match(head) is not None and any(t in head for t in _TELLING)


def read_desktop(entry: Entry, findings: Findings) -> Iterator[Draft]:
    """The chats of one file, each as soon as all of it was sorted."""
    recipients: dict[str, Mapping[str, object]] = {}
    chats: dict[str, str] = {}
    with Spool() as spool:
        for raw, line in read_json_lines(entry, findings):
            if person := mapping(line.get("recipient")):
                recipients[identifier(person.get("id"))] = person
            elif chat := mapping(line.get("chat")):
                chats[identifier(chat.get("id"))] = identifier(chat.get("recipientId"))
            elif item := mapping(line.get("chatItem")):
                spool.add(identifier(item.get("chatId")), raw)
        people = _People(recipients)
        if not spool.names():
            findings.skipped.append((entry.path, NO_MESSAGES))
        for chat_id in spool.names():
            other = recipients.get(chats.get(chat_id, ""), {})
            facts = _facts(other, people, chats.get(chat_id, "") or chat_id)
            chat_reader = _Chat(facts, people, entry.path, findings)
            yield ReadChat(facts, one_part(chat_reader.messages(spool.records(chat_id))), findings)


def _facts(other: Mapping[str, object], people: _People, key: str) -> ChatFacts:
    group = mapping(other.get("group"))
    if not group:
        person = people.of(key)
        return ChatFacts(
            platform=Platform.SIGNAL,
            key=person.id.partition(":")[2],
            title=person.name,
            is_group=False,
            people={person.id: person},
        )
    title = string(mapping(mapping(group.get("snapshot")).get("title")).get("title"))
    return ChatFacts(
        platform=Platform.SIGNAL, key=string(group.get("masterKey")) or title or key, title=title, is_group=True
    )


class _People:
    """Everybody the export lists: known by the account's id where it tells one, for its own numbers change."""

    def __init__(self, recipients: Mapping[str, Mapping[str, object]]) -> None:
        self._recipients = recipients
        self._cast = Cast(Platform.SIGNAL)
        self._self = next((key for key, person in recipients.items() if "self" in person), "")

    def of(self, key: str) -> Speaker:
        """The person under a number of the export."""
        recipient = self._recipients.get(key, {})
        if "self" in recipient:
            return self.own()
        contact = mapping(recipient.get("contact"))
        given, family = string(contact.get("profileGivenName")), string(contact.get("profileFamilyName"))
        nickname = mapping(contact.get("nickname"))
        system = f"{string(contact.get('systemGivenName'))} {string(contact.get('systemFamilyName'))}".strip()
        nick = f"{string(nickname.get('given'))} {string(nickname.get('family'))}".strip()
        number = identifier(contact.get("e164"))
        name = nick or system or f"{given} {family}".strip() or (f"+{number.lstrip('+')}" if number else "")
        return self._cast.person(string(contact.get("aci")) or number or f"recipient{key}", name or "Signal user")

    def own(self) -> Speaker:
        """The person whose export it is."""
        return self._cast.person("Me", "Me")


class _Chat:
    """The messages of one chat."""

    def __init__(self, facts: ChatFacts, people: _People, source: str, findings: Findings) -> None:
        self._facts = facts
        self._people = people
        self._source = source
        self._findings = findings

    def messages(self, records: Iterator[bytes]) -> Iterator[Message]:
        """In the export's order; what is no message is counted."""
        items = (mapping((parse_object(record) or {}).get("chatItem")) for record in records)
        return only_messages(map(self._message, items), self._findings, file=self._source)

    def _message(self, item: Mapping[str, object]) -> Message | str:
        when = sent_ms(item.get("dateSent"))
        if when is None:
            return NO_TIME
        if not identifier(item.get("authorId")) and "outgoing" not in item:
            return NO_AUTHOR
        author = self._people.own() if "outgoing" in item else self._people.of(identifier(item.get("authorId")))
        standard, sticker = mapping(item.get("standardMessage")), mapping(item.get("stickerMessage"))
        words = standard or mapping(item.get("directStoryReplyMessage")) or mapping(item.get("viewOnceMessage"))
        told = words or sticker or mapping(item.get("contactMessage")) or mapping(item.get("poll"))
        attachments = tuple(_attachments(words, sticker))
        text = string(mapping(words.get("text")).get("body"))
        kind = kind_of_message(text, attachments)
        if poll := mapping(item.get("poll")):
            options = [f"- {string(option.get('option'))}" for option in mappings(poll.get("options"))]
            kind, text = MessageKind.POLL, "\n".join([string(poll.get("question")), *options])
        for name, other in _OTHERS.items():
            kind = other if name in item else kind
        if any("Call" in name for name in mapping(item.get("updateMessage"))):
            kind = MessageKind.CALL
        if kind is not MessageKind.SYSTEM:
            self._facts.met(author)
        quote = mapping(words.get("quote"))
        return Message(
            id="" if kind in (MessageKind.SYSTEM, MessageKind.CALL) else f"{when}-{author.id.partition(':')[2]}",
            author=author,
            sent_ms=when,
            kind=kind,
            text=text,
            reply_to=self._quoted(quote),
            reactions=tuple(self._reactions(told.get("reactions"))),
            attachments=attachments,
            unsent="remoteDeletedMessage" in item,
            edited=bool(mappings(item.get("revisions"))),
            source=self._source,
        )

    def _quoted(self, quote: Mapping[str, object]) -> str | None:
        """Signal knows a message by its time and its author."""
        when = sent_ms(quote.get("targetSentTimestamp"))
        author = self._people.of(identifier(quote.get("authorId")))
        return f"{when}-{author.id.partition(':')[2]}" if when else None

    def _reactions(self, found: object) -> Iterator[Reaction]:
        for reaction in mappings(found):
            actor = self._people.of(identifier(reaction.get("authorId")))
            yield Reaction(actor=actor.name, emoji=string(reaction.get("emoji")))


def _attachments(words: Mapping[str, object], sticker: Mapping[str, object]) -> Iterator[Attachment]:
    single = mapping(words.get("attachment"))
    for item in [*mappings(words.get("attachments")), *([single] if single else [])]:
        pointer = mapping(item.get("pointer"))
        name = string(pointer.get("fileName"))
        kind = kind_of_media_type(string(pointer.get("contentType")), name)
        yield Attachment(kind=AttachmentKind.AUDIO if item.get("flag") == "VOICE_MESSAGE" else kind, uri=name)
    if sticker:
        yield Attachment(kind=AttachmentKind.STICKER, uri=string(mapping(sticker.get("sticker")).get("emoji")))
