"""Messenger's end-to-end encrypted chats, downloaded from messenger.com: one flat `<Name>_<N>.json` per thread.

The same people's older messages are in the classic export; the archive puts the two together (see `twins`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from talkalike.chats.importers.messenger import People, finished, listed_pair, read_file, twin_key
from talkalike.chats.importers.messenger_sentences import platform_sentence
from talkalike.chats.importers.messenger_text import TextRepair
from talkalike.chats.importers.protocol import Draft, Findings, Part
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Conversation, Message, MessageKind, Platform

_SHAPE = re.compile(rb'"senderName"\s*:|"threadName"\s*:')
_SUFFIXES = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "heic"), AttachmentKind.PHOTO),
    **dict.fromkeys(("mp4", "mov", "webm", "mkv"), AttachmentKind.VIDEO),
    **dict.fromkeys(("mp3", "m4a", "aac", "ogg", "wav", "opus"), AttachmentKind.AUDIO),
    "gif": AttachmentKind.GIF,
}
_KINDS = {"call": MessageKind.CALL, "media": MessageKind.MEDIA}  # what a message's `type` tells of its kind
_SECONDS_BELOW = 1_000_000_000_000  # a smaller time stamp is in seconds
_LATEST_MS = 4_102_444_800_000  # the year 2100
_LINKS = ("http://", "https://")


class MessengerE2EE:
    """The end-to-end encrypted export."""

    name = "messenger-e2ee"
    described = "Facebook Messenger, end-to-end encrypted chats (JSON)"

    def recognises(self, entry: Entry) -> bool:
        """A JSON file with this export's field names."""
        return entry.name.endswith(".json") and _SHAPE.search(entry.head()) is not None

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft per file; the same file in two places given is read as two tellings of one thread."""
        files: dict[str, list[Entry]] = {}
        for entry in entries:
            files.setdefault(entry.name, []).append(entry)
        pairs = {name: listed_pair(copies[0]) for name, copies in files.items()}
        times_listed = Counter(pairs.values())
        for name in sorted(files):
            alone = times_listed[pairs[name]] == 1 or not pairs[name]
            yield E2EEThread(name.removesuffix(".json"), files[name], findings, alone=alone)


class E2EEThread:
    """One thread's file."""

    def __init__(self, stem: str, entries: Sequence[Entry], findings: Findings, *, alone: bool) -> None:
        self.alone = alone
        self._stem = stem
        self._entries = entries
        self._findings = findings
        self._people = People(f"e2ee-{stem}")
        self._headers: list[Mapping[str, object]] = []

    def parts(self) -> Iterator[Part]:
        """Each file; whether its newest message comes first is found by looking at it."""
        for entry in self._entries:
            messages = read_file(entry, self._findings, self._people, convert=_message, headers=self._headers)
            # The order is not documented; equal times keep the file's order, as both directions have been seen.
            yield Part(messages=messages, newest_first=_newest_first(entry))

    def conversation(self) -> Conversation:
        """The thread, named by its people rather than its file: the file's number may change between downloads."""
        names = self._names()
        people = dict.fromkeys([*(self._people.get(name) for name in names), *self._people.everybody()])
        title = next((str(h["threadName"]) for h in self._headers if h.get("threadName")), "")
        key = twin_key(names, self._people.repair(title) if len(names) > 2 else "")
        if not key or not self.alone:
            key = self._stem
        return Conversation(
            id=f"{Platform.MESSENGER}:e2ee-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}",
            platform=Platform.MESSENGER,
            title=self._people.repair(title) or ", ".join(p.name for p in people) or self._stem,
            is_group=len(names) > 2,
            participants=tuple(people),
        )

    def twin_key(self) -> str:
        """The listed people (and the title, for a group)."""
        group = self.conversation()
        return twin_key(self._names(), group.title if group.is_group else "")

    def _names(self) -> list[str]:
        listed = next((h["participants"] for h in self._headers if isinstance(h.get("participants"), list)), [])
        return [self._people.repair(name) for name in listed if isinstance(name, str)]  # type: ignore[attr-defined]


_TIMES = re.compile(rb'"timestamp"\s*:\s*(\d+)')


def _newest_first(entry: Entry) -> bool:
    times = [int(digits) for digits in _TIMES.findall(entry.head())]
    return len(times) > 1 and times[0] > times[-1]


def _message(raw: Mapping[str, object], people: People, source: str) -> Message | str:
    sent = raw.get("timestamp")
    if type(sent) is not int or not 0 <= sent < _LATEST_MS:
        return "without a usable time"
    if sent < _SECONDS_BELOW:
        sent *= 1000
    name = raw.get("senderName")
    author = people.by_raw_name(name if isinstance(name, str) else "")
    if raw.get("isUnsent"):
        return Message(id="", author=author, sent_ms=sent, unsent=True, source=source)
    written = raw.get("text")
    text = people.repair(written) if isinstance(written, str) else ""
    read = Message(
        id="", author=author, sent_ms=sent, text=text, attachments=_attachments(raw, people.repair), source=source
    )
    sentence = platform_sentence(text, author.name) if text else None
    return finished(read, raw, people, told=_KINDS.get(str(raw.get("type", "")).lower()), sentence=sentence)


def _attachments(raw: Mapping[str, object], repair: TextRepair) -> tuple[Attachment, ...]:
    media = raw.get("media")
    items = media if isinstance(media, list) else []
    uris = [repair(str(item.get("uri", ""))) for item in items if isinstance(item, dict)]
    return tuple(Attachment(kind=_kind_of(uri, str(raw.get("type", ""))), uri=uri) for uri in uris)


def _kind_of(uri: str, message_type: str) -> AttachmentKind:
    if message_type.lower() == "sticker":
        return AttachmentKind.STICKER
    if uri.startswith(_LINKS):
        return AttachmentKind.LINK
    return _SUFFIXES.get(uri.rpartition(".")[2].lower(), AttachmentKind.FILE)
