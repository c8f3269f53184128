"""The mathematics of reinforcement learning from rewards, as pure functions.

N replies of at most T tokens; `mask_NT` is true on real reply tokens, the marker that closes a turn included. What
stands under a false mask never changes a number. P prompts with k replies each: N = P * k, prompt by prompt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOWEST_RATE, HIGHEST_RATE = 0.2, 8.0  # as factors of the learning rate that was set
_RATE_STEP = 1.5  # the rate changes by no more from one step to the next
_TINY = 1e-8


def kl_terms(logprobs: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Two estimates of KL(policy || reference) per token, in nats: k1 (unbiased), k3 (never negative, less noisy).

    Source: Schulman 2020, "Approximating KL divergence"; k3 = exp(-k1) - 1 + k1.
    """
    k1 = logprobs - reference
    return k1, torch.expm1(-k1) + k1


def log_expected_wins(scores_N: Tensor, references_R: Tensor) -> Tensor:
    """The log of how often each reply is expected to be preferred to one of the references, by both their scores.

    Scores are log odds, as in Bradley-Terry models. A reply that is already preferred to nearly all gains nothing from
    an even higher score, so what is learned is to write fewer of the bad ones. Source: Wang et al. 2024
    (arXiv:2402.00742), with all references instead of a quantile of them.
    """
    return torch.sigmoid(scores_N[:, None] - references_R).mean(dim=1).clamp_min(_TINY).log()


def shaped_rewards(
    scores_N: Tensor, *, ended_N: Tensor, lengths_N: Tensor, missing_end: float, overlong: int, limit: int
) -> Tensor:
    """Scores less `missing_end` where a reply was cut off, and less up to 1 in the last `overlong` of `limit` tokens.

    The second is DAPO's soft punishment of length (arXiv:2503.14476, equation 13); `overlong` 0 switches it off.
    """
    shaped_N = scores_N - missing_end * (~ended_N).to(scores_N.dtype)
    if overlong > 0:
        shaped_N = shaped_N - ((lengths_N - (limit - overlong)) / overlong).clamp(0, 1).to(scores_N.dtype)
    return shaped_N


def group_advantages(rewards_N: Tensor, *, group_size: int, algorithm: str) -> Tensor:
    """How much each reply counts: how much better it is than its siblings.

    rloo: reward less the mean of the other k - 1, over the batch's standard deviation (arXiv:2402.14740).
    grpo: reward less the group's mean, over the group's standard deviation (arXiv:2402.03300).
    dr-grpo: reward less the group's mean (arXiv:2503.20783).
    raft: 1 for the best one, 0 for the others, which is supervised training on the best of k (arXiv:2304.06767).
    """
    rewards_PK = rewards_N.view(-1, group_size)
    if algorithm == "raft":
        return torch.zeros_like(rewards_PK).scatter_(1, rewards_PK.argmax(dim=1, keepdim=True), 1.0).flatten()
    centred_PK = rewards_PK - rewards_PK.mean(dim=1, keepdim=True)
    if algorithm == "rloo":
        better_PK = centred_PK * (group_size / (group_size - 1))
        return (better_PK / (better_PK.std(unbiased=False) + _TINY)).flatten() if better_PK.any() else rewards_N * 0
    if algorithm == "grpo":
        spread_P1 = centred_PK.square().mean(dim=1, keepdim=True).sqrt()
        return torch.where(spread_P1 > 1e-6, centred_PK / (spread_P1 + _TINY), 0.0).flatten()
    if algorithm == "dr-grpo":
        return centred_PK.flatten()
    raise ValueError(f"no group advantage in {algorithm!r}")


def generalised_advantages(
    rewards_NT: Tensor, values_NT: Tensor, mask_NT: Tensor, *, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both (N, T) and 0 outside the mask; the value after the last real token is 0.

    Source: Schulman et al. 2016, generalised advantage estimation (arXiv:1506.02438).
    """
    advantages_NT = torch.zeros_like(rewards_NT)
    following_N = next_value_N = torch.zeros_like(rewards_NT[:, 0])
    for place in range(rewards_NT.shape[1] - 1, -1, -1):
        real_N = mask_NT[:, place]
        delta_N = rewards_NT[:, place] + gamma * next_value_N - values_NT[:, place]
        following_N = torch.where(real_N, delta_N + gamma * gae_lambda * following_N, 0.0)
        next_value_N = torch.where(real_N, values_NT[:, place], 0.0)
        advantages_NT[:, place] = following_N
    return advantages_NT, torch.where(mask_NT, advantages_NT + values_NT, 0.0)


def token_rewards(rewards_N: Tensor, k1_NT: Tensor, mask_NT: Tensor, *, kl: float) -> Tensor:
    """Minus `kl` times the KL at every token, plus the reward at the last real one; 0 outside the mask."""
    result_NT = torch.where(mask_NT, -kl * k1_NT, 0.0)
    last_N = mask_NT.sum(dim=1) - 1
    return result_NT.scatter_add(1, last_N[:, None], rewards_N[:, None])


def whiten(values_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over all real tokens of the batch; 0 outside the mask."""
    count = mask_NT.sum()
    mean = torch.where(mask_NT, values_NT, 0.0).sum() / count
    variance = torch.where(mask_NT, (values_NT - mean).square(), 0.0).sum() / count
    return torch.where(mask_NT, (values_NT - mean) * torch.rsqrt(variance + _TINY), 0.0)


def clipped_policy_losses(
    logprobs_L: Tensor, old_L: Tensor, advantages_L: Tensor, *, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's loss for each token, and its ratio to the old policy (without gradient).

    -min(ratio A, clip(ratio, 1 - low, 1 + high) A). Source: Schulman et al. 2017 (arXiv:1707.06347); two clips: DAPO.
    """
    ratio_L = torch.exp(logprobs_L - old_L.detach())
    advantages_L = advantages_L.detach()
    clipped_L = ratio_L.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio_L * advantages_L, clipped_L * advantages_L), ratio_L.detach()


def clipped_value_losses(values_L: Tensor, old_L: Tensor, returns_L: Tensor, *, clip: float) -> Tensor:
    """Half the squared error of each value, that of the value held within `clip` of the old one if it is larger."""
    near_L = old_L + (values_L - old_L).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_L - returns_L).square(), (near_L - returns_L).square())


def next_kl_coefficient(coefficient: float, kl: float, *, target: float, replies: int, horizon: float) -> float:
    """The next KL coefficient, which steers the KL (per reply) to its target.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2.2: a proportional controller, held within 20 %.
    """
    error = min(0.2, max(-0.2, kl / target - 1))
    return coefficient * (1 + error * replies / horizon)


def next_rate_factor(factor: float, kl: float, *, target: float, done: float, pace: float) -> float:
    """The next factor of the learning rate, which steers how far the policy has moved to where it should be by now.

    The distance (the square root of `kl`, per reply) is to grow to that of `target`: half of it at once, for the first
    updates move a policy whatever they teach it, then evenly until the share `pace` of the run is done. How far one
    rate moves a policy depends on the model and on how long its replies are. Source: the adaptive rate by KL of
    Schulman et al. 2017 (arXiv:1707.06347, section 4), with a distance that grows instead of one for each update.
    """
    planned = math.sqrt(target) * min(1.0, max(0.5, done / pace))
    wanted = planned / math.sqrt(max(kl, _TINY))
    return min(HIGHEST_RATE, max(LOWEST_RATE, factor * min(_RATE_STEP, max(1 / _RATE_STEP, wanted))))


def distinct_share(replies: list[list[int]], size: int = 2) -> float:
    """Distinct-n: different n-grams among all, over all replies together (Li et al. 2016); 1 where there are none."""
    grams = [tuple(reply[i : i + size]) for reply in replies for i in range(len(reply) - size + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
