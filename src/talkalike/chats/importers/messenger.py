"""Facebook Messenger's classic export ("Download your information", JSON).

Threads are folders `<root>/messages/<section>/<thread>/message_N.json`, newest message first, at most 10,000 a file;
the root was renamed several times and may lie anywhere inside a zip, so it is not looked at. There is no message id
and no reply link; every string is double-encoded (see `messenger_text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from talkalike.chats.importers.attachments import kind_of_attachments
from talkalike.chats.importers.json_stream import JsonThread
from talkalike.chats.importers.messenger_people import People, listed_names, names_in, pair_of, same_people
from talkalike.chats.importers.messenger_text import BOT_NAMES, TextRepair, is_deleted_account
from talkalike.chats.importers.protocol import Damaged, Draft, Findings, Part
from talkalike.chats.importers.times import sent_ms
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Attachment, AttachmentKind, Conversation, Message, MessageKind, Platform, Reaction

MEDIA_FIELDS = (
    ("photos", AttachmentKind.PHOTO),
    ("videos", AttachmentKind.VIDEO),
    ("gifs", AttachmentKind.GIF),
    ("audio_files", AttachmentKind.AUDIO),
    ("files", AttachmentKind.FILE),
)
_FILE = re.compile(r"message(?:_(\d+))?\.json")  # without a number in 2018
_SHAPE = re.compile(rb'"sender_name"\s*:|"participants"\s*:\s*\[\s*\{\s*"name"')
_PLAIN = frozenset({"sender_name", "timestamp_ms", "content", "is_geoblocked_for_viewer", "type"})
_PLAIN_TYPES = (None, "Generic")
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
        """One draft per folder of an export (two, where a folder holds chats of different people)."""
        return thread_drafts(entries, findings, Platform.MESSENGER)


def thread_drafts(entries: Sequence[Entry], findings: Findings, platform: Platform) -> Iterator[Draft]:
    """The threads of an export of either of the company's platforms, folder by folder."""
    threads = [thread for folder in _folders(entries) for thread in _by_people(folder)]
    pairs = [pair_of(next((names for _, names in thread if names), ())) for thread in threads]
    slugs: dict[frozenset[str], set[str]] = {}
    for pair, thread in zip(pairs, threads, strict=True):
        slugs.setdefault(pair, set()).add(_thread_of(thread[0][0]))
    for pair, thread in zip(pairs, threads, strict=True):
        alone = not pair or len(slugs[pair]) == 1
        draft = MessengerThread([entry for entry, _ in thread], findings, alone=alone, platform=platform)
        yield draft
        findings.notes.extend(draft.notes())
    for pair, chats in slugs.items():
        if len(chats) > 1 and pair and not any(map(is_deleted_account, pair)):
            findings.notes.append(
                f"{len(chats)} chats are between {' and '.join(sorted(pair))} ({', '.join(sorted(chats))}). An "
                "export knows people by their names only: two people of one name are taken for one."
            )


_Listed = tuple[Entry, tuple[str, ...]]  # a file, and whom it lists


def _folders(entries: Sequence[Entry]) -> Iterator[list[_Listed]]:
    """The files of each folder, newest messages first; a file with a name of its own stands alone."""
    folders: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        own = "" if _FILE.fullmatch(name) else name
        folders.setdefault((_thread_of(entry), entry.root, folder, own), []).append(entry)
    for _, files in sorted(folders.items()):
        yield [(entry, listed_names(entry)) for entry in sorted(files, key=_file_number)]


def _by_people(folder: Sequence[_Listed]) -> list[list[_Listed]]:
    """The files of each thread: a folder alone makes no thread of chats with different people."""
    threads: list[list[_Listed]] = []
    for entry, names in folder:
        same = next((t for t in threads if all(same_people(names, others) for _, others in t)), None)
        if same is None:
            threads.append([(entry, names)])
        else:
            same.append((entry, names))
    return threads


class MessengerThread:
    """One export's telling of a thread, read file by file."""

    def __init__(self, entries: Sequence[Entry], findings: Findings, *, alone: bool, platform: Platform) -> None:
        self.alone = alone
        self._slug = _thread_of(entries[0])
        self._entries = entries
        self._findings = findings
        self._platform = platform
        self._people = People(platform)

    def parts(self) -> Iterator[Part]:
        """The files as one part, newest message first."""
        yield Part(messages=self._messages(), newest_first=True)

    def _messages(self) -> Iterator[Message]:
        for entry in self._entries:
            yield from read_file(entry, self._findings, self._people, convert=_message)

    def conversation(self) -> Conversation:
        """The thread with everybody its headers list or who spoke."""
        repair, headers, people = self._people.repair, self._people.headers, self._people.everybody()
        header = next((h for h in headers if h.get("participants")), {})
        title = header.get("title")
        kind = str(header.get("thread_type", ""))
        path = next((str(h["thread_path"]) for h in headers if h.get("thread_path")), "")
        slug = repair(path).rpartition("/")[2] or self._slug  # the same however the folder was renamed
        others = ", ".join(person.name for person in people)
        return Conversation(
            id=f"{self._platform}:{slug}",
            platform=self._platform,
            title=repair(title) if isinstance(title, str) and title else others or slug,
            is_group=any(len(names_in(h)) > 2 for h in headers) or "joinable_mode" in header or kind.endswith("Group"),
            participants=people,
        )

    def twin_key(self) -> str:
        """The listed people (and the title, for a group)."""
        return self._people.twin_key(self.conversation())

    def notes(self) -> list[str]:
        """What should be known about people of one name in this thread."""
        return self._people.notes(self.conversation().title)


class Convert(Protocol):
    """A converter: a raw message, the people and the file's path in; a message or a reason out."""

    def __call__(self, raw: Mapping[str, object], people: People, source: str) -> Message | str: ...


def read_file(entry: Entry, findings: Findings, people: People, *, convert: Convert) -> Iterator[Message]:
    """One file's messages in file order; damage, unreadable messages and replaced characters go to `findings`."""
    repair = people.repair
    replaced, unmended = repair.replaced, repair.unmended
    try:
        stream = entry.open()
    except READ_ERRORS as error:
        reason = f"it cannot be opened ({error})"
        findings.damaged.append(Damaged(file=entry.path, reason=reason, position=0, messages_read=0))
        return
    with stream:
        thread = JsonThread(stream)
        people.headers.append(thread.header)
        for raw in thread.items():
            if thread.count == 1:
                people.meet(thread.header)
            if not isinstance(raw, dict):
                findings.drop("not a message object", file=entry.path)
                continue
            message = convert(raw, people, entry.path)
            if isinstance(message, str):
                findings.drop(message, file=entry.path)
            else:
                yield message
    if thread.damage is not None:
        findings.damaged.append(
            Damaged(file=entry.path, reason=thread.damage, position=thread.position, messages_read=thread.count)
        )
    elif not thread.count:
        findings.skipped.append((entry.path, "holds no messages"))
    findings.replaced_characters += repair.replaced - replaced
    findings.placeholders.update(people.placeholders)
    findings.placeholder_samples = {**people.placeholder_samples, **findings.placeholder_samples}
    people.placeholders.clear()
    if repair.unmended > unmended:
        findings.unmended[entry.path] = repair.unmended - unmended


def _message(raw: Mapping[str, object], people: People, source: str) -> Message | str:
    sent = sent_ms(raw.get("timestamp_ms", raw.get("timestamp")))
    if sent is None:
        return "without a usable time"
    name = raw.get("sender_name")
    author = people.by_raw_name(name if isinstance(name, str) else "")
    content = raw.get("content")
    text = people.repair(content) if isinstance(content, str) else ""
    sentence = people.platform_sentence(text, author)
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
    return complete_message(read, raw, people, told=told, sentence=sentence)


def complete_message(
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
        kind = kind_of_attachments(read.attachments)
    reactions = _reactions_of(raw.get("reactions"), people.repair)
    return replace(read, kind=kind, text=text, reactions=reactions, is_bot=read.author.name in BOT_NAMES)


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


def _thread_of(entry: Entry) -> str:
    """The thread's own name: its folder; a renamed file given alone is named by itself."""
    return entry.folder if _FILE.fullmatch(entry.name) else entry.name.removesuffix(".json")


def _file_number(entry: Entry) -> int:
    found = _FILE.fullmatch(entry.name)
    return int(found[1] or 0) if found else 0
