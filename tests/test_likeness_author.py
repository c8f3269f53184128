"""Style recovery: the classifier, its pools, and the two ends of the scale."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from likeness_people import assistant, bursts, lena, ruben, write
from talkalike.errors import UserError
from talkalike.evaluation.author import (
    AuthorClassifier,
    AuthorSettings,
    draw_pools,
    equal_say,
    pool_size,
    style_recovery,
)
from talkalike.evaluation.intervals import Estimate, estimate, rate_estimate, ratio_estimate, resample, weights

SETTINGS = AuthorSettings(bootstrap=200)


@pytest.fixture(scope="module")
def of_lena() -> AuthorClassifier:
    others = {"Ruben": write(ruben, 400, seed=2), "Other": write(ruben, 60, seed=3)}
    return AuthorClassifier(write(lena, 300, seed=1), others, SETTINGS)


def test_a_double_that_writes_like_the_author_recovers_everything_and_the_base_nothing(
    of_lena: AuthorClassifier,
) -> None:
    real, base = bursts(lena, 60, seed=10), bursts(assistant, 60, seed=11)
    twin = style_recovery(of_lena, real=real, double=bursts(lena, 60, seed=12), base=base, settings=SETTINGS)
    assert twin.recovery.value == pytest.approx(1.0, abs=0.02)
    assert twin.recovery_log_odds.value == pytest.approx(1.0, abs=0.15)
    assert (twin.real.share.value, twin.base.share.value) == (1.0, 0.0)
    same = style_recovery(of_lena, real=real, double=base, base=base, settings=SETTINGS)
    assert same.recovery == Estimate(value=0.0, low=0.0, high=0.0, n=60)
    assert same.recovery_log_odds == Estimate(value=0.0, low=0.0, high=0.0, n=60)


def test_log_odds_see_progress_between_the_ends(of_lena: AuthorClassifier) -> None:
    real, base = bursts(lena, 60, seed=10), bursts(ruben, 60, seed=11)
    half = [pair[index % 2] for index, pair in enumerate(zip(bursts(lena, 60, seed=12), base, strict=True))]
    report = style_recovery(of_lena, real=real, double=half, base=base, settings=SETTINGS)
    assert report.recovery_log_odds.value is not None
    assert 0.3 < report.recovery_log_odds.value < 0.7
    assert report.recovery_log_odds.low is not None and report.recovery_log_odds.high is not None
    assert report.recovery_log_odds.low < report.recovery_log_odds.value < report.recovery_log_odds.high


def test_swapped_arms_change_sides(of_lena: AuthorClassifier) -> None:
    like, unlike = bursts(lena, 60, seed=10), bursts(ruben, 60, seed=11)
    double = bursts(lena, 60, seed=12)
    swapped = style_recovery(of_lena, real=unlike, double=double, base=like, settings=SETTINGS)
    assert swapped.recovery.value is None
    assert "no distance to recover" in swapped.recovery.why
    assert swapped.recovery_log_odds.value is None
    assert swapped.real.share.value == 0.0 and swapped.base.share.value == 1.0


def test_a_base_like_the_author_leaves_nothing_to_recover(of_lena: AuthorClassifier) -> None:
    arms = [bursts(lena, 60, seed=seed) for seed in (10, 11, 12)]
    report = style_recovery(of_lena, real=arms[0], double=arms[1], base=arms[2], settings=SETTINGS)
    assert report.recovery.value is None and report.recovery.why
    assert report.double.share.value == 1.0  # the shares themselves are still told


def test_too_few_replies_are_said_to_be_too_few(of_lena: AuthorClassifier) -> None:
    few = [bursts(lena, 19, seed=seed) for seed in (1, 2)]
    report = style_recovery(of_lena, real=few[0], double=few[1], base=bursts(ruben, 19, seed=3), settings=SETTINGS)
    assert report.pool_size == 0
    assert report.recovery.value is None and "at least 20 replies" in report.recovery.why
    assert report.real.share.value is None


def test_other_people_are_a_reference(of_lena: AuthorClassifier) -> None:
    arms = [bursts(lena, 40, seed=1), bursts(lena, 40, seed=2), bursts(assistant, 40, seed=3)]
    report = style_recovery(
        of_lena, real=arms[0], double=arms[1], base=arms[2], others=bursts(ruben, 90, seed=4), settings=SETTINGS
    )
    assert report.others is not None and report.others.share.value == 0.0 and report.others.share.n == 90
    assert (report.other_speakers, report.author_messages) == (2, 300)


def test_same_seed_same_numbers_other_seed_other_interval(of_lena: AuthorClassifier) -> None:
    arms = {
        "real": bursts(lena, 50, seed=1),
        "double": list(chain(bursts(lena, 30, seed=2), bursts(ruben, 20, seed=3))),
        "base": bursts(ruben, 50, seed=4),
    }
    again = AuthorClassifier(
        write(lena, 300, seed=1), {"Ruben": write(ruben, 400, seed=2), "Other": write(ruben, 60, seed=3)}, SETTINGS
    )
    first = style_recovery(of_lena, **arms, settings=SETTINGS)
    assert first == style_recovery(again, **arms, settings=SETTINGS)
    other = style_recovery(of_lena, **arms, settings=replace(SETTINGS, seed=5))
    assert other.recovery_log_odds != first.recovery_log_odds


def test_pooled_log_odds_equal_the_classifier_on_the_joined_text(of_lena: AuthorClassifier) -> None:
    replies = bursts(lena, 6, seed=1) + bursts(ruben, 6, seed=2)
    pools = np.array([[0, 1, 2], [6, 7, 8], [5, 6, 7]])
    fast = of_lena.log_odds(of_lena.prepare(replies), pools)
    for odds, pool in zip(fast, pools, strict=True):
        joined = [[text for index in pool for text in replies[index]]]
        alone = of_lena.log_odds(of_lena.prepare(joined), np.array([[0]]))
        assert odds == pytest.approx(alone[0])


def test_unknown_text_gets_the_intercept_not_a_crash(of_lena: AuthorClassifier) -> None:
    odds = of_lena.log_odds(of_lena.prepare([[""], ["漢字"]]), np.array([[0, 1], [1, 1]]))
    assert odds[0] == odds[1] and np.isfinite(odds).all()


def test_a_loud_speaker_does_not_drown_the_others() -> None:
    counts = {"l": 500, "q": 90, "r": 3}
    loud, quiet, rare = ([f"{name}{index}" for index in range(count)] for name, count in counts.items())
    said = equal_say([loud, quiet, rare], 103, np.random.default_rng(0))
    assert len(set(said)) == 103  # nothing twice
    assert Counter(text[0] for text in said) == {"r": 3, "q": 50, "l": 50}


def test_too_few_messages_are_refused() -> None:
    with pytest.raises(UserError, match="at least 50"):
        AuthorClassifier(write(lena, 49, seed=1), {"Ruben": write(ruben, 400, seed=2)}, SETTINGS)
    with pytest.raises(UserError, match="at least 50"):
        AuthorClassifier(write(lena, 400, seed=1), {}, SETTINGS)


def test_arms_must_answer_the_same_contexts(of_lena: AuthorClassifier) -> None:
    with pytest.raises(ValueError, match="different length"):
        style_recovery(of_lena, real=[["a"]] * 40, double=[["a"]] * 40, base=[["a"]] * 39, settings=SETTINGS)


def test_pool_size_shrinks_with_few_replies() -> None:
    assert [pool_size(n, 10) for n in (100, 40, 39, 24, 20, 19, 0)] == [10, 10, 9, 6, 5, 0, 0]
    assert pool_size(12, 3) == 3


def test_pools_are_disjoint_cuts_of_each_sample() -> None:
    samples = np.arange(14).reshape(2, 7) * 10
    pools = draw_pools(samples, 3, pools=5, seed=0)
    assert pools.shape == (2, 6, 3)  # two cuts a round, three rounds for at least five pools
    for sample, cuts in zip(samples, pools, strict=True):
        for first, second in zip(cuts[::2], cuts[1::2], strict=True):
            together = [*first, *second]
            assert len(set(together)) == 6 and set(together) <= set(sample)


def test_weights_count_the_resampled_indices() -> None:
    drawn = resample(5, draws=30, seed=3)
    assert drawn.shape == (30, 5) and weights(5, draws=30, seed=3).sum(axis=1).tolist() == [5.0] * 30
    for row, counted in zip(drawn, weights(5, draws=30, seed=3), strict=True):
        assert [list(row).count(index) for index in range(5)] == counted.tolist()


def test_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    found = ratio_estimate(np.array([1.0, 9.0]), np.array([1.0, 3.0]), np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert found.value == 2.5  # (1 + 9) / (1 + 3), not (1 + 3) / 2
    assert found.low == pytest.approx(1.0 + 0.025 * 2) and found.high == pytest.approx(3.0 - 0.025 * 2)


def test_interval_holds_the_middle_95_percent() -> None:
    found = estimate(0.5, np.linspace(0, 1, 101), n=7)
    assert (found.low, found.high, found.n) == (pytest.approx(0.025), pytest.approx(0.975), 7)


def test_wilson_interval_is_open_at_zero() -> None:
    none = rate_estimate(0, 10)
    assert none.value == 0.0 and none.low == 0.0 and none.high == pytest.approx(0.2775, abs=1e-4)
    half = rate_estimate(5, 10)
    assert (half.low, half.high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert rate_estimate(0, 0).value is None


def test_an_estimate_without_a_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="why"):
        Estimate(value=None)
