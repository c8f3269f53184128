"""The mathematics of reinforcement learning, against numbers by hand and slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkalike.alignment.policy_losses import (
    clipped_policy_losses,
    clipped_value_losses,
    distinct_share,
    generalised_advantages,
    group_advantages,
    kl_terms,
    log_expected_wins,
    next_kl_coefficient,
    next_rate_factor,
    shaped_rewards,
    token_rewards,
    whiten,
)
from talkalike.alignment.rl_settings import PolicyUpdate, RLSettings
from talkalike.errors import UserError

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()


def test_leave_one_out_by_hand() -> None:
    rewards = torch.tensor([1.0, 3.0, 5.0, 0.0, 0.0, 0.0])
    raw = torch.tensor([1 - 4, 3 - 3, 5 - 2, 0.0, 0.0, 0.0])
    expected = raw / raw.std(unbiased=False)
    torch.testing.assert_close(group_advantages(rewards, group_size=3, algorithm="rloo"), expected)


def test_group_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 3.0, 2.0, 2.0])
    grpo = group_advantages(rewards, group_size=2, algorithm="grpo")
    torch.testing.assert_close(grpo, torch.tensor([-1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(
        group_advantages(rewards, group_size=2, algorithm="dr-grpo"), torch.tensor([-1.0, 1.0, 0.0, 0.0])
    )
    tripled = group_advantages(1 + 3 * rewards, group_size=2, algorithm="dr-grpo")
    torch.testing.assert_close(tripled, torch.tensor([-3.0, 3.0, 0.0, 0.0]))
    torch.testing.assert_close(group_advantages(1 + 3 * rewards, group_size=2, algorithm="grpo"), grpo)


def test_training_on_the_best_reply_of_each_prompt() -> None:
    rewards = torch.tensor([1.0, 3.0, 2.0, -5.0, -7.0, -6.0])
    best = group_advantages(rewards, group_size=3, algorithm="raft")
    torch.testing.assert_close(best, torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]))


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dr-grpo"])
def test_equal_rewards_teach_nothing(algorithm: str) -> None:
    advantages = group_advantages(torch.full((6,), 0.3), group_size=3, algorithm=algorithm)
    assert torch.equal(advantages, torch.zeros(6))


def test_kl_estimates_by_hand_and_on_average() -> None:
    k1, k3 = kl_terms(torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -1.5]))
    torch.testing.assert_close(k1, torch.tensor([1.0, -0.5]))
    torch.testing.assert_close(k3, torch.tensor([math.exp(-1) - 1 + 1, math.exp(0.5) - 1 - 0.5]))
    torch.manual_seed(0)
    policy, reference = torch.randn(50).log_softmax(0), torch.randn(50).log_softmax(0)
    drawn = torch.multinomial(policy.exp(), 200_000, replacement=True)
    k1, k3 = kl_terms(policy[drawn], reference[drawn])
    exact = float((policy.exp() * (policy - reference)).sum())
    assert float(k1.mean()) == pytest.approx(exact, rel=0.03)
    assert float(k3.mean()) == pytest.approx(exact, rel=0.03)
    assert k3.min() >= 0
    assert k1.min() < 0


@given(st.integers(0, 10**6), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_advantage_estimates_equal_a_slow_loop(seed: int, gamma: float, gae_lambda: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    advantages, returns = generalised_advantages(rewards, values, MASK, gamma=gamma, gae_lambda=gae_lambda)
    for row in range(3):
        length = int(MASK[row].sum())
        for place in range(length):
            total = 0.0
            for later in range(place, length):
                following = float(values[row, later + 1]) if later + 1 < length else 0.0
                delta = float(rewards[row, later]) + gamma * following - float(values[row, later])
                total += (gamma * gae_lambda) ** (later - place) * delta
            assert float(advantages[row, place]) == pytest.approx(total, abs=1e-4)
            assert float(returns[row, place]) == pytest.approx(total + float(values[row, place]), abs=1e-4)
    # what lies behind the end changes nothing, and gets nothing
    noisy = torch.where(MASK, 0.0, 1e6)
    again = generalised_advantages(rewards + noisy, values - noisy, MASK, gamma=gamma, gae_lambda=gae_lambda)
    assert torch.equal(again[0], advantages)
    assert torch.equal(again[1], returns)
    assert not advantages[~MASK].any()
    assert not returns[~MASK].any()


def test_the_reward_stands_at_the_last_real_token() -> None:
    k1 = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 99, 99], [0.7, 99, 99, 99]])
    tokens = token_rewards(torch.tensor([1.0, 2.0, 3.0]), k1, MASK, kl=0.5)
    expected = [[-0.05, -0.1, -0.15, 0.8], [-0.25, 1.7, 0, 0], [2.65, 0, 0, 0]]
    torch.testing.assert_close(tokens, torch.tensor(expected))


def test_whitening_is_over_all_real_tokens_of_the_batch() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 99, 99], [7.0, 99, 99, 99]])
    real = values[MASK]
    expected = (real - real.mean()) / real.std(unbiased=False)
    torch.testing.assert_close(whiten(values, MASK)[MASK], expected)
    assert torch.equal(whiten(values, MASK), whiten(torch.where(MASK, values, -5.0), MASK))
    assert not whiten(values, MASK)[~MASK].any()


def test_the_clipped_loss_and_its_gradient_by_hand() -> None:
    ratio = torch.tensor([1.0, 1.5, 1.5, 0.5, 0.5])
    advantage = torch.tensor([2.0, 2.0, -2.0, 2.0, -2.0])
    old = torch.full((5,), -1.0, requires_grad=True)
    logprobs = (old.detach() + ratio.log()).requires_grad_()
    advantage.requires_grad_()
    losses, ratios = clipped_policy_losses(logprobs, old, advantage, clip_low=0.2, clip_high=0.28)
    torch.testing.assert_close(losses.detach(), torch.tensor([-2.0, -2.56, 3.0, -1.0, 1.6]))
    torch.testing.assert_close(ratios, ratio)
    losses.sum().backward()
    torch.testing.assert_close(logprobs.grad, torch.tensor([-2.0, 0.0, 3.0, -1.0, 0.0]))
    assert old.grad is None and advantage.grad is None  # neither old probabilities nor rewards carry a gradient


def test_the_clipped_value_loss_by_hand() -> None:
    values = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)
    old, returns = torch.tensor([1.0, 0.5, 0.5]), torch.tensor([0.0, 1.0, 0.0])
    losses = clipped_value_losses(values, old, returns, clip=0.2)
    torch.testing.assert_close(losses.detach(), torch.tensor([0.5, 0.5 * 0.3**2, 0.5]))
    losses.sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([1.0, 0.0, 1.0]))  # the clipped one has none


def test_replies_that_were_cut_off_or_are_too_long_cost_something() -> None:
    shaped = shaped_rewards(
        torch.ones(5),
        ended_N=torch.tensor([True, True, True, False, True]),
        lengths_N=torch.tensor([3, 12, 14, 16, 16]),
        missing_end=1.0,
        overlong=4,
        limit=16,
    )
    torch.testing.assert_close(shaped, torch.tensor([1.0, 1.0, 0.5, -1.0, 0.0]))
    off = shaped_rewards(
        torch.ones(1),
        ended_N=torch.tensor([False]),
        lengths_N=torch.tensor([16]),
        missing_end=0.25,
        overlong=0,
        limit=16,
    )
    torch.testing.assert_close(off, torch.tensor([0.75]))


def test_the_kl_coefficient_follows_its_target() -> None:
    steer = {"target": 6.0, "replies": 100, "horizon": 10_000.0}
    assert next_kl_coefficient(0.15, 60.0, **steer) == pytest.approx(0.15 * 1.002)  # held within 20 %
    assert next_kl_coefficient(0.15, 0.0, **steer) == pytest.approx(0.15 * 0.998)
    assert next_kl_coefficient(0.15, 6.6, **steer) == pytest.approx(0.15 * 1.001)
    assert next_kl_coefficient(0.15, 6.0, **steer) == pytest.approx(0.15)


def test_the_learning_rate_follows_the_distance_that_is_planned() -> None:
    steer = {"target": 0.64, "pace": 0.5}
    assert next_rate_factor(1.0, 0.16, done=0.25, **steer) == pytest.approx(1.0)  # halfway there at half time
    assert next_rate_factor(1.0, 0.25, done=0.25, **steer) == pytest.approx(0.4 / 0.5)
    assert next_rate_factor(2.0, 0.0, done=0.25, **steer) == pytest.approx(3.0)  # by no more than half
    assert next_rate_factor(1.0, 50.0, done=0.25, **steer) == pytest.approx(1 / 1.5)
    assert next_rate_factor(8.0, 0.0, done=0.9, **steer) == 8.0  # nor without end


@pytest.mark.parametrize("moved", [0.02, 0.05, 0.2])
def test_whatever_a_rate_moves_a_policy_it_gets_where_it_should(moved: float) -> None:
    distance, factor, steps = 0.0, 1.0, 14
    for step in range(steps):
        if step:
            factor = next_rate_factor(factor, distance**2, target=0.75, done=step / steps, pace=0.6)
        distance += moved * factor * (1 - step / steps)  # the rate falls to 0, as in a training
    assert 0.4 < distance**2 < 1.6


def test_expected_wins_by_hand() -> None:
    wins_N = log_expected_wins(torch.tensor([0.0, 2.0, 50.0]), torch.tensor([0.0, 2.0])).exp()
    lower, equal, higher = (torch.sigmoid(torch.tensor(gap)).item() for gap in (-2.0, 0.0, 2.0))
    torch.testing.assert_close(wins_N, torch.tensor([(equal + lower) / 2, (higher + equal) / 2, 1.0]))


def test_what_nearly_always_wins_gains_nothing_from_a_higher_score() -> None:
    scores_N, references_R = torch.tensor([-2.0, 0.0, 4.0, 6.0]), torch.tensor([-1.0, 0.0, 1.0])
    worst, bad, good, best = log_expected_wins(scores_N, references_R).tolist()
    assert bad - worst > 10 * (best - good) > 0


def test_distinct_share_by_hand() -> None:
    assert distinct_share([[1, 2, 1, 2], [1, 2]]) == pytest.approx(2 / 4)
    assert distinct_share([[1], []]) == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": "dpo"}, "Unknown algorithm"),
        ({"group_size": 1}, "at least two"),
        ({"temperature": 0.0}, "above 0"),
        ({"prompts": 1}, "minibatches"),
        ({"bursts": 1.5}, "from 0 to 1"),
        ({"steps": 0}, "at least 1"),
        ({"update": PolicyUpdate(epochs=0)}, "epochs"),
    ],
)
def test_settings_that_make_no_sense_are_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        RLSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "places"), [(0, []), (0.25, [3, 7]), (0.5, [1, 3, 5, 7]), (1, [*range(8)])])
def test_so_many_prompts_of_a_step_are_answered_by_bursts(share: float, places: list[int]) -> None:
    settings = RLSettings(bursts=share)
    assert [place for place in range(8) if settings.samples_burst(place)] == places
