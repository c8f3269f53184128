"""Our sampling against transformers' logits processors: the same definitions give the same distributions."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from talkalike.engine.protocol import Sampling
from talkalike.engine.sampling import (
    candidates,
    choose,
    log_probability,
    penalise_repetition,
    sequence_probability,
)
from talkalike.errors import UserError

VOCABULARY = 3000


def logits(seed: int, spread: float = 4.0) -> torch.Tensor:
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread


def theirs(logits_V: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits_V[None])
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    if sampling.min_p:
        scores = MinPLogitsWarper(sampling.min_p)(None, scores)
    return torch.softmax(scores[0], dim=-1)


def ours(logits_V: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ids, probs = candidates(logits_V, sampling)
    dense = torch.zeros(len(logits_V))
    dense[ids] = probs
    return dense


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7, top_p=1),
        Sampling(temperature=1.3, top_p=0.9),
        Sampling(temperature=1.3, top_p=0),
        Sampling(temperature=1.0, top_p=0.2),
        Sampling(temperature=50.0, top_p=0.99),  # nearly uniform: needs far more candidates than the first guess
        Sampling(temperature=0.9, top_p=1, top_k=40),
        Sampling(temperature=0.9, top_p=0.8, top_k=17),
        Sampling(temperature=1.1, top_p=1, min_p=0.1),
        Sampling(temperature=1.1, top_p=0.95, top_k=100, min_p=0.05),
        Sampling(temperature=1.0, top_p=1, top_k=10 * VOCABULARY),
    ],
    ids=str,
)
def test_candidates_equal_transformers(sampling, seed):
    row = logits(seed)
    expected, got = theirs(row, sampling), ours(row, sampling)
    assert torch.equal(expected > 0, got > 0)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-8)


def test_the_narrowest_nucleus_is_the_likeliest_token():
    row = logits(5)
    for sampling in (Sampling(top_p=0), Sampling(top_p=0, top_k=40, min_p=0.2), Sampling(top_k=1), Sampling(min_p=1)):
        generator = torch.Generator().manual_seed(3)
        assert {choose(row, sampling, generator) for _ in range(20)} == {int(row.argmax())}, sampling
    everything = Sampling(temperature=1, top_p=1, top_k=0, min_p=0)
    assert len(candidates(row, everything)[0]) == VOCABULARY, "here 0 switches a filter off"


def test_ties_with_the_kth_token_stay():
    row = torch.tensor([1.0, 3.0, 3.0, 3.0, 0.0])
    sampling = Sampling(temperature=1.0, top_p=1, top_k=2)
    torch.testing.assert_close(ours(row, sampling), theirs(row, sampling))
    assert (ours(row, sampling) > 0).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("penalty", [0.8, 1.0, 1.3])
def test_repetition_penalty_equals_transformers(penalty):
    row = logits(9)
    used = torch.tensor([[3, 5, 5, 700, 2999]])
    seen = torch.zeros(VOCABULARY, dtype=torch.bool)
    seen[used[0]] = True
    expected = RepetitionPenaltyLogitsProcessor(penalty)(used, row[None])[0]
    assert (expected != row).any() == (penalty != 1.0)
    torch.testing.assert_close(penalise_repetition(row, seen, penalty), expected)


def test_draws_follow_the_distribution_and_the_seed():
    row = torch.tensor([0.0, 1.0, 2.0, -torch.inf])
    sampling = Sampling(temperature=1.0, top_p=1)
    generator = torch.Generator().manual_seed(1)
    drawn = [choose(row, sampling, generator) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.softmax(row, -1), atol=0.03, rtol=0)
    again = torch.Generator().manual_seed(1)
    assert drawn[:50] == [choose(row, sampling, again) for _ in range(50)]


def test_greedy_and_logprobs():
    row = logits(2)
    assert choose(row, Sampling(temperature=0), torch.Generator()) == int(row.argmax())
    assert log_probability(row, 7) == pytest.approx(float(torch.log_softmax(row, -1)[7]), abs=1e-5)
    rows = torch.stack([logits(3), logits(4)])
    for temperature, divisor in ((0.0, 1.0), (2.0, 2.0)):
        expected = torch.softmax(rows[0] / divisor, -1)[11] * torch.softmax(rows[1] / divisor, -1)[12]
        assert sequence_probability(rows, [11, 12], temperature) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"top_p": 1.5}, {"max_tokens": 0}, {"min_p": float("nan")}, {"top_k": -1}], ids=str
)
def test_bad_sampling_is_named(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        Sampling(**bad).check()
