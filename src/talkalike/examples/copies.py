"""Verbatim copies: the stretches of a training chat that a reply repeats word for word.

A message copies where it shares at least 8 words in a row, or 30 characters in a row, with a training message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

WORDS = 8
CHARACTERS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The longest copied stretch of one reply, and whose training message it stands in."""

    reply: int
    span: str
    speaker: str


def find_copies(
    replies: Sequence[Sequence[str]], training: Iterable[tuple[str, str]], *, author: str
) -> tuple[dict[int, Copy], dict[int, Copy]]:
    """The longest copy of each reply that has one, by index: (from the author's messages, from anyone's).

    The replies' windows are indexed, not the training messages: memory grows with the few replies only.
    """
    windows: dict[str, set[tuple[int, int]]] = {}
    for index, messages in enumerate(replies):
        for position, text in enumerate(messages):
            for window in _windows(text):
                windows.setdefault(window, set()).add((index, position))
    mine: dict[int, Copy] = {}
    anyone: dict[int, Copy] = {}
    for speaker, text in training:
        for index, position in {place for window in _windows(text) for place in windows.get(window, ())}:
            span = common_span(replies[index][position], text)
            for found in (mine, anyone) if speaker == author else (anyone,):
                if index not in found or len(span) > len(found[index].span):
                    found[index] = Copy(reply=index, span=span, speaker=speaker)
    return mine, anyone


def common_span(text: str, other: str) -> str:
    """The longest stretch of `text` that stands in `other` and is long enough to count; "" where none is."""
    best = ""
    for start in range(len(text)):
        stop = start + len(best) + 1
        while stop <= len(text) and text[start:stop] in other:
            stop += 1
        best = max(best, text[start : stop - 1], key=len)
    if len(best) >= CHARACTERS:
        return best
    # Eight short words can be less than 30 characters, and need not be the longest stretch of characters.
    theirs = set(_word_runs(other))
    return max([run for run in _word_runs(text) if run in theirs], key=len, default="")


def _windows(text: str) -> Iterator[str]:
    for start in range(len(text) - CHARACTERS + 1):
        yield text[start : start + CHARACTERS]
    yield from _word_runs(text)


def _word_runs(text: str) -> Iterator[str]:
    words = text.split()
    for start in range(len(words) - WORDS + 1):
        yield " ".join(words[start : start + WORDS])
