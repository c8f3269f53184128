"""The held-out part as what a person would judge: a context, and the burst that was really said next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from talkalike.examples.dataset import Document, ExampleSet
from talkalike.examples.reactions import emoji_of, words_of
from talkalike.examples.render import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceReply:
    """A burst of a chosen speaker and what stood before it, oldest first. `messages` holds its reactions too."""

    conversation: str
    context: tuple[Turn, ...]
    speaker: str
    messages: tuple[str, ...]
    sent_ms: int

    @property
    def words(self) -> tuple[str, ...]:
        """The burst without its reactions; empty where that is all it was."""
        return words_of(self.messages)

    @property
    def others_in_context(self) -> tuple[str, ...]:
        """Who else speaks in the context, in the order of their first word."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.context if turn.speaker != self.speaker))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One written message of a split. `chosen` says that its author is one whom the double learns to be."""

    conversation: str
    speaker: str
    text: str
    sent_ms: int
    chosen: bool


def load_replies(examples: ExampleSet, split: str = "heldout") -> list[ReferenceReply]:
    """Every burst of a chosen speaker that has somebody's turn before it."""
    return [reply for document in examples.documents(split) for reply in _replies(document)]


def load_messages(examples: ExampleSet, split: str) -> list[Said]:
    """Every written message of a split, the chosen speakers' and the others'; no reactions."""
    chosen = frozenset(examples.manifest.speakers)
    return [
        Said(
            conversation=document.conversation,
            speaker=turn.speaker,
            text=turn.text,
            sent_ms=sent_ms,
            chosen=turn.speaker in chosen,
        )
        for document in examples.documents(split)
        for turn, sent_ms in zip(document.turns, document.sent_ms, strict=True)
        if emoji_of(turn.text) is None
    ]


def _replies(document: Document) -> Iterator[ReferenceReply]:
    turns, learn = document.turns, document.learn
    start = 0
    while start < len(turns):
        stop = start + 1
        while stop < len(turns) and turns[stop].speaker == turns[start].speaker:
            stop += 1
        if start > 0 and all(learn[start:stop]):
            yield ReferenceReply(
                conversation=document.conversation,
                context=turns[:start],
                speaker=turns[start].speaker,
                messages=tuple(turn.text for turn in turns[start:stop]),
                sent_ms=document.sent_ms[start],
            )
        start = stop
