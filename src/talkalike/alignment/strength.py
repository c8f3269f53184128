"""How much of what was learned a candidate keeps: no more than it takes to be preferred often enough.

The update of reinforcement learning is scaled down. Weights between a model and its trained self lose less of what the
model could do than a shorter training that reaches the same reward (Ramé et al. 2024, arXiv:2406.16768).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from talkalike.alignment.learner import POLICY
from talkalike.alignment.prompts import prompts_of_step
from talkalike.alignment.rl import Task
from talkalike.alignment.rl_settings import RLSettings
from talkalike.alignment.rollouts import RolloutSampling, draw_numbers, reply_samples, sample_replies
from talkalike.alignment.values import ExpectedWins, ReplySample
from talkalike.models.roles import Roles

STRENGTHS = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)  # tried in this order
_PROMPTS, _GROUP_SIZE = 32, 3
_OTHER_DRAWS = 1_000_003  # random numbers that no step of the training used


@runtime_checkable
class ExpectsWins(Protocol):
    """A reward that can tell how often people would prefer one of two replies."""

    def expect_wins(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> ExpectedWins:
        """How often the first reply of these pairs is expected to be preferred."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """A share of the policy's update, and how often its replies are expected to be preferred to those without it."""

    factor: float
    expected: ExpectedWins


def choose_strength(roles: Roles, task: Task, settings: RLSettings, *, wins: float) -> Strength | None:
    """Scales the policy's update to the smallest strength that is expected to win so often, or leaves it whole.

    On prompts of the training, so that the held-out ones stay for measuring. None, and nothing is scaled, where the
    reward cannot tell.
    """
    reward = task.reward
    if not isinstance(reward, ExpectsWins):
        return None
    chosen = None
    for strength in _try_strengths(roles, task, reward, settings):
        chosen = strength
        if strength.expected.share >= wins:
            break
    return chosen


def _try_strengths(roles: Roles, task: Task, reward: ExpectsWins, settings: RLSettings) -> Iterator[Strength]:
    """Each strength in turn, at which the policy stands then. The same random numbers for all."""
    count = min(_PROMPTS, len(task.prompts))
    chosen = prompts_of_step(len(task.prompts), 0, prompts=count, seed=settings.seed + _OTHER_DRAWS)
    prompts = [task.prompts[place] for place in chosen]
    numbers = draw_numbers(
        settings.seed, _OTHER_DRAWS, range(count), group_size=_GROUP_SIZE, length=settings.max_tokens
    )
    sampling = RolloutSampling(stop_id=task.stop_id, temperature=settings.temperature, max_tokens=settings.max_tokens)

    def reply(role: str | None) -> list[ReplySample]:
        ids = [prompt.ids for prompt in prompts]
        rollouts = sample_replies(roles, ids, role=role, sampling=sampling, random_NT=numbers)
        return reply_samples(prompts, rollouts, task.decode)

    before = reply(None)
    for factor in STRENGTHS:
        roles.scale(POLICY, factor)
        yield Strength(factor=factor, expected=reward.expect_wins(list(zip(reply(POLICY), before, strict=True))))
