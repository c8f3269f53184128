"""iMessage: the text files of imessage-exporter, and the Mac's own `chat.db` (see `imessage_database`).

In a text file a message is a line with its time, a line with its sender, and what was written; replies stand indented
under what they answer, and once more at their own time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.importers.imessage_database import is_database, read_database
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import NO_TIME, Cast, ChatFacts, ReadChat, one_part
from talkalike.chats.importers.text_lines import decide_encoding, first_text_lines, text_lines
from talkalike.chats.importers.times import utc_ms
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction

_TIME = r"([A-Z][a-z]{2} \d{1,2}, \d{4} {1,2}\d{1,2}:\d{2}:\d{2} [AP]M)"
_HEADER = re.compile(rf"^( *){_TIME}(?: \(Read by .*\))?$")
_ANNOUNCEMENT = re.compile(rf"^{_TIME} (\S.*)$")
_EDITED = re.compile(rf"^{_TIME} (.*)$")
_LATER = re.compile(r"^Edited .{1,40} later: (.*)$")
_ATTACHED = re.compile(r"^(?:/|~/|attachments/|Attachments/|[A-Za-z]:\\)\S.*\.\w{2,5}$")
_TAPBACK = re.compile(r"^(Loved|Liked|Disliked|Laughed|Laughed at|Emphasized|Questioned|\S{1,16}) by (.+)$")
_SIGNS = {"Loved": "❤️", "Liked": "👍", "Disliked": "👎", "Laughed": "😂", "Laughed at": "😂"}
_SIGNS |= {"Emphasized": "‼️", "Questioned": "❓"}
_TAPBACKS = ("Tapbacks:", "Reactions:")
_REPLIED = "This message responded to an earlier message."
_EFFECT = re.compile(r"^Sent with [A-Z][\w ]{2,20}$")
_UNSENT = re.compile(
    r"^(?:You|They|.{1,60}) (?:deleted|unsent) a message[.!]?|^.{1,60} unsent this message part", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IMessage:
    """iMessage and SMS of a Mac or an iPhone."""

    choices: Choices = field(default_factory=Choices)
    name: str = "imessage"
    described: str = "iMessage (imessage-exporter's text files, or chat.db)"

    def recognises(self, entry: Entry) -> bool:
        """A text that begins with a time of that form, or a database with its tables."""
        name = entry.name.lower()
        if name.endswith(".txt"):
            lines = first_text_lines(entry, 1)
            return bool(lines) and (_HEADER.match(lines[0]) or _ANNOUNCEMENT.match(lines[0])) is not None
        return is_database(entry)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each text file; all those of a database."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            if not entry.name.lower().endswith(".txt"):
                yield from read_database(entry, entries, findings)
                continue
            title = re.sub(r" - \d+$", "", entry.name.removesuffix(".txt"))  # the exporter's number of the chat
            facts = ChatFacts(platform=Platform.IMESSAGE, key=title, title=title)
            encoding = decide_encoding(entry, self.choices.encoding, findings)
            yield ReadChat(facts, one_part(_Text(entry, facts, findings).messages(encoding)), findings)


class _Text:
    """The chat that one text file tells."""

    def __init__(self, entry: Entry, facts: ChatFacts, findings: Findings) -> None:
        self._entry = entry
        self._facts = facts
        self._findings = findings
        self._cast = Cast(Platform.IMESSAGE)

    def messages(self, encoding: str) -> Iterator[Message]:
        """Each message once, in the file's order."""
        time, block = "", list[str]()
        for line in text_lines(self._entry, encoding, self._findings):
            header = _HEADER.match(line)
            if header is None and (not block or block[-1:] == [""]) and (told := _ANNOUNCEMENT.match(line)):
                yield from self._message(time, block)
                yield from self._announcement(told[1], told[2])
                time, block = "", []
            elif header is None:
                block.append(line)
            elif not header[1]:
                yield from self._message(time, block)
                time, block = header[2], []
            else:
                block.append(line)  # a reply, told here and at its own time
        yield from self._message(time, block)

    def _announcement(self, time: str, text: str) -> Iterator[Message]:
        when = _time(time)
        if when is not None:
            nobody = self._cast.person("", "iMessage")
            path = self._entry.path
            yield Message(id="", author=nobody, sent_ms=when, kind=MessageKind.SYSTEM, text=text, source=path)

    def _message(self, time: str, block: list[str]) -> Iterator[Message]:
        if not time:
            if any(line.strip() for line in block):
                self._findings.drop("iMessage: lines without a time", file=self._entry.path)
            return
        when = _time(time)
        if when is None or not block:
            self._findings.drop(NO_TIME, file=self._entry.path)
            return
        author = self._facts.met(self._cast.person(block[0], block[0]))
        lines = _without_replies(block[1:])
        while lines and not lines[-1]:
            lines.pop()
        reactions = tuple(_take_tapbacks(lines))
        if lines[-1:] == [_REPLIED]:
            lines.pop()
        if lines and _EFFECT.match(lines[-1]):
            lines.pop()
        edited = _take_edits(lines)
        attachments = tuple(Attachment(kind=kind_of_file(line), uri=line) for line in lines if _ATTACHED.match(line))
        text = "\n".join(line for line in lines if not _ATTACHED.match(line))
        if text.startswith(("http://", "https://")) and "\n" in text:
            attachments = (*attachments, Attachment(kind=AttachmentKind.LINK, uri=text.partition("\n")[0]))
            text = text.partition("\n")[0]  # the rest is the preview of the page
        unsent = _UNSENT.match(text) is not None
        yield Message(
            id="",
            author=author,
            sent_ms=when,
            kind=kind_of_message(text, attachments),
            text="" if unsent else text,
            reactions=reactions,
            attachments=attachments,
            unsent=unsent,
            edited=edited,
            source=self._entry.path,
        )


def _time(text: str) -> int | None:
    try:
        return utc_ms(datetime.strptime(" ".join(text.split()), "%b %d, %Y %I:%M:%S %p"))
    except ValueError:
        return None


def _without_replies(lines: list[str]) -> list[str]:
    """A message's own lines: replies are indented and end with a blank line."""
    own: list[str] = []
    inside = False
    for line in lines:
        header = _HEADER.match(line)
        if header is not None and header[1]:
            inside = True
        elif inside and line and not line.startswith("    "):
            inside = False
        if not inside:
            own.append(line)
    return own


def _take_tapbacks(lines: list[str]) -> Iterator[Reaction]:
    """Takes the reactions off the end of a message's lines."""
    at = next((at for at, line in enumerate(lines) if line in _TAPBACKS), None)
    if at is None or not any(_TAPBACK.match(line) for line in lines[at + 1 :]):
        return
    rest = lines[at + 1 :]
    kept = [line for line in rest if line == _REPLIED]
    del lines[at:]
    for line in rest:
        if found := _TAPBACK.match(line):
            yield Reaction(actor=found[2], emoji=_SIGNS.get(found[1], found[1]))
    lines += kept


def _take_edits(lines: list[str]) -> bool:
    """Leaves of an edited message how it reads since; the exporter tells every version."""
    first = _EDITED.match(lines[0]) if lines else None
    if first is None or not any(_LATER.match(line) for line in lines):
        return False
    last = max(at for at, line in enumerate(lines) if _LATER.match(line))
    found = _LATER.match(lines[last])
    lines[: last + 1] = [found[1] if found else ""]
    return True
