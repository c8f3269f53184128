"""Reactions: how many replies have one. Judged apart from the words, which all other measures are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talkalike.evaluation.intervals import Estimate, rate_estimate
from talkalike.examples.reactions import emoji_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRates:
    """Share of each arm's replies (to the same contexts) that have a reaction, alone or beside words."""

    real: Estimate
    double: Estimate
    base: Estimate


def compare_reactions(
    *, real: Sequence[Sequence[str]], double: Sequence[Sequence[str]], base: Sequence[Sequence[str]]
) -> ReactionRates:
    """The arms' replies as bursts, with their reactions among the messages."""
    return ReactionRates(real=_rate(real), double=_rate(double), base=_rate(base))


def _rate(replies: Sequence[Sequence[str]]) -> Estimate:
    return rate_estimate(sum(any(emoji_of(text) for text in burst) for burst in replies), len(replies))
