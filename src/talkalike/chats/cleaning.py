"""Decides which messages are people's words, and takes personal data out of them.

What is dropped is counted by its reason in plain words; what stays is the message as it was sent, apart from redacted
spans and IRC actions, which become the `/me waves` their author typed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from talkalike.chats.duplicates import MIN_WORDS, NearDuplicates
from talkalike.chats.phones import DEFAULT_REGIONS
from talkalike.chats.redaction import redact
from talkalike.chats.values import KNOWN_BOTS, Message, MessageKind

_PLAIN_WORD = re.compile(r"[a-z]+")
_ACTION = "/me "


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningRules:
    """What counts as noise. Names are compared without case."""

    bots: frozenset[str] = KNOWN_BOTS
    command_prefixes: str = "!/"  # one of these right before a word, as first thing in a message
    max_copies: int = 3  # how often one person may send the same long text, or the same short one in a row
    flood_minutes: int = 10  # the same short text after a longer silence is not a flood
    redact: bool = True
    phone_regions: tuple[str, ...] = DEFAULT_REGIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The messages that stay, in their order; how many were dropped by reason; how many spans were redacted by sort."""

    messages: tuple[Message, ...]
    dropped: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)


def clean(messages: Iterable[Message], rules: CleaningRules) -> Cleaned:
    """Cleans the messages of one conversation, given in their order."""
    cleaner = Cleaner(rules)
    kept = tuple(message for original in messages if (message := cleaner.keep(original)) is not None)
    return Cleaned(messages=kept, dropped=cleaner.dropped, redacted=cleaner.redacted)


class Cleaner:
    """Cleans one conversation message by message, for archives larger than memory."""

    def __init__(self, rules: CleaningRules) -> None:
        self.dropped: Counter[str] = Counter()
        self.redacted: Counter[str] = Counter()
        self._rules = rules
        self._bots = frozenset(name.casefold() for name in rules.bots)
        self._command = _command_pattern(rules.command_prefixes, self._bots)
        self._names: set[str] = set()
        self._floods = _Floods(rules.max_copies, rules.flood_minutes * 60_000)

    def keep(self, message: Message) -> Message | None:
        """The message to learn from, or None when it is dropped."""
        reason = self._noise(message)
        if reason is None:
            message = self._written(message)
            if self._floods.is_flood(message):
                reason = "repeated many times"
        if reason is not None:
            self.dropped[reason] += 1
            return None
        return message

    def _noise(self, message: Message) -> str | None:
        if message.kind is MessageKind.SYSTEM:
            return "system line"
        if message.is_bot or message.author.name.casefold() in self._bots:
            return "bot"
        self._names.add(message.author.name)
        if message.unsent:
            return "unsent"
        if message.forwarded:
            return "forwarded"
        if message.kind not in (MessageKind.TEXT, MessageKind.ACTION):
            return f"no words: {_what(message)}"
        text = message.text.strip()
        if not text:
            return f"no words: {_what(message)}" if message.attachments else "empty text"
        if message.kind is MessageKind.TEXT and self._command.match(text):
            return "command"
        if message.author.id.startswith("irc:") and self._only_a_name(text):
            return "only a name"
        return None

    def _only_a_name(self, text: str) -> bool:
        """A nick on its own calls somebody. A nick that is also a word ("hi") does so only with a colon."""
        name = text.rstrip(":,")
        return name in self._names and (name != text or not _PLAIN_WORD.fullmatch(name))

    def _written(self, message: Message) -> Message:
        text = message.text
        if message.kind is MessageKind.ACTION and not text.startswith(_ACTION):
            text = _ACTION + text
        if self._rules.redact:
            redacted = redact(text, phone_regions=self._rules.phone_regions)
            self.redacted.update(redacted.counts)
            text = redacted.text
        return message if text is message.text else replace(message, text=text)


class _Floods:
    """Remembers what everybody said, to tell pasting the same thing again from talking."""

    def __init__(self, max_copies: int, window_ms: int) -> None:
        self._max_copies = max_copies
        self._window_ms = window_ms
        self._long: dict[str, NearDuplicates] = {}  # by person
        self._last: dict[str, tuple[str, int, int]] = {}  # person -> (text, times in a row, last time)

    def is_flood(self, message: Message) -> bool:
        author, text = message.author.id, " ".join(message.text.casefold().split())
        last, times, when = self._last.get(author, ("", 0, 0))
        in_a_row = times + 1 if text == last and message.sent_ms - when <= self._window_ms else 1
        if in_a_row > self._max_copies:
            self._last[author] = (text, in_a_row, message.sent_ms)
            return True
        if text.count(" ") + 1 >= MIN_WORDS:
            said = self._long.setdefault(author, NearDuplicates())
            if said.count(text, with_numbers=True) >= self._max_copies:
                return True
            said.add(text)
        self._last[author] = (text, in_a_row, message.sent_ms)
        return False


def _command_pattern(prefixes: str, bots: frozenset[str]) -> re.Pattern[str]:
    """`!grub`, `!11.10 | nick`, `/join #x`, `ubotu: tell …`; not `/usr/bin`, `!!`, `/me waves`."""
    parts = []
    if prefixes:
        parts.append(rf"[{re.escape(prefixes)}](?!me\b)\w[\w.+\-]*(?=[\s|]|$)")
    if bots:
        parts.append(rf"@?(?:{'|'.join(map(re.escape, sorted(bots)))})[:,]\s")
    return re.compile("|".join(parts) or r"(?!)", re.I)


def _what(message: Message) -> str:
    """What a message without words is: the attachment says it better than the kind (`photo`, not `media`)."""
    if message.kind in (MessageKind.MEDIA, MessageKind.TEXT, MessageKind.ACTION) and message.attachments:
        return message.attachments[0].kind.value
    return message.kind.value
