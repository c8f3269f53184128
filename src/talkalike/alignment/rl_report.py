"""The report of one step of reinforcement learning: numbers over all processes, and a few replies to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from talkalike.alignment.experience import RolloutBatch
from talkalike.alignment.learner import Learner, UpdateStatistics
from talkalike.alignment.policy_losses import kl_terms
from talkalike.alignment.rl_values import RLStep, Shown
from talkalike.alignment.values import ReplySample
from talkalike.training.loop import Progress


@dataclass(slots=True, kw_only=True)
class RLProgress(Progress):
    """The progress of a run; with the trained tensors and the optimiser all that a resumed one needs."""

    kl_coefficient: float = 0.0
    rate_factor: float = 1.0  # of the learning rate, where it is steered by the KL
    reward_mean: float = 0.0  # of the first batch, by which rewards are normalised
    reward_deviation: float = 1.0
    first_reward: float = math.nan
    first_distinct: float = math.nan
    references: list[float] = field(default_factory=list)  # the scores of the first batch, where wins count
    before: dict[str, float] = field(default_factory=dict)  # what the guard rails measured before the first step


def report_step(
    learner: Learner,
    progress: RLProgress,
    batch: RolloutBatch,
    statistics: UpdateStatistics,
    *,
    distinct: float,
    factor: float,
) -> RLStep:
    accelerator = learner.accelerator
    s = statistics
    sums = [float(s.tokens), s.ratio, s.clipped, s.entropy, s.policy_loss, s.value_loss]
    extremes = [-s.ratio_min, s.ratio_max, s.first_ratio_off]
    if accelerator.num_processes > 1:
        device = accelerator.device
        sums = accelerator.reduce(torch.tensor(sums, device=device), reduction="sum").tolist()
        extremes = accelerator.gather(torch.tensor([extremes], device=device)).amax(dim=0).tolist()
    tokens = max(1.0, sums[0])
    updates = max(1, len(s.grad_norms))
    scores_PK = batch.scores_N.view(-1, learner.settings.group_size)
    kl_k1, kl_k3 = kl_per_reply(batch)
    return RLStep(
        index=progress.step + 1,
        reward=float(batch.scores_N.mean()),
        kl_k1=kl_k1,
        kl_k3=kl_k3,
        kl_coefficient=progress.kl_coefficient,
        ratio_mean=sums[1] / tokens if sums[0] else 1.0,
        ratio_min=-extremes[0] if sums[0] else 1.0,
        ratio_max=extremes[1] if sums[0] else 1.0,
        first_ratio_off=extremes[2],
        clip_share=sums[2] / tokens,
        entropy=sums[3] / tokens,
        length=float(batch.lengths_N.float().mean()),
        ended_share=float(batch.ended_N.float().mean()),
        distinct_2=distinct,
        flat_share=float((scores_PK.amax(dim=1) - scores_PK.amin(dim=1) < 1e-9).float().mean()),
        policy_loss=sums[4] / updates,
        value_loss=sums[5] / updates,
        grad_norm=sum(s.grad_norms) / updates,
        learning_rate=learner.rates[0] * factor,
        tokens=int(batch.lengths_N.sum()),
        seconds=0.0,
    )


def kl_per_reply(batch: RolloutBatch) -> tuple[float, float]:
    """Both estimates (k1, k3) of the KL to the double as it was, over all tokens of a reply, on average."""
    k1_NT = torch.where(batch.mask_NT, batch.k1_NT, 0.0)
    k3_NT = kl_terms(k1_NT, torch.zeros_like(k1_NT))[1]
    replies = len(batch.scores_N)
    return float(k1_NT.sum()) / replies, float(k3_NT.sum()) / replies


def choose_samples(samples: Sequence[ReplySample], scores: Sequence[float], count: int) -> tuple[Shown, ...]:
    """Chooses `count` replies spread over the batch."""
    stride = max(1, len(samples) // max(1, count))
    return tuple(
        Shown(
            prompt=samples[i].prompt_turns[-1].text if samples[i].prompt_turns else "",
            speaker=samples[i].speaker,
            text=samples[i].text,
            reward=scores[i],
        )
        for i in range(0, len(samples), stride)[:count]
    )
