"""Facebook Messenger's classic export ("Download your information", JSON).

Threads are folders `<root>/messages/<section>/<thread>/message_N.json`, newest message first, at most 10,000 a file;
the root was renamed several times and may lie anywhere inside a zip, so it is not looked at. There is no message id
and no reply link; every string is double-encoded (see `messenger_text`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.messenger_sentences import platform_sentence
from talkalike.chats.importers.messenger_text import BOT_NAMES, DELETED_ACCOUNT_NAMES, TextRepair
from talkalike.chats.importers.protocol import Damaged, Draft, Findings, Part
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import (
    Attachment,
    AttachmentKind,
    Conversation,
    Message,
    MessageKind,
    Person,
    Platform,
    Reaction,
)

MEDIA_FIELDS = (
    ("photos", AttachmentKind.PHOTO),
    ("videos", AttachmentKind.VIDEO),
    ("gifs", AttachmentKind.GIF),
    ("audio_files", AttachmentKind.AUDIO),
    ("files", AttachmentKind.FILE),
)
_FILE = re.compile(r"message_(\d+)\.json")
_SHAPE = re.compile(rb'"sender_name"\s*:|"participants"\s*:\s*\[\s*\{\s*"name"')
_PLAIN = frozenset({"sender_name", "timestamp_ms", "content", "is_geoblocked_for_viewer", "type"})
_PLAIN_TYPES = (None, "Generic")
_LATEST_MS = 4_102_444_800_000  # the year 2100
_LEAVE_WORDS = frozenset({"Subscribe", "Unsubscribe"})


class Messenger:
    """The classic export, all roots and sections."""

    name = "messenger"
    described = "Facebook Messenger (Download your information, JSON)"

    def recognises(self, entry: Entry) -> bool:
        """`message_N.json` by name, any other JSON file by its fields."""
        if not entry.name.endswith(".json"):
            return False
        head = entry.head()
        if _SHAPE.search(head):
            return True
        # A damaged or empty thread file is still ours to report, unless it has the newer export's shape.
        return _FILE.fullmatch(entry.name) is not None and b'"senderName"' not in head

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft per thread folder, its parts the copies in each folder or zip given."""
        threads: dict[str, list[Entry]] = {}
        for entry in entries:
            threads.setdefault(_thread_of(entry), []).append(entry)
        pairs = {slug: listed_pair(min(files, key=_file_number)) for slug, files in threads.items()}
        times_listed = Counter(pairs.values())
        for slug in sorted(threads):
            alone = times_listed[pairs[slug]] == 1 or not pairs[slug]
            yield MessengerThread(slug, threads[slug], findings, alone=alone)


class MessengerThread:
    """One thread, read file by file."""

    def __init__(self, slug: str, entries: Sequence[Entry], findings: Findings, *, alone: bool) -> None:
        self.alone = alone
        self._slug = slug
        self._findings = findings
        self._people = People(slug)
        self._headers: list[Mapping[str, object]] = []
        self._copies: dict[str, list[Entry]] = {}
        for entry in entries:
            # Several folders of the same name in one container (two sections) are separate tellings as well.
            self._copies.setdefault(f"{entry.container}:{entry.path.rpartition('/')[0]}", []).append(entry)

    def parts(self) -> Iterator[Part]:
        """One part per copy of the thread, newest message first."""
        for copy in self._copies.values():
            yield Part(messages=self._messages(sorted(copy, key=_file_number)), newest_first=True)

    def _messages(self, entries: Sequence[Entry]) -> Iterator[Message]:
        for entry in entries:
            yield from read_file(entry, self._findings, self._people, convert=_message, headers=self._headers)

    def conversation(self) -> Conversation:
        """The thread with everybody its headers list or who spoke."""
        repair = self._people.repair
        header = next((h for h in self._headers if h.get("participants")), {})
        names = [repair(name) for h in self._headers for name in _listed(h)]
        people = dict.fromkeys([*(self._people.get(n) for n in dict.fromkeys(names)), *self._people.everybody()])
        title = header.get("title")
        kind = str(header.get("thread_type", ""))
        path = next((str(h["thread_path"]) for h in self._headers if h.get("thread_path")), "")
        slug = repair(path).rpartition("/")[2] or self._slug  # the same however the folder was renamed
        others = ", ".join(person.name for person in people)
        return Conversation(
            id=f"{Platform.MESSENGER}:{slug}",
            platform=Platform.MESSENGER,
            title=repair(title) if isinstance(title, str) and title else others or slug,
            is_group=len(set(names)) > 2 or "joinable_mode" in header or kind.endswith("Group"),
            participants=tuple(people),
        )

    def twin_key(self) -> str:
        """The listed people (and the title, for a group)."""
        header = next((h for h in self._headers if h.get("participants")), {})
        names = [self._people.repair(name) for name in _listed(header)]
        group = self.conversation()
        return twin_key(names, group.title if group.is_group else "")


class People:
    """The people of one thread, each made once. A deleted account is somebody else in every thread."""

    def __init__(self, slug: str) -> None:
        self.repair = TextRepair()
        self._slug = slug
        self._by_raw_name: dict[str, Person] = {}
        self._by_name: dict[str, Person] = {}

    def by_raw_name(self, raw: str) -> Person:
        """The person an export's field names, in the export's encoding."""
        person = self._by_raw_name.get(raw)
        if person is None:
            person = self._by_raw_name[raw] = self.get(self.repair(raw))
        return person

    def get(self, name: str) -> Person:
        """The person of this name."""
        person = self._by_name.get(name)
        if person is None:
            own = f"{self._slug}/" if name in DELETED_ACCOUNT_NAMES else ""
            person = Person(id=f"{Platform.MESSENGER}:{own}{name}", name=name or "Facebook user")
            self._by_name[name] = person
        return person

    def everybody(self) -> tuple[Person, ...]:
        """Everybody met so far, in order."""
        return tuple(self._by_name.values())


def listed_pair(entry: Entry) -> frozenset[str]:
    """The two people a direct chat's file lists, before its messages are read; empty for anything else."""
    try:
        with entry.open() as stream:
            thread = JsonThread(stream)
            next(thread.items(), None)
    except READ_ERRORS:
        return frozenset()
    listed = thread.header.get("participants")
    people = [p.get("name") if isinstance(p, dict) else p for p in listed] if isinstance(listed, list) else []
    return frozenset(str(name) for name in people) if len(people) == 2 else frozenset()


def twin_key(names: Sequence[str], title: str) -> str:
    """Equal for threads of the same people; "" if the names do not tell people apart."""
    if len(names) < 2 or len(set(names)) < len(names) or any(name in DELETED_ACCOUNT_NAMES for name in names):
        return ""
    return "\n".join([title, *sorted(names)])


class Convert(Protocol):
    """A converter: a raw message, the people and the file's path in; a message or a reason out."""

    def __call__(self, raw: Mapping[str, object], people: People, source: str) -> Message | str: ...


def read_file(
    entry: Entry,
    findings: Findings,
    people: People,
    *,
    convert: Convert,
    headers: list[Mapping[str, object]],
) -> Iterator[Message]:
    """One file's messages in file order; damage, unreadable messages and replaced characters go to `findings`."""
    replaced = people.repair.replaced
    try:
        stream = entry.open()
    except READ_ERRORS as error:
        reason = f"it cannot be opened ({error})"
        findings.damaged.append(Damaged(file=entry.path, reason=reason, position=0, messages_read=0))
        return
    with stream:
        thread = JsonThread(stream)
        headers.append(thread.header)
        for raw in thread.items():
            if not isinstance(raw, dict):
                findings.drop("not a message object")
                continue
            message = convert(raw, people, entry.path)
            if isinstance(message, str):
                findings.drop(message)
            else:
                yield message
    if thread.damage is not None:
        findings.damaged.append(
            Damaged(file=entry.path, reason=thread.damage, position=thread.position, messages_read=thread.count)
        )
    elif not thread.count:
        findings.skipped.append((entry.path, "holds no messages"))
    findings.replaced_characters += people.repair.replaced - replaced


def _message(raw: Mapping[str, object], people: People, source: str) -> Message | str:
    sent = raw.get("timestamp_ms")
    if type(sent) is not int or not 0 <= sent < _LATEST_MS:
        return "without a usable time"
    name = raw.get("sender_name")
    author = people.by_raw_name(name if isinstance(name, str) else "")
    content = raw.get("content")
    text = people.repair(content) if isinstance(content, str) else ""
    sentence = platform_sentence(text, author.name) if text else None
    if sentence is None and text and raw.keys() <= _PLAIN and raw.get("type") in _PLAIN_TYPES:
        return Message(id="", author=author, sent_ms=sent, text=text, source=source, is_bot=author.name in BOT_NAMES)
    if raw.get("is_unsent") or raw.get("is_unsent_image_by_messenger_kid_parent"):
        return Message(id="", author=author, sent_ms=sent, unsent=True, source=source)
    told = None
    if raw.get("type") == "Call" or "call_duration" in raw or raw.get("missed"):
        told = MessageKind.CALL
    elif raw.get("type") in _LEAVE_WORDS:
        told = MessageKind.SYSTEM
    read = Message(
        id="", author=author, sent_ms=sent, text=text, attachments=_attachments(raw, people.repair), source=source
    )
    return finished(read, raw, people, told=told, sentence=sentence)


def finished(
    read: Message,
    raw: Mapping[str, object],
    people: People,
    *,
    told: MessageKind | None,
    sentence: MessageKind | None,
) -> Message:
    """The message with what both exports tell alike: its reactions, whether a bot wrote it, and what kind it is.

    `told`: the kind that a field of the export names; `sentence`: that of the platform's own words in its text.
    """
    text = "" if sentence is MessageKind.MEDIA else read.text
    kind = MessageKind.TEXT
    if told in (MessageKind.CALL, MessageKind.SYSTEM):
        kind = told
    elif sentence not in (None, MessageKind.MEDIA):
        kind = sentence
    elif not text and (read.attachments or MessageKind.MEDIA in (told, sentence)):
        kind = _kind_of_attachments(read.attachments)
    reactions = _reactions_of(raw.get("reactions"), people.repair)
    return replace(read, kind=kind, text=text, reactions=reactions, is_bot=read.author.name in BOT_NAMES)


def _kind_of_attachments(attachments: Sequence[Attachment]) -> MessageKind:
    """What a message without words is, by what was attached."""
    kinds = {attachment.kind for attachment in attachments}
    if kinds == {AttachmentKind.STICKER}:
        return MessageKind.STICKER
    return MessageKind.SHARE if kinds == {AttachmentKind.LINK} else MessageKind.MEDIA


def _reactions_of(value: object, repair: TextRepair) -> tuple[Reaction, ...]:
    """`[{"actor": ..., "reaction": ...}]` as values."""
    found = value if isinstance(value, list) else []
    return tuple(
        Reaction(actor=repair(str(r.get("actor", ""))), emoji=repair(str(r.get("reaction", ""))))
        for r in found
        if isinstance(r, dict)
    )


def _attachments(raw: Mapping[str, object], repair: TextRepair) -> tuple[Attachment, ...]:
    found: list[Attachment] = []
    for field, kind in MEDIA_FIELDS:
        items = raw.get(field)
        if isinstance(items, list):
            uris = (str(item.get("uri", "")) for item in items if isinstance(item, dict))
            found.extend(Attachment(kind=kind, uri=repair(uri)) for uri in uris)
    sticker = raw.get("sticker")
    if isinstance(sticker, dict):
        found.append(Attachment(kind=AttachmentKind.STICKER, uri=repair(str(sticker.get("uri", "")))))
    share = raw.get("share")
    if isinstance(share, dict):
        target = share.get("link") or share.get("share_text") or ""
        found.append(Attachment(kind=AttachmentKind.LINK, uri=repair(str(target))))
    return tuple(found)


def _listed(header: Mapping[str, object]) -> list[str]:
    participants = header.get("participants")
    people = participants if isinstance(participants, list) else []
    return [str(p["name"]) for p in people if isinstance(p, dict) and "name" in p]


def _thread_of(entry: Entry) -> str:
    """The thread's own name: its folder; a renamed file given alone is named by itself."""
    return entry.folder if _FILE.fullmatch(entry.name) else entry.name.removesuffix(".json")


def _file_number(entry: Entry) -> int:
    found = _FILE.fullmatch(entry.name)
    return int(found[1]) if found else 0
