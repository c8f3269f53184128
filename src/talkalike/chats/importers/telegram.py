"""Telegram Desktop's export in JSON: `result.json` of one chat, or of a whole account.

A text is a string or a list of strings and entities, which are put together as they stand. Times are Unix seconds, in
old exports only the computer's local time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from talkalike.chats.importers.attachments import kind_of_file, kind_of_media_type, kind_of_message
from talkalike.chats.importers.json_stream import JsonPart, JsonThread
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_MESSAGES,
    NO_OBJECT,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    cannot_open,
    identifier,
    mapping,
    mappings,
    one_part,
    only_messages,
    string,
    told_damage,
)
from talkalike.chats.importers.times import iso_ms, sent_ms
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction, Speaker

_SHAPE = re.compile(
    rb'"date_unixtime"\s*:|"from_id"\s*:\s*(?:"(?:user|channel)\d|\d)|"chats"\s*:\s*\{\s*"(?:about|list)"'
    rb'|"type"\s*:\s*"(?:personal_chat|saved_messages|bot_chat|(?:private|public)_(?:group|supergroup|channel))"'
)
_LISTS = frozenset({"chats.list", "left_chats.list"})
_PAIRS = frozenset({"personal_chat", "bot_chat", "saved_messages"})
_CALLS = frozenset({"phone_call", "group_call"})
_NOT_THERE = "(File"  # "(File not included. Change data exporting settings to download.)"
_MEDIA = {
    "sticker": AttachmentKind.STICKER,
    "animation": AttachmentKind.GIF,
    "video_file": AttachmentKind.VIDEO,
    "video_message": AttachmentKind.VIDEO,
    "voice_message": AttachmentKind.AUDIO,
    "audio_file": AttachmentKind.AUDIO,
}
_OTHERS = ("contact_information", "game_title", "invoice_information", "location_information")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """Chats of Telegram Desktop, one or all."""

    choices: Choices = field(default_factory=Choices)
    name: str = "telegram"
    described: str = "Telegram Desktop (Export chat history, JSON)"

    def recognises(self, entry: Entry) -> bool:
        """By the fields of its messages, or the kind of the chat."""
        if not entry.name.lower().endswith(".json"):
            return False
        head = entry.head()
        if self.choices.forced or _SHAPE.search(head):
            return True
        return entry.name == "result.json" and (b'"personal_information"' in head or b'"about"' in head)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """The chats of each file as they come in it."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            try:
                stream = entry.open()
            except READ_ERRORS as error:
                cannot_open(entry, findings, error)
                continue
            with closing(stream):
                file = JsonThread(stream)
                chats = 0
                for part in file.threads(_LISTS):
                    chats += 1
                    chat = _Chat(part, entry, findings)
                    yield ReadChat(chat.facts, one_part(chat.messages()), findings)
            told_damage(entry, file, findings)
            if not chats and file.damage is None:
                findings.skipped.append((entry.path, NO_MESSAGES))


class _Chat:
    """One chat's messages as they stand in the export."""

    def __init__(self, part: JsonPart, entry: Entry, findings: Findings) -> None:
        header = part.header
        self._type = string(header.get("type"))
        title = string(header.get("name")) or ("Saved Messages" if self._type == "saved_messages" else "")
        self._id = identifier(header.get("id"))
        self.facts = ChatFacts(
            platform=Platform.TELEGRAM,
            key=self._id or title or entry.name.removesuffix(".json"),
            title=title,
            is_group=self._type not in _PAIRS if self._type else None,
        )
        self._items = part.items
        self._entry = entry
        self._findings = findings
        self._cast = Cast(Platform.TELEGRAM)

    def messages(self) -> Iterator[Message]:
        """The messages in the file's order; what is none is counted."""
        read = (self._message(raw) if isinstance(raw, dict) else NO_OBJECT for raw in self._items)
        return only_messages(read, self._findings, file=self._entry.path)

    def _message(self, raw: Mapping[str, object]) -> Message | str:
        when = sent_ms(raw.get("date_unixtime")) or iso_ms(raw.get("date"))
        if when is None:
            return NO_TIME
        if raw.get("type") == "service":
            return self._service(raw, when)
        author = self._author(raw, "from")
        if author is None:
            return NO_AUTHOR
        attachments = tuple(_attachments(raw))
        text = _text_of(raw.get("text"))
        kind = kind_of_message(text, attachments)
        poll = mapping(raw.get("poll"))
        if poll:
            options = [f"- {_text_of(answer.get('text'))}" for answer in mappings(poll.get("answers"))]
            kind, text = MessageKind.POLL, "\n".join([_text_of(poll.get("question")), *options])
        elif not text and not attachments and any(other in raw for other in _OTHERS):
            kind = MessageKind.SHARE
        return Message(
            id=identifier(raw.get("id")),
            author=self.facts.met(author),
            sent_ms=when,
            kind=kind,
            text=text,
            reply_to=identifier(raw.get("reply_to_message_id")) or None,
            reactions=tuple(self._reactions(raw.get("reactions"))),
            attachments=attachments,
            edited="edited" in raw or "edited_unixtime" in raw,
            forwarded="forwarded_from" in raw or "forwarded_from_id" in raw,
            is_bot=self._is_bot(author, raw),
            source=self._entry.path,
        )

    def _service(self, raw: Mapping[str, object], when: int) -> Message:
        action = string(raw.get("action"))
        author = self._author(raw, "actor") or self._cast.person("", "Telegram")
        what = [string(raw.get(name)) for name in ("title", "discard_reason")]
        return Message(
            id=identifier(raw.get("id")),
            author=author,
            sent_ms=when,
            kind=MessageKind.CALL if action in _CALLS else MessageKind.SYSTEM,
            text=" ".join([action.replace("_", " "), *filter(None, what)]),
            source=self._entry.path,
        )

    def _author(self, raw: Mapping[str, object], field_name: str) -> Speaker | None:
        """By id; an account that is gone has no name, and in the oldest exports nobody has an id."""
        name, key = string(raw.get(field_name)), identifier(raw.get(f"{field_name}_id"))
        if not name and not key:
            return None
        key = f"user{key}" if key.isdigit() else key
        return self._cast.person(key or name, name or "Deleted Account")

    def _is_bot(self, author: Speaker, raw: Mapping[str, object]) -> bool:
        """Written by the bot of a chat with one, or by one that was called into the message."""
        return bool(raw.get("via_bot")) or (self._type == "bot_chat" and author.id.endswith(f":user{self._id}"))

    def _reactions(self, found: object) -> Iterator[Reaction]:
        for reaction in mappings(found):
            emoji = string(reaction.get("emoji"))
            for by in mappings(reaction.get("recent")) if emoji else ():
                yield Reaction(actor=string(by.get("from")), emoji=emoji)


def _attachments(raw: Mapping[str, object]) -> Iterator[Attachment]:
    photo, file = raw.get("photo"), raw.get("file")
    if isinstance(photo, str):
        yield Attachment(kind=AttachmentKind.PHOTO, uri=_path(photo))
    media = string(raw.get("media_type"))
    if isinstance(file, str) or media:
        uri = string(file)
        kind = _MEDIA.get(media) or kind_of_media_type(string(raw.get("mime_type")), uri)
        yield Attachment(kind=kind if media or uri else kind_of_file(uri), uri=_path(uri))


def _path(uri: str) -> str:
    return "" if uri.startswith(_NOT_THERE) else uri


def _text_of(value: object) -> str:
    if isinstance(value, list):
        return "".join(part if isinstance(part, str) else string(mapping(part).get("text")) for part in value)
    return string(value)
