"""Reactions: how many replies have one. Judged apart from the words, which all other measures are about."""

from __future__ import annotations

from collections.abc import Sequence

from talkalike.evaluation.intervals import Estimate, rate_estimate
from talkalike.examples.reactions import emoji_of


def reaction_rate(replies: Sequence[Sequence[str]]) -> Estimate:
    """Share of the replies (bursts with their reactions) that have a reaction, alone or beside words."""
    return rate_estimate(sum(any(emoji_of(text) for text in burst) for burst in replies), len(replies))
