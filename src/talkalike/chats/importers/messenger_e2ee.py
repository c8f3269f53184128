"""Messenger's end-to-end encrypted chats, downloaded from messenger.com: one flat `<Name>_<N>.json` per thread.

The same people's older messages are in the classic export; the archive puts the two together (see `twins`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from talkalike.chats.importers.attachments import is_link, kind_of_file
from talkalike.chats.importers.messenger import complete_message, read_file
from talkalike.chats.importers.messenger_people import People, listed_names, pair_of
from talkalike.chats.importers.messenger_text import TextRepair
from talkalike.chats.importers.protocol import Draft, Findings, Part
from talkalike.chats.importers.times import sent_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Conversation, Message, MessageKind, Platform

_SHAPE = re.compile(rb'"senderName"\s*:|"threadName"\s*:')
_KINDS = {"call": MessageKind.CALL, "media": MessageKind.MEDIA}  # what a message's `type` tells of its kind


class MessengerE2EE:
    name = "messenger-e2ee"
    described = "Facebook Messenger, end-to-end encrypted chats (JSON)"

    def recognises(self, entry: Entry) -> bool:
        """A JSON file with this export's field names."""
        return entry.name.endswith(".json") and _SHAPE.search(entry.head()) is not None

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft per file. Which of them tell of one thread, the archive finds by what they say (see `twins`)."""
        pairs = {entry: pair_of(listed_names(entry)) for entry in entries}
        # One name in two downloads of the same people is taken for one thread unless the contents say otherwise.
        times_listed = Counter(pair for pair, _ in {(pairs[entry], entry.name) for entry in entries})
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.root, entry.path)):
            alone = times_listed[pairs[entry]] == 1 or not pairs[entry]
            draft = E2EEThread(entry, findings, alone=alone)
            yield draft
            findings.notes.extend(draft.notes())


class E2EEThread:
    """One thread's file. Its number is another one in every download, so it says nothing about the thread."""

    def __init__(self, entry: Entry, findings: Findings, *, alone: bool) -> None:
        self.alone = alone
        self._entry = entry
        self._findings = findings
        self._people = People()
        self._oldest = (0, "", "")

    def parts(self) -> Iterator[Part]:
        """The file; whether its newest message comes first is found by looking at it."""
        # The order is not documented; equal times keep the file's order, as both directions have been seen.
        yield Part(messages=self._messages(), newest_first=_newest_first(self._entry))

    def _messages(self) -> Iterator[Message]:
        for message in read_file(self._entry, self._findings, self._people, convert=_message):
            told = (message.sent_ms, message.author.name, message.text)
            self._oldest = min(self._oldest, told) if self._oldest[0] else told
            yield message

    def conversation(self) -> Conversation:
        """The thread, named by its people and how it begins."""
        names, people = self._people.first_list(), self._people.everybody()
        title = self._people.repair(
            next((str(h["threadName"]) for h in self._people.headers if h.get("threadName")), "")
        )
        identity = "\n".join([*sorted(names), *map(str, self._oldest)])
        return Conversation(
            id=f"{Platform.MESSENGER}:e2ee-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}",
            platform=Platform.MESSENGER,
            title=title or ", ".join(p.name for p in people) or self._entry.name.removesuffix(".json"),
            is_group=len(names) > 2,
            participants=people,
        )

    def twin_key(self) -> str:
        """The listed people (and the title, for a group)."""
        return self._people.twin_key(self.conversation())

    def notes(self) -> list[str]:
        """What should be known about people of one name in this thread."""
        return self._people.notes(self.conversation().title)


_TIMES = re.compile(rb'"timestamp"\s*:\s*(\d+)')


def _newest_first(entry: Entry) -> bool:
    times = [int(digits) for digits in _TIMES.findall(entry.head())]
    return len(times) > 1 and times[0] > times[-1]


def _message(raw: Mapping[str, object], people: People, source: str) -> Message | str:
    sent = sent_ms(raw.get("timestamp"))
    if sent is None:
        return "without a usable time"
    name = raw.get("senderName")
    author = people.by_raw_name(name if isinstance(name, str) else "")
    if raw.get("isUnsent"):
        return Message(id="", author=author, sent_ms=sent, unsent=True, source=source)
    written = raw.get("text")
    text = people.repair(written) if isinstance(written, str) else ""
    read = Message(
        id="", author=author, sent_ms=sent, text=text, attachments=_attachments(raw, people.repair), source=source
    )
    told = _KINDS.get(str(raw.get("type", "")).lower())
    return complete_message(read, raw, people, told=told, sentence=people.platform_sentence(text, author))


def _attachments(raw: Mapping[str, object], repair: TextRepair) -> tuple[Attachment, ...]:
    media = raw.get("media")
    items = media if isinstance(media, list) else []
    uris = [repair(str(item.get("uri", ""))) for item in items if isinstance(item, dict)]
    return tuple(Attachment(kind=_kind_of(uri, str(raw.get("type", ""))), uri=uri) for uri in uris)


def _kind_of(uri: str, message_type: str) -> AttachmentKind:
    if message_type.lower() == "sticker":
        return AttachmentKind.STICKER
    return AttachmentKind.LINK if is_link(uri) else kind_of_file(uri)
