"""Signal: what signal-export writes for each chat, and the history that Signal Desktop exports itself.

signal-export makes a folder for each chat, with `data.json` (one message a line) and `chat.md` (the same as text, less
of it). Signal Desktop writes one `main.jsonl` with people, chats and all messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    mappings,
    one_part,
    read_json_lines,
    string,
)
from talkalike.chats.importers.signal_desktop import is_desktop_export, read_desktop
from talkalike.chats.importers.text_lines import decide_encoding, first_text_lines, text_lines
from talkalike.chats.importers.times import iso_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction

_HEADER = re.compile(r"\[(\d{4})-(\d\d)-(\d\d),? (\d\d):(\d\d)(?::(\d\d))?\] ([^:\n]{1,80}?): ?")
_LINE = re.compile(rb'^\s*\{"date"\s*:\s*"\d{4}-[^"]*",\s*"sender"\s*:\s*"(?:[^"\\]|\\.)*",\s*"body"\s*:')
_TEXT_NAMES = (".md", ".txt")
_REACTIONS = re.compile(r"^\(- (.+) -\)$")
_STICKER = re.compile(r"^\(\( (.*) \)\)$")
_ATTACHED = re.compile(r"!?\[([^\]\n]*)\]\((\.?/?media/[^)\n]*)\)(?:  )?")
_CALLS = frozenset({"Incoming call", "Outgoing call"})
_NOBODY = "No-Sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Signal's chats, of either program."""

    choices: Choices = field(default_factory=Choices)
    name: str = "signal"
    described: str = "Signal (signal-export, or Signal Desktop's exported history)"

    def recognises(self, entry: Entry) -> bool:
        """By the first message of a file."""
        name = entry.name.lower()
        if name.endswith(".json"):
            return _LINE.match(entry.head(4096)) is not None
        if name.endswith(".jsonl"):
            return is_desktop_export(entry)
        if not name.endswith(_TEXT_NAMES):
            return False
        lines = first_text_lines(entry, 1)
        found = _HEADER.match(lines[0]) if lines else None
        # WhatsApp's iPhones write such headers with seconds, in some languages.
        return found is not None and (name.endswith(".md") or found[6] is None or self.choices.forced)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each folder or file of signal-export; all of Signal Desktop's."""
        with_data = {(entry.root, _folder(entry)) for entry in entries if entry.name == "data.json"}
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            if entry.name.lower().endswith(".jsonl") or is_desktop_export(entry):
                yield from read_desktop(entry, findings)
                continue
            title = entry.folder if entry.name in ("data.json", "chat.md", "index.md") else ""
            facts = ChatFacts(platform=Platform.SIGNAL, key=title or PurePosixPath(entry.name).stem, title=title)
            if entry.name.endswith(".json"):
                yield ReadChat(facts, one_part(_of_data(entry, facts, findings)), findings)
            elif (entry.root, _folder(entry)) in with_data:
                findings.skipped.append((entry.path, "the same chat as the data.json beside it, with less"))
            else:
                encoding = decide_encoding(entry, self.choices.encoding, findings)
                yield ReadChat(facts, one_part(_of_text(entry, encoding, facts, findings)), findings)


def _folder(entry: Entry) -> str:
    return PurePosixPath(entry.path).parent.as_posix()


def _of_data(entry: Entry, facts: ChatFacts, findings: Findings) -> Iterator[Message]:
    cast = Cast(Platform.SIGNAL)
    for _, raw in read_json_lines(entry, findings):
        when, name = iso_ms(raw.get("date")), string(raw.get("sender"))
        if when is None:
            findings.drop(NO_TIME, file=entry.path)
            continue
        attachments = [
            Attachment(kind=kind_of_file(string(item.get("path"))), uri=string(item.get("path")))
            for item in mappings(raw.get("attachments"))
        ]
        if string(raw.get("sticker")):
            attachments.append(Attachment(kind=AttachmentKind.STICKER, uri=string(raw.get("sticker"))))
        text = string(raw.get("body")).removesuffix("  ")  # added for Markdown's sake
        author = cast.person(name, name)
        kind = kind_of_message(text, attachments)
        if name == _NOBODY:
            kind = MessageKind.SYSTEM
        elif text in _CALLS:
            kind = MessageKind.CALL
        yield Message(
            id="",
            author=author if kind is MessageKind.SYSTEM else facts.met(author),
            sent_ms=when,
            kind=kind,
            text=text,
            reactions=tuple(_pairs(raw.get("reactions"))),
            attachments=tuple(attachments),
            source=entry.path,
        )


def _pairs(found: object) -> Iterator[Reaction]:
    """`["Anna", "👍"]` or `{"name": ..., "emoji": ...}`."""
    for item in found if isinstance(found, list) else ():
        pair = (item.get("name"), item.get("emoji")) if isinstance(item, dict) else item
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            yield Reaction(actor=str(pair[0]), emoji=str(pair[1]))


def _of_text(entry: Entry, encoding: str, facts: ChatFacts, findings: Findings) -> Iterator[Message]:
    cast = Cast(Platform.SIGNAL)
    header: re.Match[str] | None = None
    body: list[str] = []
    for line in text_lines(entry, encoding, findings):
        found = _HEADER.match(line)
        if found is None and header is not None:
            body.append(line)
        elif found is None:
            if line.strip():
                findings.drop("Signal: a line before the first message", file=entry.path)
        else:
            if header is not None:
                yield from _text_message(header, body, cast, facts, entry.path)
            if iso_ms(found[0][1:11]) is None:
                findings.drop(NO_TIME, file=entry.path)
            header, body = found, [line[found.end() :]]
    if header is not None:
        yield from _text_message(header, body, cast, facts, entry.path)


def _text_message(
    header: re.Match[str], body: list[str], cast: Cast, facts: ChatFacts, source: str
) -> Iterator[Message]:
    year, month, day, hour, minute, second, name = header.groups("00")
    when = iso_ms(f"{year}-{month}-{day} {hour}:{minute}:{second}")
    reactions: list[Reaction] = []
    attachments: list[Attachment] = []
    words: list[str] = []
    quoted = body[:1] == [""] and any(line.startswith("> ") for line in body)
    for line in body:
        if found := _REACTIONS.match(line.rstrip()):
            pairs = (pair.rpartition(": ") for pair in found[1].split(", "))
            reactions += [Reaction(actor=name, emoji=emoji) for name, _, emoji in pairs if name]
        elif found := _STICKER.match(line.rstrip()):
            attachments.append(Attachment(kind=AttachmentKind.STICKER, uri=found[1]))
        elif not (quoted and line.startswith("> ")):
            uris = [found[2] for found in _ATTACHED.finditer(line)]
            attachments += [Attachment(kind=kind_of_file(uri), uri=uri) for uri in uris]
            words.append(_ATTACHED.sub("", line) if uris else line)
    text = "\n".join(words).rstrip("\n").removesuffix("  ")
    text = text.lstrip("\n") if quoted else text
    kind = kind_of_message(text, attachments)
    if name == _NOBODY:
        kind = MessageKind.SYSTEM
    elif text in _CALLS:
        kind = MessageKind.CALL
    author = cast.person(name, name)
    if when is not None:
        yield Message(
            id="",
            author=author if kind is MessageKind.SYSTEM else facts.met(author),
            sent_ms=when,
            kind=kind,
            text=text,
            reactions=tuple(reactions),
            attachments=tuple(attachments),
            source=source,
        )
