"""WhatsApp's "Export chat": one text file for each chat, from Android or an iPhone, in the phone's language.

A message is `[12/9/23, 11:55:01 PM] Name: text` or `12/9/23, 23:55 - Name: text`, in as many forms as there are
locales; it goes on until the next line with such a header. A file is read twice: once for how its headers look, in
which order its dates are and who speaks, once for its messages. Times are the phone's, without a zone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from talkalike.chats.importers.date_order import DateOrder, Numbers, day_of
from talkalike.chats.importers.protocol import Choices, Draft, Findings
from talkalike.chats.importers.reading import NO_TIME, Cast, ChatFacts, ReadChat, one_part
from talkalike.chats.importers.text_lines import decide_encoding, first_text_lines, text_lines
from talkalike.chats.importers.whatsapp_words import (
    MARK_SIGNS,
    half_days,
    meaning_of,
    system_words,
    title_of,
)
from talkalike.chats.sources import Entry
from talkalike.chats.values import Conversation, Message, MessageKind, Platform, Speaker

UNDECIDED = (
    "its dates can be read as day/month or as month/day, and nothing in it tells which: import it again with "
    "--date-order dmy (24/12) or --date-order mdy (12/24)"
)
_M = f"[{MARK_SIGNS}]*"
_S = "[ \u00a0\u202f]"
_HALVES = "|".join(
    re.escape(word).replace(r"\.", rf"\.{_S}?") for word in sorted(half_days(), key=len, reverse=True) if word
)
_HEADER = re.compile(
    rf"{_M}(?P<open>\[?){_M}(?P<a>\d{{1,4}}){_M}(?P<sep>[./-]|년){_M}{_S}?(?P<b>\d{{1,4}}){_M}(?:[./-]|월){_M}{_S}?"
    rf"(?P<c>\d{{1,4}})(?:\.|일)?{_M}(?P<gap>[^\d\[\]\n]{{1,16}}?)"
    rf"(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})(?:[:.](?P<second>\d{{2}}))?"
    rf"(?:{_S}?(?P<half>{_HALVES}))?{_M}(?P<end>\]:?{_S}?|{_S}[-–—]{_S}|,{_S}){_M}",
    re.IGNORECASE,
)
_BLANKS = str.maketrans({"\u00a0": " ", "\u202f": " "})
_NO_NAMES = str.maketrans("", "", MARK_SIGNS)
_IRC = ("<", "* ", "-!-", "*** ", "--> ", "<-- ")
_SHARE = 0.05  # of a file's headers that a second form of header must have to be one
_LONGEST_NAME = 60  # characters; a longer "name" that is seen once is the beginning of a sentence
_LONGEST_TEXT = 4_000_000
_NOON, _LAST_HOUR, _LAST_MINUTE = 12, 23, 59

_Style = tuple[str, str, bool, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatsApp:
    """Chats exported by WhatsApp, as text files or as the zips they come in."""

    choices: Choices = field(default_factory=Choices)
    name: str = "whatsapp"
    described: str = "WhatsApp (Export chat)"

    def recognises(self, entry: Entry) -> bool:
        """A text file that begins with a message's header."""
        if not entry.name.lower().endswith(".txt") and not self.choices.forced:
            return False
        lines = first_text_lines(entry)
        headers = [found for line in lines if (found := _header(line))]
        if not headers:
            return False
        if self.choices.forced or title_of(entry.name) or entry.name == "_chat.txt":
            return True
        rests = [found.string[found.end() :] for found in headers]
        irc = sum(rest.startswith(_IRC) for rest in rests)
        return _header(lines[0]) is not None and any(map(_split, rests)) and 2 * irc < len(rests)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each file whose dates can be told."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            encoding = decide_encoding(entry, self.choices.encoding, findings)
            survey = _survey(entry, encoding)
            if not survey.styles:
                findings.skipped.append((entry.path, "no line of it begins with a date and a time as WhatsApp's do"))
                continue
            order = self.choices.date_order or survey.order()
            if order is None:
                findings.skipped.append((entry.path, UNDECIDED))
                findings.undecided.append(entry.path)
                continue
            chat = _Chat(entry, survey, order, findings)
            yield WhatsAppChat(chat, findings)
            if chat.backwards:
                findings.notes.append(
                    f"{entry.path}: {chat.backwards:,} messages have an earlier time than the one before them (a clock "
                    "was set, or they arrived late); they are put in the order of their times."
                )


class WhatsAppChat(ReadChat):
    """One file as a conversation, which is named by the file or else by its people."""

    def __init__(self, chat: _Chat, findings: Findings) -> None:
        self._stem = chat.stem
        super().__init__(chat.facts, one_part(chat.messages(encoding=chat.survey.encoding)), findings)

    def conversation(self) -> Conversation:
        """The chat; in one of two people, the file bears the other's name."""
        facts = self._facts
        names = {person.name for person in facts.people.values()}
        pair = names | {facts.title} if facts.title else names
        if len(pair) == 2:
            facts.key, facts.is_group = " & ".join(sorted(pair)), False
        else:
            facts.key, facts.is_group = facts.title or self._stem, len(pair) > 2
        return super().conversation()


@dataclass(slots=True)
class _Survey:
    """What the first reading tells: the forms of headers, the order of dates, and who speaks."""

    encoding: str
    styles: frozenset[_Style] = frozenset()
    speakers: frozenset[str] = frozenset()
    orders: dict[_Style, DateOrder] = field(default_factory=dict)

    def order(self) -> str | None:
        """The order of the dates in the most frequent form that tells one."""
        return next((found for style in self.orders if (found := self.orders[style].decide())), None)


def _header(line: str) -> re.Match[str] | None:
    found = _HEADER.match(line)
    if found is None or int(found["hour"]) > _LAST_HOUR or int(found["minute"]) > _LAST_MINUTE:
        return None
    return found


def _style(found: re.Match[str]) -> _Style:
    return found["open"], found["sep"], found["second"] is not None, found["end"].strip()


def _survey(entry: Entry, encoding: str) -> _Survey:
    counts = Counter[_Style]()
    names: dict[_Style, Counter[str]] = {}
    orders: dict[_Style, DateOrder] = {}
    for line in text_lines(entry, encoding):
        found = _header(line)
        if found is None:
            continue
        style = _style(found)
        counts[style] += 1
        if style not in orders:
            orders[style], names[style] = DateOrder(dotted=style[1] == "."), Counter()
        orders[style].see(_numbers(found))
        if split := _split(line[found.end() :]):
            names[style][split[0]] += 1
    enough = max(2, _SHARE * counts.total())
    styles = [style for at, (style, count) in enumerate(counts.most_common()) if not at or count >= enough]
    together = sum((names[style] for style in styles), Counter[str]())
    return _Survey(
        encoding,
        styles=frozenset(styles),
        speakers=_speakers(together),
        orders={style: orders[style] for style in styles},
    )


def _split(rest: str) -> tuple[str, str] | None:
    """Who may speak in what follows a header, and the words; None where nobody can."""
    name, colon, body = rest.partition(": ")
    if not colon:
        if not rest.endswith(":"):
            return None
        name, body = rest[:-1], ""
    name = name.translate(_BLANKS).translate(_NO_NAMES).strip()
    return (name, body) if name else None


def _speakers(seen: Mapping[str, int]) -> frozenset[str]:
    """Those of what stands before a colon that are names, not the beginnings of the platform's sentences."""
    names = {name for name in seen if not _unbalanced(name)}
    sentences = set()
    for name in names:
        begins = any(name.startswith(f"{other} ") for other in _beginnings_of(name) if other in names)
        tells = any(word in f"{name} " for word in system_words())
        if (tells and (begins or seen[name] == 1)) or (seen[name] == 1 and len(name) > _LONGEST_NAME):
            sentences.add(name)
    return frozenset(names - sentences)


def _beginnings_of(name: str) -> Iterator[str]:
    at = name.find(" ")
    while at > 0:
        yield name[:at]
        at = name.find(" ", at + 1)


def _unbalanced(name: str) -> bool:
    """Whether a quotation begins in it and ends elsewhere: `Anna created group "x` of `Anna created group "x: y"`."""
    pairs = (("“", "”"), ("«", "»"))
    return name.count('"') % 2 == 1 or any(name.count(one) > name.count(other) for one, other in pairs)


def _numbers(found: re.Match[str]) -> Numbers:
    return int(found["a"]), int(found["b"]), int(found["c"])


class _Chat:
    """The second reading of a file."""

    def __init__(self, entry: Entry, survey: _Survey, order: str, findings: Findings) -> None:
        self.survey = survey
        self.backwards = 0
        name = entry.folder if entry.name == "_chat.txt" else entry.name
        self.stem = name.removesuffix(".txt")
        self.facts = ChatFacts(platform=Platform.WHATSAPP, key=entry.path, title=title_of(name))
        self._entry = entry
        self._order = order
        self._findings = findings
        self._cast = Cast(Platform.WHATSAPP)
        self._platform = Speaker(id=f"{Platform.WHATSAPP}:", name="WhatsApp")
        self._days: dict[Numbers, int | None] = {}

    def messages(self, *, encoding: str) -> Iterator[Message]:
        """The messages in the file's order."""
        header: re.Match[str] | None = None
        body: list[str] = []
        length = 0
        before = 0
        for line in text_lines(self._entry, encoding, self._findings):
            found = _header(line)
            if found is not None and _style(found) in self.survey.styles:
                if header is not None and (message := self._message(header, body)):
                    self.backwards += message.sent_ms < before
                    before = message.sent_ms
                    yield message
                header, body = found, [line[found.end() :]]
                length = len(line)
            elif header is None:
                if line.strip():
                    self._findings.drop("WhatsApp: a line before the first message", file=self._entry.path)
            elif length < _LONGEST_TEXT:
                body.append(line)
                length += len(line) + 1
            else:
                self._findings.drop("WhatsApp: a line of a message that is too long for one", file=self._entry.path)
        if header is not None and (message := self._message(header, body)):
            yield message

    def _message(self, header: re.Match[str], body: list[str]) -> Message | None:
        sent_ms = self._time(header)
        if sent_ms is None:
            self._findings.drop(NO_TIME, file=self._entry.path)
            return None
        whole = "\n".join(body)
        split = _split(body[0])
        if split is None or split[0] not in self.survey.speakers:
            return Message(
                id="",
                author=self._platform,
                sent_ms=sent_ms,
                kind=MessageKind.SYSTEM,
                text=whole,
                source=self._entry.path,
            )
        told = meaning_of("\n".join([split[1], *body[1:]]), marks_tell=bool(header["open"]))
        author = self._cast.person(split[0], split[0])
        if told.kind is not MessageKind.SYSTEM:
            self.facts.met(author)
        return Message(
            id="",
            author=author,
            sent_ms=sent_ms,
            kind=told.kind,
            text=told.text,
            attachments=told.attachments,
            unsent=told.unsent,
            edited=told.edited,
            source=self._entry.path,
        )

    def _time(self, header: re.Match[str]) -> int | None:
        numbers = _numbers(header)
        if numbers not in self._days:
            day = day_of(numbers, self._order)
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() if day else -1
            self._days[numbers] = int(midnight) * 1000 if midnight > 0 else None
        midnight_ms = self._days[numbers]
        hour, minute, second = int(header["hour"]), int(header["minute"]), int(header["second"] or 0)
        half = _half_of(header["half"] or header["gap"])
        if half is not None and hour <= _NOON:
            hour = hour % _NOON + _NOON * half
        if midnight_ms is None or second > _LAST_MINUTE:
            return None
        return midnight_ms + ((hour * 60 + minute) * 60 + second) * 1000


def _half_of(text: str) -> bool | None:
    """Whether a time is in the second half of its day; None on a clock of 24 hours."""
    word = text.translate(_BLANKS).replace(" ", "").strip(f",{MARK_SIGNS}").casefold()
    return half_days().get(word)
