"""Reinforcement learning from rewards, as one visible loop: a generator of steps that the caller drives.

A step: prompts -> k replies each -> scores -> advantages -> update. RLOO, GRPO, Dr. GRPO, RAFT and PPO differ in
the advantages alone (PPO brings a critic along); replies, masks, loss and KL are the same for all.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkalike.alignment.experience import RolloutBatch, gather_batch
from talkalike.alignment.learner import POLICY, Learner, Targets, UpdateStatistics
from talkalike.alignment.policy_losses import (
    distinct_share,
    generalised_advantages,
    group_advantages,
    log_expected_wins,
    next_kl_coefficient,
    next_rate_factor,
    shaped_rewards,
    token_rewards,
    whiten,
)
from talkalike.alignment.prompts import ReplyPrompt, prompts_of_step
from talkalike.alignment.rl_report import RLProgress, choose_samples, kl_per_reply, report_step
from talkalike.alignment.rl_settings import RewardShaping
from talkalike.alignment.rl_values import RLStep
from talkalike.alignment.rollouts import (
    Rollout,
    RolloutMemory,
    RolloutSampling,
    draw_numbers,
    reply_samples,
    sample_replies,
    split_messages,
)
from talkalike.alignment.shared_rows import SharedRow, shared_rows
from talkalike.alignment.values import ReplySample, Reward, checked_scores
from talkalike.errors import UserError
from talkalike.training.losses import learning_rate_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What RL trains on: prompts, how tokens become text, and the reward of a reply."""

    prompts: Sequence[ReplyPrompt]
    reward: Reward
    decode: Callable[[Sequence[int]], str]
    stop_id: int


def rl_steps(
    learner: Learner, task: Task, progress: RLProgress, memory: RolloutMemory | None = None
) -> Iterator[RLStep]:
    """Trains until steps or minutes are used up or a limit stops it, yielding after each step."""
    settings, processes = learner.settings, learner.accelerator.num_processes
    if settings.prompts % processes:
        raise UserError(
            f"{settings.prompts} prompts a step cannot be shared by {processes} processes.",
            hint="Make prompts a multiple of the number of processes.",
        )
    if progress.step == 0:
        progress.kl_coefficient = settings.shaping.kl
    learner.roles.network.eval()
    seconds = 0.0  # of the latest step: the next one takes as long
    while progress.step < settings.steps and progress.has_time(seconds, settings.minutes):
        start = time.perf_counter()
        rollouts, samples, scores = collect_rollouts(learner, task, progress.step)
        if memory is not None:
            memory.write(progress.step, rollouts)
        step = _update_from(learner, task, progress, rollouts, scores)
        if step.index == 1 or step.stop or step.index % settings.show_every == 0:
            step = dataclasses.replace(step, shown=choose_samples(samples, scores, settings.shown))
        after = time.perf_counter()
        seconds = after - start
        progress.seconds += seconds
        if not step.stop:
            progress.step += 1
        yield dataclasses.replace(step, seconds=seconds)
        if step.stop:
            return
        progress.seconds += time.perf_counter() - after


def collect_rollouts(learner: Learner, task: Task, step: int) -> tuple[list[Rollout], list[ReplySample], list[float]]:
    """Samples this process's replies of a step and scores them. Changes nothing."""
    settings, accelerator = learner.settings, learner.accelerator
    chosen = prompts_of_step(len(task.prompts), step, prompts=settings.prompts, seed=settings.seed)
    places = list(range(accelerator.process_index, settings.prompts, accelerator.num_processes))
    prompts = [task.prompts[chosen[place]] for place in places]
    sampling = RolloutSampling(stop_id=task.stop_id, temperature=settings.temperature, max_tokens=settings.max_tokens)
    numbers = draw_numbers(settings.seed, step, places, group_size=settings.group_size, length=settings.max_tokens)
    rollouts = sample_replies(
        learner.roles,
        [prompt.ids for prompt in prompts],
        role=POLICY,
        sampling=sampling,
        random_NT=numbers,
        going_on=[
            prompt.going_on if settings.samples_burst(place) else ()
            for place, prompt in zip(places, prompts, strict=True)
        ],
    )
    samples = reply_samples(prompts, rollouts, task.decode, stop_id=task.stop_id)
    return rollouts, samples, checked_scores(task.reward, samples)


def _update_from(
    learner: Learner, task: Task, progress: RLProgress, rollouts: list[Rollout], scores: list[float]
) -> RLStep:
    settings = learner.settings
    plan, members = _plan(learner, progress.step, rollouts)
    batch, old, values = measure_batch(learner, plan, rollouts, scores)
    kl, kl_k3 = kl_per_reply(batch)
    distinct = _distinct(learner, task, progress.step, batch)
    if progress.step == 0:
        _record_first_batch(progress, settings.shaping, batch, distinct)
    stop = _reason_to_stop(settings.max_kl, settings.min_distinct, kl, distinct, progress)
    statistics = UpdateStatistics()
    done = progress.share(settings.steps, settings.minutes)
    if settings.update.pace and settings.shaping.kl_target is not None and progress.step:
        progress.rate_factor = next_rate_factor(
            progress.rate_factor, kl_k3, target=settings.shaping.kl_target, done=done, pace=settings.update.pace
        )
    factor = progress.rate_factor * learning_rate_factor(
        done, schedule=settings.update.schedule, warmup=settings.update.warmup
    )
    if not stop:
        advantages_NT, returns_NT = estimate_advantages(learner, progress, batch)
        targets = Targets(
            old_logprobs=old,
            advantages=advantages_NT[batch.mine_N].flatten(),
            old_values=values,
            returns=returns_NT[batch.mine_N].flatten(),
        )
        learner.keep_safe_state()
        statistics = learner.update(plan, targets, _divisors(learner, batch, members), factor=factor)
    step = report_step(learner, progress, batch, statistics, distinct=distinct, factor=factor)
    if settings.shaping.kl_target is not None and not stop:
        steered = next_kl_coefficient(
            progress.kl_coefficient,
            kl,
            target=settings.shaping.kl_target,
            replies=len(batch.scores_N),
            horizon=settings.shaping.kl_horizon,
        )
        progress.kl_coefficient = max(steered, settings.shaping.kl_least)
    return dataclasses.replace(step, stop=stop)


def measure_batch(
    learner: Learner, plan: Sequence[Sequence[SharedRow]], rollouts: Sequence[Rollout], scores: Sequence[float]
) -> tuple[RolloutBatch, Tensor | None, Tensor]:
    """The batch of all processes; of this one the old log-probabilities (None where not needed) and values, flat."""
    settings, device = learner.settings, learner.roles.device
    size = len(rollouts) * settings.max_tokens
    old = None
    k1, values = torch.zeros(size, device=device), torch.zeros(size, device=device)
    if not settings.on_policy or settings.measures_kl or learner.head is not None:
        old, k1, values = learner.measure([row for rows in plan for row in rows], size=size)
    batch = gather_batch(
        rollouts,
        scores=scores,
        k1_NT=k1.view(-1, settings.max_tokens),
        values_NT=values.view(-1, settings.max_tokens),
        group_size=settings.group_size,
        accelerator=learner.accelerator,
    )
    return batch, old, values


def estimate_advantages(learner: Learner, progress: RLProgress, batch: RolloutBatch) -> tuple[Tensor, Tensor]:
    """Advantages and (for a critic) returns, (N, T); computed from numbers, so without any gradient."""
    settings, shaping = learner.settings, learner.settings.shaping
    scores_N = _as_wins(batch.scores_N, progress)
    if shaping.normalise:
        scores_N = ((scores_N - progress.reward_mean) / progress.reward_deviation).clamp(-shaping.clip, shaping.clip)
    rewards_N = shaped_rewards(
        scores_N,
        ended_N=batch.ended_N,
        lengths_N=batch.lengths_N,
        missing_end=shaping.missing_end,
        overlong=shaping.overlong,
        limit=settings.max_tokens,
    )
    mask_NT, coefficient = batch.mask_NT, progress.kl_coefficient
    if settings.algorithm != "ppo":
        total_N = rewards_N - coefficient * torch.where(mask_NT, batch.k1_NT, 0.0).sum(dim=1)
        each_N = group_advantages(total_N, group_size=settings.group_size, algorithm=settings.algorithm)
        return torch.where(mask_NT, each_N[:, None], 0.0), torch.zeros_like(batch.k1_NT)
    tokens_NT = token_rewards(rewards_N, batch.k1_NT, mask_NT, kl=coefficient)
    raw_NT, returns_NT = generalised_advantages(
        tokens_NT, batch.values_NT, mask_NT, gamma=settings.update.gamma, gae_lambda=settings.update.gae_lambda
    )
    return whiten(raw_NT, mask_NT), returns_NT


def _distinct(learner: Learner, task: Task, step: int, batch: RolloutBatch) -> float:
    """How varied the messages of all replies are; the headers between those of a burst are no words."""
    settings = learner.settings
    chosen = prompts_of_step(len(task.prompts), step, prompts=settings.prompts, seed=settings.seed)
    messages = []
    for row, ids in enumerate(batch.ids_NT.tolist()):
        reply = [token for token in ids if token >= 0]
        messages += split_messages(reply, task.stop_id, task.prompts[chosen[row // settings.group_size]].going_on)
    return distinct_share(messages)


def _plan(learner: Learner, step: int, rollouts: list[Rollout]) -> tuple[list[list[SharedRow]], list[list[int]]]:
    """The minibatches: this process's rows of each, and which of the step's prompts (of all processes) each holds."""
    settings, accelerator = learner.settings, learner.accelerator
    order = np.random.default_rng((settings.seed, step)).permutation(settings.prompts)
    members = [part.tolist() for part in np.array_split(order, settings.update.minibatches)]
    plan = []
    for prompts in members:
        processes, me = accelerator.num_processes, accelerator.process_index
        mine = [prompt // processes for prompt in prompts if prompt % processes == me]
        groups = [range(place * settings.group_size, (place + 1) * settings.group_size) for place in mine]
        plan.append(
            shared_rows(
                rollouts,
                groups,
                width=settings.max_tokens,
                row_tokens=settings.update.row_tokens,
                device=learner.roles.device,
            )
        )
    return plan, members


def _divisors(learner: Learner, batch: RolloutBatch, members: list[list[int]]) -> list[float]:
    """The minibatches' real tokens; for Dr. GRPO their replies times the longest length, which favours no length."""
    settings = learner.settings
    if settings.algorithm == "dr-grpo":
        return [float(len(prompts) * settings.group_size * settings.max_tokens) for prompts in members]
    lengths_P = batch.lengths_N.view(-1, settings.group_size).sum(dim=1)
    return [float(lengths_P[prompts].sum()) for prompts in members]


def _as_wins(scores_N: Tensor, progress: RLProgress) -> Tensor:
    """The scores as they are, or as expected wins over the first batch's, whose policy is the reference."""
    if not progress.references:
        return scores_N
    return log_expected_wins(scores_N, torch.tensor(progress.references, device=scores_N.device))


def _record_first_batch(progress: RLProgress, shaping: RewardShaping, batch: RolloutBatch, distinct: float) -> None:
    progress.first_distinct = distinct
    progress.first_reward = float(batch.scores_N.mean())
    progress.references = batch.scores_N.tolist() if shaping.wins else []
    if shaping.normalise:
        scores_N = _as_wins(batch.scores_N, progress)
        deviation = float(scores_N.std(unbiased=False))
        progress.reward_mean = float(scores_N.mean())
        progress.reward_deviation = deviation if deviation > 1e-6 else 1.0


def _reason_to_stop(max_kl: float, min_distinct: float, kl: float, distinct: float, progress: RLProgress) -> str:
    if max_kl > 0 and kl > max_kl:
        return "kl"
    return "collapse" if distinct < min_distinct * progress.first_distinct else ""
