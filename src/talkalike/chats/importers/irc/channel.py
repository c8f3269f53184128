"""The second reading: one window's logs, as one logger wrote them, become messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from talkalike.chats.importers.irc.clock import Clock
from talkalike.chats.importers.irc.lines import Line, LineKind
from talkalike.chats.importers.irc.nicks import Nicks, addressee
from talkalike.chats.importers.irc.paths import CHANNEL_SIGNS
from talkalike.chats.importers.irc.survey import Survey
from talkalike.chats.importers.irc.text import lines_of
from talkalike.chats.importers.protocol import Findings, Part
from talkalike.chats.values import KNOWN_BOTS, Conversation, Message, MessageKind, Platform, Speaker

_SPOKEN = {LineKind.MESSAGE: MessageKind.TEXT, LineKind.ACTION: MessageKind.ACTION}
_UNKNOWN = "IRC: line of unknown format"
_SHOWN = 3  # such lines shown in the report
_WIDTH = 80


class IrcChannel:
    """All logs of one window by one logger, one part per file."""

    alone = True

    def __init__(self, *, network: str, window: str, files: Sequence[Survey], findings: Findings) -> None:
        self._network = network
        self._window = window
        self._files = files
        self._findings = findings
        self._speakers: dict[str, Speaker] = {}

    def parts(self) -> Iterator[Part]:
        for survey in self._files:
            yield Part(messages=self._messages(survey))

    def conversation(self) -> Conversation:
        """The window, with everybody who said something. A nick cannot begin with `@`, so talks of two do."""
        is_channel = self._window.startswith(CHANNEL_SIGNS)
        name = self._window.removeprefix("#") if is_channel else f"@{self._window}"
        return Conversation(
            id=f"{Platform.IRC}:{self._network}{'/' if self._network else ''}{name}",
            platform=Platform.IRC,
            title=f"{self._window} ({self._network})" if self._network else self._window,
            is_group=is_channel or len(self._speakers) > 2,
            participants=tuple(self._speakers.values()),
        )

    def twin_key(self) -> str:
        """Logs of a window all have its name: there are no twins."""
        return ""

    def _messages(self, survey: Survey) -> Iterator[Message]:
        nicks = Nicks(survey.nicks)
        clock = Clock(survey.start, half_day=survey.half_day_clock)
        known = {nick.lower(): nick for nick in survey.nicks}
        for line in self._lines(survey, known):
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
            called = addressee(text) if kind is MessageKind.TEXT else ""
            yield Message(
                id="",
                author=author,
                sent_ms=sent_ms,
                kind=kind,
                text=text,
                reply_to=known.get(called.lower()) if called else None,
                is_bot=line.nick.lower() in KNOWN_BOTS,
                source=survey.entry.path,
            )

    def _lines(self, survey: Survey, known: dict[str, str]) -> Iterator[Line]:
        """The file's lines, with those decided that only the whole file can tell."""
        parse = survey.parse
        for number, text in enumerate(lines_of(survey.entry, survey.encoding, self._findings), 1):
            line = parse(text) if text else None
            if line is not None and line.kind is not LineKind.UNCLEAR:
                yield line
            elif line is None:
                if text.strip():
                    self._unknown(survey, number, text)
            elif line.starred:
                nick = line.nick.lower()
                if survey.stars_are_actions or nick in known or nick in survey.others:
                    yield line._replace(kind=LineKind.ACTION)
                else:
                    yield line._replace(kind=LineKind.EVENT, nick="", text=f"{line.nick} {line.text}".rstrip())
            elif line.nick.lower() in known:
                yield line._replace(kind=LineKind.ACTION)
            else:
                self._findings.drop("IRC: line that is neither an event nor by a known nick")

    def _unknown(self, survey: Survey, number: int, text: str) -> None:
        if self._findings.unreadable.get(_UNKNOWN, 0) < _SHOWN:
            self._findings.notes.append(f"{survey.entry.path}, line {number} has no known format: {text[:_WIDTH]}")
        self._findings.drop(_UNKNOWN)
