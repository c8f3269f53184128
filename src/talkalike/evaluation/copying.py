"""Verbatim copies: how often a reply repeats a long stretch of the training chats word for word.

A reply counts as copied when one of its messages shares at least 8 words in a row, or 30 characters in a row, with a
training message. Everybody repeats set phrases: the author's own held-out replies and the base model, which never saw
the chats, say how much is ordinary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from talkalike.evaluation.intervals import Estimate, rate_estimate

WORDS = 8
CHARACTERS = 30
LONGEST = 10  # copies listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The longest copied stretch of one reply, and whose training message it stands in."""

    reply: int
    span: str
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRates:
    """Share of one arm's replies with a copy: from the author's own training messages, and from anyone's."""

    from_author: Estimate
    from_anyone: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """All arms beside each other, and the double's longest copies."""

    real: CopyRates
    double: CopyRates
    base: CopyRates
    longest: tuple[Copy, ...]
    words: int = WORDS
    characters: int = CHARACTERS


def compare_copying(
    *,
    training: Iterable[tuple[str, str]],
    author: str,
    real: Sequence[Sequence[str]],
    double: Sequence[Sequence[str]],
    base: Sequence[Sequence[str]],
) -> CopyReport:
    """`training`: (speaker, text) of every training message; it is read once, whatever its size."""
    arms = (real, double, base)
    together = [messages for arm in arms for messages in arm]
    copies = find_copies(together, training, author=author)
    rates, start = [], 0
    for arm in arms:
        mine, anyone = ({index for index in found if start <= index < start + len(arm)} for found in copies)
        rates.append(
            CopyRates(from_author=rate_estimate(len(mine), len(arm)), from_anyone=rate_estimate(len(anyone), len(arm)))
        )
        start += len(arm)
    found = [copies[1][index] for index in range(len(real), len(real) + len(double)) if index in copies[1]]
    longest = sorted(found, key=lambda copy: (-len(copy.span), copy.reply))[:LONGEST]
    return CopyReport(
        real=rates[0],
        double=rates[1],
        base=rates[2],
        longest=tuple(Copy(reply=copy.reply - len(real), span=copy.span, speaker=copy.speaker) for copy in longest),
    )


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
