"""Which of two replies is better, learned from few judgements: logistic regression on the difference of features.

It is Bradley-Terry with a normal prior on the weights, so it has one best answer, found in well under a second.
Features come in blocks; which of them count and how wide the prior is, is chosen by cross-validation over
conversations. Numbers only: no torch, no text. Axes: C comparisons, R replies, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
STRENGTHS = (1.0, 10.0, 100.0)  # variances of the prior
_STEPS = 30  # of Newton's method; some eight are enough
_CLOSE = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Pairs of replies, by their places: how likely the first is better (a tie is one half), and how much it counts.

    Comparisons of one `groups` number (a conversation) are never divided between learning and measuring.
    """

    first_C: Ints
    second_C: Ints
    shares_C: Floats
    weights_C: Floats
    groups_C: Ints

    def __len__(self) -> int:
        return len(self.first_C)

    def of(self, chosen_C: NDArray[np.bool_]) -> Comparisons:
        """The comparisons that are marked, in order."""
        return Comparisons(
            first_C=self.first_C[chosen_C],
            second_C=self.second_C[chosen_C],
            shares_C=self.shares_C[chosen_C],
            weights_C=self.weights_C[chosen_C],
            groups_C=self.groups_C[chosen_C],
        )

    def differences(self, features_RF: Floats) -> Floats:
        """What the first reply has more of, (C, F)."""
        return features_RF[self.first_C] - features_RF[self.second_C]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureChoice:
    """Which blocks of features count, and the variance of the prior on their weights."""

    blocks: tuple[str, ...]
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceFit:
    """`weights_MF` over the chosen blocks side by side, a row for each member. `unseen_C`: what a fit that had not seen
    a comparison's conversation, nor chosen its blocks by it, says of it; in log odds.
    """

    choice: FeatureChoice
    weights_MF: Floats
    unseen_C: Floats


def fit_preferences(
    blocks: Mapping[str, Floats], comparisons: Comparisons, *, members: int, seed: int = 0
) -> PreferenceFit:
    """Chooses blocks and prior, and fits `members` on resampled comparisons, to tell how sure they are.

    `blocks`: features of every reply, (R, F) each, of comparable size.
    """
    kernels = {name: _kernel(comparisons.differences(features)) for name, features in blocks.items()}
    choice = _choose(kernels, comparisons)
    unseen_C = np.zeros(len(comparisons))
    for fold_C in _folds(comparisons.groups_C):
        rest = {name: kernel[np.ix_(~fold_C, ~fold_C)] for name, kernel in kernels.items()}
        inner = _choose(rest, comparisons.of(~fold_C))
        unseen_C[fold_C] = _predict(_joined(kernels, inner.blocks), comparisons, fold_C, inner.strength)
    differences_CF = comparisons.differences(side_by_side(blocks, choice.blocks))
    kernel = _joined(kernels, choice.blocks)
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(members):
        drawn_C = generator.exponential(size=len(comparisons))  # the Bayesian bootstrap (Rubin 1981)
        resampled = replace(comparisons, weights_C=comparisons.weights_C * drawn_C)
        rows.append(differences_CF.T @ fit_dual(kernel, resampled, choice.strength))
    return PreferenceFit(choice=choice, weights_MF=np.asarray(rows), unseen_C=unseen_C)


def side_by_side(blocks: Mapping[str, Floats], chosen: Sequence[str]) -> Floats:
    """The chosen blocks as one table, (R, F)."""
    return np.hstack([blocks[name] for name in chosen])


def _choose(kernels: Mapping[str, Floats], comparisons: Comparisons) -> FeatureChoice:
    """The blocks and the prior with the lowest loss on conversations that were not fitted."""
    names = list(kernels)
    every = [some for size in range(1, len(names) + 1) for some in combinations(names, size)]
    losses: dict[FeatureChoice, float] = {}
    folds = _folds(comparisons.groups_C)
    for some in every:
        kernel = _joined(kernels, some)
        for strength in STRENGTHS:
            told = [(fold_C, _predict(kernel, comparisons, fold_C, strength)) for fold_C in folds]
            losses[FeatureChoice(blocks=some, strength=strength)] = sum(
                _loss(gaps, comparisons.of(fold_C)) for fold_C, gaps in told
            )
    return min(losses, key=lambda choice: losses[choice])


def _folds(groups_C: Ints) -> list[NDArray[np.bool_]]:
    """Whole groups, the largest first, each into the fold that holds least."""
    sizes = sorted(((int((groups_C == group).sum()), int(group)) for group in np.unique(groups_C)), reverse=True)
    if len(sizes) < 2:  # all of one conversation: nothing better can be done than to divide it
        return [np.arange(len(groups_C)) % FOLDS == fold for fold in range(min(FOLDS, len(groups_C)))]
    held: list[list[int]] = [[] for _ in range(min(FOLDS, len(sizes)))]
    totals = [0] * len(held)
    for size, group in sizes:
        least = totals.index(min(totals))
        held[least].append(group)
        totals[least] += size
    return [np.isin(groups_C, groups) for groups in held]


def _predict(kernel: Floats, comparisons: Comparisons, fold_C: NDArray[np.bool_], strength: float) -> Floats:
    """Log odds of a fold's comparisons by a fit on the others."""
    seen_C = ~fold_C
    if not seen_C.any():
        return np.zeros(int(fold_C.sum()))
    dual = fit_dual(kernel[np.ix_(seen_C, seen_C)], comparisons.of(seen_C), strength)
    return kernel[np.ix_(fold_C, seen_C)] @ dual


def fit_dual(kernel: Floats, comparisons: Comparisons, strength: float) -> Floats:
    """The fit as weights of the comparisons' differences: Newton's method, with halved steps where one is too far."""
    shares_C, weights_C = comparisons.shares_C, comparisons.weights_C
    dual = np.zeros(len(comparisons))
    gaps = kernel @ dual
    best = _objective(gaps, dual, comparisons, strength)
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-gaps))
        curvature = np.maximum(weights_C * probability * (1 - probability), 1e-9)
        target = gaps + weights_C * (shares_C - probability) / curvature
        wanted = np.linalg.solve(kernel + np.diag(1 / (strength * curvature)), target)
        step = wanted - dual
        for _ in range(20):
            tried = dual + step
            tried_gaps = kernel @ tried
            found = _objective(tried_gaps, tried, comparisons, strength)
            if found <= best:
                break
            step = step / 2
        else:
            return dual
        done = best - found < _CLOSE
        dual, gaps, best = tried, tried_gaps, found
        if done:
            break
    return dual


def _objective(gaps: Floats, dual: Floats, comparisons: Comparisons, strength: float) -> float:
    return _loss(gaps, comparisons) + float(dual @ gaps) / (2 * strength)


def _loss(gaps: Floats, comparisons: Comparisons) -> float:
    """Cross-entropy of the shares, in nats."""
    losses = np.logaddexp(0, -gaps) + (1 - comparisons.shares_C) * gaps
    return float(comparisons.weights_C @ losses)


def _kernel(differences_CF: Floats) -> Floats:
    return differences_CF @ differences_CF.T


def _joined(kernels: Mapping[str, Floats], chosen: Sequence[str]) -> Floats:
    return np.asarray(sum(kernels[name] for name in chosen))
