"""Conversations on the website as plain values, and the way through their branches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from talkalike.store.recording import ReplyState

MOST_PARTS = 1_000  # of one reply. In what the model saw, part n of message m has the id m * MOST_PARTS + n


class EntryKind(StrEnum):
    """What stands in a conversation. What somebody said aside (`!like this`) is `SAID`, too."""

    SAID = "said"
    REPLY = "reply"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstPart:
    """One message of a reply's burst, or (one of them is empty) an emoji put on the message before it."""

    text: str = ""
    emoji: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkRow:
    """A conversation. `model` is "" for the default one; `head` is the end of the branch that is shown, 0 for none."""

    id: int
    owner: str
    title: str
    name: str
    model: str
    options: Mapping[str, Any]
    head: int
    version: int
    made_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """A picture of a message, without its bytes."""

    id: int
    name: str
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPicture:
    """A new picture that is to be stored."""

    name: str
    content_type: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """A message, a reply or a reset; `state` is None unless it is a reply."""

    id: int
    parent: int | None
    kind: EntryKind
    text: str
    at: datetime
    parts: tuple[BurstPart, ...] = ()
    state: ReplyState | None = None
    model: str = ""
    speaker: str = ""
    item_id: int | None = None
    tokens: int = 0
    seconds: float = 0.0
    problem: str = ""
    pictures: tuple[PictureRow, ...] = ()


@dataclass(slots=True)
class Tree:
    """The messages of a conversation, in the order in which they were stored, and the branches they make."""

    rows: Sequence[MessageRow]
    _by_id: dict[int, MessageRow] = field(init=False)
    _children: dict[int | None, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_id = {row.id: row for row in self.rows}
        self._children = {}
        for row in self.rows:
            self._children.setdefault(row.parent, []).append(row.id)

    def get(self, message_id: int | None) -> MessageRow | None:
        """The message of that id, if it is in this conversation."""
        return self._by_id.get(message_id) if message_id else None

    def path(self, head: int | None) -> list[MessageRow]:
        """From the first message to `head`."""
        path: list[MessageRow] = []
        row = self.get(head)
        while row is not None:
            path.append(row)
            row = self.get(row.parent)
        return path[::-1]

    def branches(self, row: MessageRow) -> list[int]:
        """The ids of the message and of those that stand in its place in other branches, oldest first."""
        return [one for one in self._children[row.parent] if self._by_id[one].kind is row.kind]

    def end_of(self, message_id: int) -> int:
        """The end of the newest branch that goes through the message."""
        while below := self._children.get(message_id):
            message_id = below[-1]
        return message_id


def text_of(parts: Iterable[BurstPart]) -> str:
    """The words of a burst, one message a line."""
    return "\n".join(part.text for part in parts if part.text)
