"""What an importer is: it recognises its files among an export's entries and turns them into drafts of conversations.

Adding a format is one module with a class like this and one line in the registry (`importers/__init__.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from talkalike.chats.sources import Entry
from talkalike.chats.values import Conversation, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What somebody said about an export because it cannot be told from it."""

    encoding: str | None = None  # of text that is not UTF-8; None: found out
    date_order: str | None = None  # dmy, mdy, ymd or ydm; None: found out
    forced: bool = False  # every file is of the one format that was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A file that could be read only in part. `position` counts characters (bytes where nothing was decoded)."""

    file: str
    reason: str
    position: int
    messages_read: int


@dataclass(slots=True, kw_only=True)
class Findings:
    """What an importer could not turn into messages; importers add to it while they read."""

    damaged: list[Damaged] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)
    undecided: list[str] = field(default_factory=list)  # files whose dates can be read in two ways, so not read at all
    notes: list[str] = field(default_factory=list)
    unreadable: dict[str, int] = field(default_factory=dict)  # messages or lines dropped, by reason
    unreadable_in: dict[str, list[str]] = field(default_factory=dict)  # the files they are in, by reason
    unmended: dict[str, int] = field(default_factory=dict)  # characters left as another encoding's bytes, by file
    placeholders: Counter[str] = field(default_factory=Counter)  # "{sender} sent a photo", and how often
    placeholder_samples: dict[str, str] = field(default_factory=dict)  # the same -> "Anna sent a photo."
    replaced_characters: int = 0  # what no encoding could express, now U+FFFD

    def drop(self, reason: str, count: int = 1, *, file: str = "") -> None:
        """Count messages or lines that could not be read, and remember in which file."""
        self.unreadable[reason] = self.unreadable.get(reason, 0) + count
        files = self.unreadable_in.setdefault(reason, [])
        if file and file not in files[-1:]:
            files.append(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One telling of a conversation (a day's log, one export's thread): its messages in the export's order.

    The same message told twice within a part is two messages; told again by another part it is the same one.
    """

    messages: Iterable[Message]
    newest_first: bool = False


class Draft(Protocol):
    """A conversation being read. `conversation()` is final only after every part was consumed."""

    @property
    def alone(self) -> bool:
        """Whether no other thread of this export lists the same two people; only then may it be joined to a twin."""
        ...

    def parts(self) -> Iterator[Part]:
        """Each part once, to be consumed before the next is taken."""
        ...

    def conversation(self) -> Conversation:
        """Whose messages these were, as far as this export can tell."""
        ...

    def twin_key(self) -> str:
        """Equal for two exports' threads of the same people that may be one conversation; "" when it cannot be told."""
        ...


class Importer(Protocol):
    """One export format. `name` is what `--format` takes."""

    @property
    def name(self) -> str:
        """The format's name, also recorded as the origin of each message."""
        ...

    @property
    def described(self) -> str:
        """The format in words, for messages to people."""
        ...

    def recognises(self, entry: Entry) -> bool:
        """Whether this file is of this format, by its path and its first bytes. Must be cheap and never raise."""
        ...

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """The conversations in these entries, each to be read before the next is taken."""
        ...
