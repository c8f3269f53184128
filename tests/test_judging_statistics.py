"""The numbers, each against an independent, slow way to get it."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from talkalike.store.judging.statistics import (
    Z,
    bradley_terry,
    chance_of_more_than_half,
    krippendorff_alpha,
    median,
    wilson,
)


# ---------------------------------------------------------------------------------------------------------- references
def slow_alpha(units: list[list[int]], level: str) -> float:
    """Krippendorff's alpha by its definition: every pair of values, one after another."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    frequency = Counter(values)

    def distance(one: int, two: int) -> float:
        if level == "nominal":
            return float(one != two)
        low, high = sorted((one, two))
        between = sum(frequency[rank] for rank in range(low, high + 1))
        return (between - (frequency[low] + frequency[high]) / 2) ** 2

    observed = sum(distance(*two) / (len(unit) - 1) for unit in units for two in itertools.permutations(unit, 2)) / len(
        values
    )
    expected = sum(distance(*two) for two in itertools.permutations(values, 2))
    return 1 - observed / (expected / (len(values) * (len(values) - 1)))


def slow_strengths(wins: np.ndarray, prior: float) -> np.ndarray:
    """Bradley-Terry by Hunter's minorise-maximise steps, thousands of them."""
    k = len(wins)
    won = wins + prior / 2 * (1 - np.eye(k))
    power = np.ones(k)
    for _ in range(20_000):
        power = np.array([
            won[i].sum() / sum((won[i, j] + won[j, i]) / (power[i] + power[j]) for j in range(k) if j != i)
            for i in range(k)
        ])  # fmt: skip
        power /= power.prod() ** (1 / k)
    return np.log(power)


def patterns(units: list[list[int]], categories: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(unit.count(category) for category in range(categories)) for unit in units)


# ------------------------------------------------------------------------------------------------------- Bradley-Terry
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_strengths_equal_those_of_another_method(seed: int) -> None:
    chance = np.random.default_rng(seed)
    wins = chance.integers(0, 8, size=(4, 4)).astype(float) / 2
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins).score == pytest.approx(slow_strengths(wins, 1.0), abs=1e-6)


def test_an_unbeaten_model_is_finite_and_uncertain() -> None:
    wins = np.array([[0.0, 5.0, 0.0], [0.0, 0.0, 2.0], [0.0, 2.0, 0.0]])
    found = bradley_terry(wins)
    assert np.isfinite(found.score).all()
    assert found.score[0] > found.score[1]
    widths = found.high - found.low
    assert widths[0] > 2  # five games say little
    many = bradley_terry(wins * 1000)
    assert ((many.high - many.low) < widths).all()


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    chance = np.random.default_rng(4)
    truth = np.array([0.8, 0.1, -0.9])
    held = []
    for _ in range(300):
        wins = np.zeros((3, 3))
        for i, j in itertools.combinations(range(3), 2):
            won = chance.binomial(200, 1 / (1 + math.exp(truth[j] - truth[i])))
            wins[i, j], wins[j, i] = won, 200 - won
        found = bradley_terry(wins, prior=0.01)
        held += list((found.low <= truth) & (truth <= found.high))
    assert 0.92 <= np.mean(held) <= 0.98


def test_extreme_and_tiny_tables_have_an_answer() -> None:
    assert bradley_terry(np.zeros((0, 0))).score.shape == (0,)
    assert bradley_terry(np.zeros((1, 1))).score.tolist() == [0.0]
    assert bradley_terry(np.zeros((3, 3))).score == pytest.approx([0, 0, 0])
    ladder = np.triu(np.full((20, 20), 1e6), 1)  # the best always wins, a million times
    found = bradley_terry(ladder)
    assert np.isfinite(found.score).all() and (np.diff(found.score) < 0).all()


# ----------------------------------------------------------------------------------------------------------- agreement
@given(
    units=st.lists(st.lists(st.integers(0, 4), min_size=0, max_size=5), min_size=25, max_size=40),
    level=st.sampled_from(["nominal", "ordinal"]),
)
def test_alpha_equals_its_definition(units: list[list[int]], level: str) -> None:
    found = krippendorff_alpha(patterns(units, 5), 5, level=level)  # type: ignore[arg-type]
    overlapping = [unit for unit in units if len(unit) > 1]
    assert found.units == len(overlapping)
    assert found.judgements == sum(map(len, overlapping))
    if len(overlapping) < 20 or len({value for unit in overlapping for value in unit}) < 2:
        assert found.alpha is None
    else:
        assert found.alpha == pytest.approx(slow_alpha(units, level))


def test_alpha_of_the_textbook() -> None:
    """The worked example of Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), part C, twice over."""
    table = """
        1 2 3 3 2 1 4 1 2 . . .
        1 2 3 3 2 2 4 1 2 5 . 3
        . 3 3 3 2 3 4 2 2 5 1 .
        1 2 3 3 2 4 4 1 2 5 1 ."""
    raters = [line.split() for line in table.strip().split("\n")]
    units = [[int(value) - 1 for value in column if value != "."] for column in zip(*raters, strict=True)]
    assert slow_alpha(units, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert slow_alpha(units, "ordinal") == pytest.approx(0.815, abs=5e-4)
    found = krippendorff_alpha(patterns(units * 2, 5), 5, level="nominal")
    assert found.alpha == pytest.approx(slow_alpha(units * 2, "nominal"))


def test_too_little_overlap_is_said() -> None:
    units = [[0, 0], [1, 1]] * 9 + [[0], [1]] * 50
    few = krippendorff_alpha(patterns([*units, [0, 1]], 2), 2, level="nominal")
    assert (few.alpha, few.units, few.enough) == (None, 19, False)
    assert few.same == pytest.approx(18 / 19)
    enough = krippendorff_alpha(patterns([*units, [0, 1], [0, 0]], 2), 2, level="nominal")
    assert enough.enough and enough.alpha is not None and 0.8 < enough.alpha < 1
    nothing = krippendorff_alpha({}, 4, level="nominal")
    assert (nothing.alpha, nothing.units, nothing.same) == (None, 0, None)


def test_chance_is_about_zero_and_full_agreement_one() -> None:
    chance = random.Random(1)
    random_units = [[chance.randrange(4), chance.randrange(4)] for _ in range(5000)]
    found = krippendorff_alpha(patterns(random_units, 4), 4, level="nominal")
    assert found.alpha == pytest.approx(0, abs=0.05)
    equal = [[value, value, value] for value in (0, 1, 2, 3)] * 6
    assert krippendorff_alpha(patterns(equal, 4), 4, level="ordinal").alpha == 1


# -------------------------------------------------------------------------------------------------------------- shares
def test_wilson_is_the_set_of_shares_a_test_would_not_reject() -> None:
    for count, n in ((0, 100), (1, 3), (7, 10), (50, 50), (123, 1000)):
        found = wilson(count, n)
        grid = np.linspace(0, 1, 200_001)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.abs(count / n - grid) <= Z * np.sqrt(grid * (1 - grid) / n)
        assert (found.low, found.high) == pytest.approx((grid[kept].min(), grid[kept].max()), abs=2e-5)
        known = binomtest(count, n).proportion_ci(method="wilson")
        assert (found.low, found.high) == (pytest.approx(known.low), pytest.approx(known.high))
    assert wilson(0, 100).high == pytest.approx(0.037, abs=5e-4)
    assert wilson(0, 0).share is None


def test_the_median() -> None:
    assert median([]) is None
    assert median([3.0, 1.0, 100.0]) == 3.0


def test_the_chance_of_being_better_is_the_tail_of_a_beta_distribution() -> None:
    for wins, losses in ((0, 0), (3, 1), (20, 20), (61, 19), (0, 12), (400, 300)):
        told = chance_of_more_than_half(wins, losses)
        assert told == pytest.approx(beta.sf(0.5, wins + 1, losses + 1), abs=1e-9)
