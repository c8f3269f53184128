"""Discord: DiscordChatExporter's JSON, and the messages of Discord's own data package.

The package holds one's own messages only, the exporter everybody's; both know a channel and a message by its number,
so the two come together in the archive. Where they overlap the exporter's is kept, which knows more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    identifier,
    mapping,
    mappings,
    one_part,
    only_messages,
    read_items,
    string,
)
from talkalike.chats.importers.times import iso_ms
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction

_SHAPE = re.compile(rb'"guild"\s*:\s*\{')
_CHANNEL = re.compile(rb'"channel"\s*:\s*\{')
_SPOKEN = frozenset({"Default", "Reply", "0", "19", ""})
_CALLS = frozenset({"Call", "3"})
_PAIRS = frozenset({"DirectTextChat", "1"})
_OF_THE_API = (
    "Made with DiscordChatExporter, which reads Discord's API: {} of the files. Discord's terms allow training on what "
    "the API gives only with permission: ask those who wrote in them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscordChatExporter:
    """Channels and direct messages as DiscordChatExporter writes them."""

    choices: Choices = field(default_factory=Choices)
    name: str = "discord-chat-exporter"
    described: str = "DiscordChatExporter (JSON)"

    def recognises(self, entry: Entry) -> bool:
        """A JSON file of a server and a channel."""
        if not entry.name.lower().endswith(".json"):
            return False
        head = entry.head()
        return self.choices.forced or (_SHAPE.search(head) is not None and _CHANNEL.search(head) is not None)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One channel for each file; a channel may be in several."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            chat = _Channel(entry, findings)
            yield ReadChat(chat.facts, one_part(chat.messages()), findings)
        if entries:
            findings.notes.append(_OF_THE_API.format(len(entries)))


class _Channel:
    """One file of the exporter."""

    def __init__(self, entry: Entry, findings: Findings) -> None:
        self._entry = entry
        self._findings = findings
        self._cast = Cast(Platform.DISCORD)
        header = _header(entry)
        channel, guild = mapping(header.get("channel")), mapping(header.get("guild"))
        name, server = string(channel.get("name")), string(guild.get("name"))
        direct = identifier(guild.get("id")) == "0"
        self.facts = ChatFacts(
            platform=Platform.DISCORD,
            key=identifier(channel.get("id")) or entry.path,
            title=name if direct or not server else f"#{name} ({server})",
            is_group=identifier(channel.get("type")) not in _PAIRS,
        )

    def messages(self) -> Iterator[Message]:
        """The messages in the file's order; what is none is counted."""
        read = map(self._message, read_items(self._entry, self._findings))
        return only_messages(read, self._findings, file=self._entry.path)

    def _message(self, raw: Mapping[str, object]) -> Message | str:
        when, who = iso_ms(raw.get("timestamp")), mapping(raw.get("author"))
        if when is None:
            return NO_TIME
        name = string(who.get("nickname")) or string(who.get("name"))
        key = identifier(who.get("id")) or name
        if not key:
            return NO_AUTHOR
        author = self._cast.person(key, name)
        type_ = identifier(raw.get("type"))
        reference = mapping(raw.get("reference"))
        passed_on = mapping(raw.get("forwardedMessage"))
        told = passed_on or raw
        attachments = tuple(_attachments(told))
        text = string(told.get("content"))
        kind = kind_of_message(text, attachments)
        if mapping(raw.get("poll")):
            kind, text = MessageKind.POLL, text or string(mapping(mapping(raw.get("poll")).get("question")).get("text"))
        if type_ not in _SPOKEN:
            kind = MessageKind.CALL if type_ in _CALLS else MessageKind.SYSTEM
        else:
            self.facts.met(author)
        return Message(
            id=identifier(raw.get("id")),
            author=author,
            sent_ms=when,
            kind=kind,
            text=text,
            reply_to=None if passed_on else identifier(reference.get("messageId")) or None,
            reactions=tuple(_reactions(raw.get("reactions"))),
            attachments=attachments,
            edited=bool(raw.get("timestampEdited")),
            forwarded=bool(passed_on),
            is_bot=bool(who.get("isBot")) or bool(mapping(raw.get("interaction"))),
            source=self._entry.path,
        )


def _header(entry: Entry) -> Mapping[str, object]:
    """What stands before the messages: the server and the channel."""
    try:
        with entry.open() as stream:
            thread = JsonThread(stream)
            next(thread.items(), None)
            return thread.header
    except READ_ERRORS:
        return {}


def _attachments(raw: Mapping[str, object]) -> Iterator[Attachment]:
    for item in mappings(raw.get("attachments")):
        uri = string(item.get("url")) or string(item.get("fileName"))
        yield Attachment(kind=kind_of_file(string(item.get("fileName")) or uri), uri=uri)
    for item in mappings(raw.get("stickers")):
        yield Attachment(kind=AttachmentKind.STICKER, uri=string(item.get("sourceUrl")) or string(item.get("name")))


def _reactions(found: object) -> Iterator[Reaction]:
    for reaction in mappings(found):
        emoji = mapping(reaction.get("emoji"))
        sign = string(emoji.get("name")) if not identifier(emoji.get("id")) else f":{string(emoji.get('name'))}:"
        for user in mappings(reaction.get("users")) if sign else ():
            yield Reaction(actor=string(user.get("nickname")) or string(user.get("name")), emoji=sign)
