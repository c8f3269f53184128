"""Verbatim copies: how often a reply repeats a long stretch of the training chats word for word.

What counts as a copy: `examples.copies`. Everybody repeats set phrases: the author's own held-out replies and the base
model, which never saw the chats, say how much is ordinary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from talkalike.evaluation.intervals import Estimate, rate_estimate
from talkalike.examples.copies import CHARACTERS, WORDS, Copy, find_copies

LONGEST = 10  # copies listed


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
