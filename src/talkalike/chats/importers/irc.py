"""Plain IRC logs. Every file is a day or a stretch of one channel; all files of a channel are one conversation.

The order of the lines is the truth: times are local, often without a date or AM/PM, and only ever move forward. A
file is read twice: once to learn its dialect, its nicks and its channel, once for its messages.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath

from talkalike.chats.importers.irc_clock import Clock, date_in
from talkalike.chats.importers.irc_lines import DIALECTS, Dialect, Line, LineKind, clean_nick
from talkalike.chats.importers.irc_people import Nicks
from talkalike.chats.importers.protocol import Damaged, Draft, Findings, Part
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Conversation, Message, MessageKind, Person, Platform

BOTS = frozenset(
    {"ubotu", "ubottu", "ubot3", "ubot2", "ubot5", "ubot93", "lubotu", "lubottu", "ubotwo", "meetingology", "supybot"}
    | {"chanserv", "nickserv", "memoserv", "floodbot1", "floodbot2", "floodbot3", "floodbot4", "floodbotk1"}
)
_SUFFIXES = (".log", ".txt", ".weechatlog", ".irc", ".xchatlog")
_SAMPLE_LINES = 500
_RECOGNISED_SHARE = 0.6
_LONGEST_LINE = 1024 * 1024  # bytes; a longer one is no chat and is read in pieces
_FORMATTING = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x02\x0f\x11\x16\x1d-\x1f]"
)
_ADDRESSED = re.compile(r"([^\s:,]{1,32})[:,](?:\s|$)")
_DATE_IN_NAME = re.compile(r"\d{4}[-_.]?\d{2}[-_.]?\d{2}|\d{6,8}")
_NOT_A_CHANNEL = frozenset(
    {"irc", "log", "logs", "irclogs", "chat", "chats", "channel", "train", "dev", "test", "export", "a", "b", "c"}
)
_SPOKEN = {LineKind.MESSAGE: MessageKind.TEXT, LineKind.ACTION: MessageKind.ACTION}


class Irc:
    """Logs of Ubuntu's archive, irssi, WeeChat, XChat/HexChat, mIRC, eggdrop and ZNC."""

    name = "irc"
    described = "IRC logs (irssi, WeeChat, XChat, mIRC, ZNC, Ubuntu's archive)"

    def recognises(self, entry: Entry) -> bool:
        """A text file of which most lines are of one dialect."""
        if not entry.name.lower().endswith(_SUFFIXES) and "." in entry.name.lstrip("#."):
            return False
        lines = [_decoded(raw) for raw in entry.head().split(b"\n")[:_SAMPLE_LINES]]
        lines = [line for line in lines[: max(1, len(lines) - 1)] if line]
        return bool(lines) and _best(lines)[1] >= _RECOGNISED_SHARE * len(lines)

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One draft per channel; files that do not name theirs follow their neighbours of the same naming."""
        surveys = [survey for entry in entries if (survey := _survey(entry, findings))]
        votes: dict[tuple[str, str, str], Counter[str]] = {}
        for survey in surveys:
            votes.setdefault(_family(survey.entry), Counter()).update(survey.channels)
        channels: dict[str, list[_Survey]] = {}
        for survey in surveys:
            voted = votes[_family(survey.entry)].most_common(1)
            name = _channel_of_path(survey.entry) or (voted[0][0] if voted else _fallback_name(survey.entry))
            channels.setdefault(name.lower(), []).append(survey)
        for name in sorted(channels):
            yield IrcChannel(name, sorted(channels[name], key=lambda s: (s.day or date.min, s.entry.path)), findings)


@dataclass(slots=True)
class _Survey:
    """What the first reading of a file tells."""

    entry: Entry
    dialect: Dialect
    day: date | None
    nicks: Counter[str] = field(default_factory=Counter)  # as written, by lines spoken
    channels: Counter[str] = field(default_factory=Counter)
    half_day_clock: bool = False


class IrcChannel:
    """All logs of one channel, one part per file."""

    alone = True

    def __init__(self, channel: str, surveys: Sequence[_Survey], findings: Findings) -> None:
        self._channel = channel
        self._surveys = surveys
        self._findings = findings
        self._speakers: dict[str, Person] = {}

    def parts(self) -> Iterator[Part]:
        """One part per file, oldest first."""
        for survey in self._surveys:
            yield Part(messages=self._messages(survey))

    def conversation(self) -> Conversation:
        """The channel, with everybody who said something."""
        is_channel = self._channel.startswith("#") or len(self._speakers) > 2
        return Conversation(
            id=f"{Platform.IRC}:{self._channel.lstrip('#') or self._channel}",
            platform=Platform.IRC,
            title=self._channel,
            is_group=is_channel,
            participants=tuple(self._speakers.values()),
        )

    def twin_key(self) -> str:
        """Logs of a channel all have its name: there are no twins."""
        return ""

    def _messages(self, survey: _Survey) -> Iterator[Message]:
        nicks = Nicks(survey.nicks)
        clock = Clock(survey.day, half_day=survey.half_day_clock)
        known = {nick.lower(): nick for nick in survey.nicks}
        for line in _parsed(survey, self._findings):
            if line.kind is LineKind.UNCLEAR:
                if line.nick.lower() not in known:
                    self._findings.drop("IRC: a line that is neither an event nor by a known nick")
                    continue
                line = line._replace(kind=LineKind.ACTION)
            sent_ms = clock.tick(line.clock, line.date)
            if line.kind in (LineKind.DATE, LineKind.HEADER):
                continue
            kind = _SPOKEN.get(line.kind, MessageKind.SYSTEM)
            author = nicks.person(line.nick)
            text = line.text
            if line.kind is LineKind.RENAME:
                nicks.rename(line.nick, line.text)
                text = f"{line.nick} is now known as {line.text}"
            elif kind is not MessageKind.SYSTEM:
                self._speakers.setdefault(author.id, author)
            addressed = _ADDRESSED.match(text) if kind is MessageKind.TEXT else None
            yield Message(
                id="",
                author=author,
                sent_ms=sent_ms,
                kind=kind,
                text=text,
                reply_to=known.get(addressed[1].lower()) if addressed else None,
                is_bot=line.nick.lower() in BOTS,
                source=survey.entry.path,
            )


def _survey(entry: Entry, findings: Findings) -> _Survey | None:
    sample: list[str] = []
    for line in _lines(entry, None):
        if line:
            sample.append(line)
        if len(sample) == _SAMPLE_LINES:
            break
    if not sample:
        findings.skipped.append((entry.path, "holds no lines"))
        return None
    survey = _Survey(entry, _best(sample)[0], date_in(entry.path))
    parse = survey.dialect.parse
    latest_hour = 0
    for line in _lines(entry, None):
        parsed = parse(line)
        if parsed is None:
            continue
        if parsed.kind in _SPOKEN:
            survey.nicks[parsed.nick] += 1
        if parsed.channel.startswith("#"):
            survey.channels[parsed.channel.lower()] += 1
        if parsed.clock:
            latest_hour = max(latest_hour, parsed.clock[0])
    # Ubuntu's archive had no AM/PM before October 2007; a file that never shows an hour above 12 is taken for one.
    before = survey.day is None or survey.day < date(2007, 10, 1)
    survey.half_day_clock = survey.dialect.name == "bracketed" and latest_hour <= 12 and before
    return survey


def _parsed(survey: _Survey, findings: Findings) -> Iterator[Line]:
    for line in _lines(survey.entry, findings):
        if line:
            parsed = survey.dialect.parse(line)
            if parsed is None:
                findings.drop("IRC: a line in no known form")
            else:
                yield parsed


def _lines(entry: Entry, findings: Findings | None) -> Iterator[str]:
    """The file's lines, split at line feeds only (other separators occur inside messages)."""
    count = position = 0
    try:
        with io.BufferedReader(entry.open()) as stream:  # type: ignore[type-var]  # any stream of bytes will do
            while raw := stream.readline(_LONGEST_LINE):
                count += 1
                position += len(raw)
                yield _decoded(raw)
    except READ_ERRORS as error:
        if findings is not None:
            reason = f"its bytes cannot be read ({error})"
            findings.damaged.append(Damaged(file=entry.path, reason=reason, position=position, messages_read=count))


def _decoded(raw: bytes) -> str:
    raw = raw.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf")
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError:
        try:
            line = raw.decode("cp1252")
        except UnicodeDecodeError:
            line = raw.decode("latin-1")
    return line if line.isprintable() else _FORMATTING.sub("", line)


def _best(lines: Sequence[str]) -> tuple[Dialect, int]:
    """The dialect that explains the most lines, and how many."""
    scores = [(sum(d.parse(line) is not None for line in lines), -rank) for rank, d in enumerate(DIALECTS)]
    explained, rank = max(scores)
    return DIALECTS[-rank], explained


def _family(entry: Entry) -> tuple[str, str, str]:
    """Files that differ only in their dates (and the letters of a day's parts) are one channel's."""
    stem = _DATE_IN_NAME.sub("", entry.name).rpartition(".")[0]
    folder = _DATE_IN_NAME.sub("", re.sub(r"(?:^|/)\d{1,4}(?=/|$)", "", entry.path.rpartition("/")[0]))
    return entry.container, folder, re.sub(r"[-_.][a-z0-9]$", "", stem)


def _channel_of_path(entry: Entry) -> str:
    """`#name` in the file's name or a folder's, WeeChat's `irc.server.#name`; "" if the path does not tell."""
    for part in reversed(PurePosixPath(entry.path).parts):
        found = re.search(r"#+[^\s/]+", part)
        if found:
            bare = _DATE_IN_NAME.sub("", found[0])
            for suffix in _SUFFIXES:
                bare = bare.removesuffix(suffix)
            return bare.rstrip("._-").lower()
    return ""


def _fallback_name(entry: Entry) -> str:
    """What the folder or file is called, without dates and words such as "logs"."""
    stem = entry.name.rpartition(".")[0] or entry.name
    for candidate in (entry.folder, stem):
        words = re.split(r"[-_. ]+", _DATE_IN_NAME.sub("", candidate).lower())
        telling = [word for word in words if word and word not in _NOT_A_CHANNEL and not word.isdigit()]
        if telling:
            return "-".join(telling)
    return clean_nick(stem) or "log"
