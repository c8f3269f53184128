"""A conversation as the pipeline keeps it: who said what, in order, where it was reset, and who the double is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from talkalike.chat.context import ContextItem, Seen
from talkalike.chat.history import BEFORE_RESET, is_side_talk
from talkalike.examples.picture_words import neutral
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn


class Talk(Protocol):
    """What the pipeline needs of a conversation, whoever keeps its history: this program, or the face's own service."""

    seen: Seen | None  # what the last reply saw

    @property
    def id(self) -> str:
        """Names the conversation, and the engine's cache of it."""
        ...

    @property
    def double(self) -> str:
        """The speaker whose next message a reply writes."""
        ...

    @property
    def lock(self) -> asyncio.Lock:
        """Held while a reply is written."""
        ...

    @property
    def prompt_start(self) -> str | None:
        """The id of the oldest unpinned message of the last prompt."""
        ...

    def items(self) -> list[ContextItem]:
        """Everything said, oldest first, each with the reason why the model may not see it, if there is one."""
        ...

    def say(self, speaker: str, text: str) -> str:
        """Takes a message (or a reaction's turn) that the double has just finished; returns its id."""
        ...


@dataclass(slots=True, kw_only=True)
class InMemoryConversation:
    """The state of one conversation. Messages may be added at any time; replies take turns through `lock`.

    `id` also names the engine's cache. `double` is the speaker whose next message a reply writes.
    `side_talk` is the sign that opens a message not meant for the double; empty switches that off.
    """

    id: str
    double: str
    side_talk: str = "!"
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: Seen | None = None  # what the last reply saw
    _said: list[tuple[str, Turn]] = field(default_factory=list)
    _resets: list[int] = field(default_factory=list)  # how many messages stood before each reset
    _next_id: int = 1

    def say(self, speaker: str, text: str, *, message_id: str | None = None) -> str:
        """Adds a message at the end and returns its id: the given one (a face's own), or the next number.

        Only the double's may be a reaction; the sign of one is taken out of what others say, and what would stand for
        a picture.
        """
        if message_id is None:
            message_id = str(self._next_id)
            self._next_id += 1
        own = speaker == self.double
        self._said.append((message_id, Turn(speaker, text) if own else Turn(neutral(speaker), neutral(plain(text)))))
        return message_id

    def reset(self) -> None:
        """From now on the model sees nothing that was said so far. The history itself stays."""
        self._resets.append(len(self._said))

    def is_side_talk(self, text: str) -> bool:
        """Whether a message opens with this conversation's sign."""
        return is_side_talk(text, self.side_talk)

    def items(self) -> list[ContextItem]:
        """Everything said, oldest first, each with the reason why the model may not see it, if there is one."""
        begin = self._resets[-1] if self._resets else 0
        return [
            ContextItem(id=message_id, turn=turn, barred=self._why_barred(turn, before_reset=position < begin))
            for position, (message_id, turn) in enumerate(self._said)
        ]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn of the conversation, oldest first."""
        return tuple(turn for _, turn in self._said)

    @property
    def participants(self) -> tuple[str, ...]:
        """Everybody who spoke, in the order of their first message."""
        return tuple(dict.fromkeys(turn.speaker for _, turn in self._said))

    @property
    def prompt_start(self) -> str | None:
        """The id of the oldest unpinned message of the last prompt."""
        return self.seen.start if self.seen else None

    def _why_barred(self, turn: Turn, *, before_reset: bool) -> str:
        if before_reset:
            return BEFORE_RESET
        # The double's own words are never side talk: it does not know the sign.
        if turn.speaker != self.double and self.is_side_talk(turn.text):
            return f"side talk ({self.side_talk})"
        return ""
