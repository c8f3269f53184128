"""Honest numbers about judgements: intervals everywhere, and no number where there is too little to say.

Nothing here knows a database. Arrays are NumPy's; k is the number of models or categories.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkalike.chat.shares import Share as Share
from talkalike.chat.shares import Z
from talkalike.chat.shares import wilson as wilson

ENOUGH = 20  # units judged by two people, below which agreement says nothing
_STEPS = 100
_CLOSE = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Bradley-Terry strengths: logits that average 0, with 95 % intervals. All of shape (k,)."""

    score: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpha:
    """Krippendorff's alpha over the `units` that several people judged; None where there are too few of them.

    `same` is the share of pairs of judgements about the same unit that are equal.
    """

    alpha: float | None
    units: int
    judgements: int
    same: float | None

    @property
    def enough(self) -> bool:
        """Whether there are enough units for alpha to mean something."""
        return self.units >= ENOUGH


def chance_of_more_than_half(wins: int, losses: int) -> float:
    """How likely it is, after so many of each, that more than half of all such comparisons would be won.

    Before the first one every share counts as equally likely (a uniform prior), so the answer is the tail of a
    Beta(wins + 1, losses + 1) above one half: exactly the chance of at most `wins` heads in so many tosses and one.
    """
    tosses = wins + losses + 1
    return float(sum(math.comb(tosses, heads) for heads in range(wins + 1)) / 2**tosses)


def bradley_terry(wins: NDArray[np.float64], *, prior: float = 1.0) -> Strengths:
    """Strengths from wins[i, j], how often i beat j; a tie is half a win for each.

    `prior` virtual ties between every two models keep an unbeaten one finite. P(i beats j) = 1 / (1 + e^(s_j - s_i)).
    Newton's method on the concave log-likelihood; intervals from the inverse of its curvature.
    """
    count = wins.shape[0]
    if count < 2:
        nothing = np.zeros(count)
        return Strengths(score=nothing, low=nothing - math.inf, high=nothing + math.inf)
    won = wins + prior / 2 * (1 - np.eye(count))
    np.fill_diagonal(won, 0.0)
    games = won + won.T
    score = np.zeros(count)
    for _ in range(_STEPS):
        expected = _probability(score)
        gradient = (won - games * expected).sum(axis=1)
        step = np.linalg.solve(_curvature(games, expected) + 1.0 / count, gradient)
        step *= min(1.0, 2.0 / max(1e-300, float(np.abs(step).max())))  # far from the top a full step may jump over it
        score += step
        if float(np.abs(step).max()) < _CLOSE:
            break
    score -= score.mean()
    # Strengths are relative: the ones direction has no curvature, and adding 1/k fills just that.
    inverse = np.linalg.inv(_curvature(games, _probability(score)) + 1.0 / count) - 1.0 / count
    half = Z * np.sqrt(np.clip(np.diag(inverse), 0.0, None))
    return Strengths(score=score, low=score - half, high=score + half)


def krippendorff_alpha(
    votes: Mapping[tuple[int, ...], int], categories: int, *, level: Literal["nominal", "ordinal"]
) -> Alpha:
    """Agreement from how often each pattern of votes occurs: {(votes for category 0, for category 1, ...): units}.

    Units judged by fewer than two people count for nothing. Alpha is 1 for full agreement, 0 for chance; None below
    20 units, and where everybody said the same about everything (there is nothing to disagree on).
    """
    coincidences = np.zeros((categories, categories))
    units = judgements = 0
    for pattern, times in votes.items():
        counts = np.asarray(pattern, dtype=np.float64)
        total = counts.sum()
        if total < 2 or times <= 0:
            continue
        coincidences += times * (np.outer(counts, counts) - np.diag(counts)) / (total - 1)
        units += times
        judgements += int(total) * times
    all_values = coincidences.sum()
    if all_values == 0:
        return Alpha(alpha=None, units=0, judgements=0, same=None)
    same = float(np.trace(coincidences) / all_values)
    marginals = coincidences.sum(axis=1)
    distance = _distances(marginals, level)
    expected = float((np.outer(marginals, marginals) * distance).sum() / (all_values - 1))
    observed = float((coincidences * distance).sum())
    known = units >= ENOUGH and expected > 0
    return Alpha(alpha=1 - observed / expected if known else None, units=units, judgements=judgements, same=same)


def median(values: Sequence[float]) -> float | None:
    """The middle value; None where there is none."""
    return float(np.median(np.asarray(values, dtype=np.float64))) if values else None


def _probability(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """[i, j]: the probability that i beats j."""
    difference = np.clip(score[:, None] - score[None, :], -500, 500)
    return 1 / (1 + np.exp(-difference))


def _curvature(games: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """The negated second derivative of the log-likelihood, a weighted Laplacian."""
    weight = games * expected * (1 - expected)
    curvature: NDArray[np.float64] = np.diag(weight.sum(axis=1)) - weight
    return curvature


def _distances(marginals: NDArray[np.float64], level: Literal["nominal", "ordinal"]) -> NDArray[np.float64]:
    """How bad it is to say one category where another said the other."""
    count = len(marginals)
    if level == "nominal":
        return 1 - np.eye(count)
    # Ordinal: how many values lie between the two ranks, the ranks themselves counting half.
    below = np.cumsum(marginals) - marginals / 2
    return np.asarray((below[:, None] - below[None, :]) ** 2)
