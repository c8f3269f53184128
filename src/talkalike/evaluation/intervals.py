"""Numbers with their uncertainty: what every measure here returns, and the bootstrap behind it.

Every interval is a percentile bootstrap over replies (a reply is the unit: messages of one burst are not independent).
Arms that answered the same prompts are always resampled together, so differences between arms are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from talkalike.store.judging.statistics import wilson

T = TypeVar("T")
U = TypeVar("U")
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95% interval and the number of replies behind it, or the reason why there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    why: str = ""  # one sentence, where `value` is None

    def __post_init__(self) -> None:
        if self.value is None and not self.why:
            raise ValueError("an estimate without a value must say why")

    @property
    def may_be_zero(self) -> bool:
        """Whether there is a number whose interval holds zero: with so few replies it may as well be zero."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms(Generic[T]):
    """One value for each arm of the same prompts: the author's real replies, the double's, the base model's."""

    real: T
    double: T
    base: T

    def map(self, measure: Callable[[T], U]) -> Arms[U]:
        """Applies a measure to each arm."""
        return Arms(real=measure(self.real), double=measure(self.double), base=measure(self.base))


def undefined(why: str, *, n: int = 0) -> Estimate:
    """An estimate without a number, with one sentence about the reason."""
    return Estimate(value=None, n=n, why=why)


def estimate(value: float, resampled_B: Floats, *, n: int) -> Estimate:
    """`value` with the interval that its bootstrap replicates span."""
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(resampled_B, [tail, 100 - tail])
    return Estimate(value=float(value), low=float(low), high=float(high), n=n)


def resample(n: int, *, draws: int, seed: int) -> Indices:
    """Bootstrap samples [B, n] of the indices 0..n-1, drawn with replacement."""
    return np.random.default_rng(seed).integers(n, size=(draws, n))


def weights(n: int, *, draws: int, seed: int) -> Floats:
    """How often each of n replies stands in each bootstrap sample [B, n]: a sum over a sample is one matrix product."""
    drawn = resample(n, draws=draws, seed=seed) + np.arange(draws)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def ratio_estimate(numerators_R: Floats, denominators_R: Floats, weights_BR: Floats) -> Estimate:
    """sum(numerators) / sum(denominators) over replies, for example bits over characters."""
    replicates = (weights_BR @ numerators_R) / (weights_BR @ denominators_R)
    return estimate(float(numerators_R.sum() / denominators_R.sum()), replicates, n=len(numerators_R))


def rate_estimate(hits: int, n: int) -> Estimate:
    """A share of n with Wilson's interval, which stays honest at 0 and 1."""
    if n == 0:
        return undefined("There is nothing to count.")
    found = wilson(hits, n)
    return Estimate(value=found.share, low=found.low, high=found.high, n=n)
