"""How much of what was learned a candidate keeps: no more than it takes to be preferred often enough.

The update of reinforcement learning is scaled down. Weights between a model and its trained self lose less of what the
model could do than a shorter training that reaches the same reward (Ramé et al. 2024, arXiv:2406.16768).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from talkalike.alignment.heldout_prompts import (
    AT_ONCE,
    CONTEXT_TOKENS,
    LONGEST_REPLY,
    choose_prompts,
    pairs_that_differ,
    reply_samples_of,
    words_said,
)
from talkalike.alignment.learner import POLICY
from talkalike.alignment.values import ExpectedWins, ReplySample, Reward
from talkalike.engine.local import LocalEngine
from talkalike.engine.protocol import Sampling
from talkalike.evaluation.generate import Generated, GenerationSettings, generate_replies
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import ReferenceReply, load_replies
from talkalike.models.roles import Roles

STRENGTHS = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
_PROMPTS = 40
_OTHER_DRAWS = 1_000_003  # prompts and random numbers that are drawn nowhere else


@runtime_checkable
class ExpectsWins(Protocol):
    """A reward that can tell how often people would prefer one of two replies."""

    def expect_wins(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> ExpectedWins:
        """How often the first reply of these pairs is expected to be preferred."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """A share of the policy's update, and how often its replies are expected to be preferred to those without it."""

    factor: float
    expected: ExpectedWins


def choose_strength(
    roles: Roles, reward: Reward, examples: ExampleSet, *, speaker: str, wins: float, seed: int
) -> list[Strength]:
    """Scales the policy's update to the smallest strength that is expected to win so often, or leaves it whole.

    Whole replies are compared, as people see them, to prompts of the training, so that the held-out ones stay for
    measuring. Returns what was tried, the chosen one last: nothing, and nothing is scaled, where the reward can't tell.
    """
    if not isinstance(reward, ExpectsWins):
        return []
    prompts = choose_prompts(load_replies(examples, "train"), speaker, _PROMPTS, seed=seed + _OTHER_DRAWS)
    trial = _Trial(roles, reward, prompts, seed=seed + _OTHER_DRAWS)
    low, high = 0, len(STRENGTHS) - 1
    while low < high:  # what is expected grows with the strength
        middle = (low + high) // 2
        found = trial.try_strength(STRENGTHS[middle])
        low, high = (low, middle) if found and found.expected.share >= wins else (middle + 1, high)
    chosen = trial.try_strength(STRENGTHS[low])
    return [*(one for one in trial.tried.values() if one is not chosen), *([chosen] if chosen else [])]


class _Trial:
    """What is expected of each strength. The same prompts and random numbers for all."""

    def __init__(self, roles: Roles, reward: ExpectsWins, prompts: Sequence[ReferenceReply], *, seed: int) -> None:
        self._roles, self._reward, self._prompts, self._seed = roles, reward, prompts, seed
        self._before = _answer(roles, None, prompts, seed=seed)
        self.tried: dict[float, Strength] = {}

    def try_strength(self, factor: float) -> Strength | None:
        """Sets the policy to this strength; None where its replies are those without it."""
        self._roles.scale(POLICY, factor)
        if factor not in self.tried:
            after = _answer(self._roles, POLICY, self._prompts, seed=self._seed)
            pairs = pairs_that_differ(after, self._before)
            if not pairs:
                return None
            self.tried[factor] = Strength(factor=factor, expected=self._reward.expect_wins(pairs))
        return self.tried[factor]


def _answer(roles: Roles, role: str | None, prompts: Sequence[ReferenceReply], *, seed: int) -> list[ReplySample]:
    """Whole replies of one role."""

    async def generate() -> list[Generated]:
        engine = LocalEngine(dataclasses.replace(roles.loaded, model=network))
        try:
            return await generate_replies(engine, prompts, settings, fingerprint="")
        finally:
            await engine.close()

    settings = GenerationSettings(
        sampling=Sampling(seed=seed, max_tokens=LONGEST_REPLY), context_tokens=CONTEXT_TOKENS, concurrency=AT_ONCE
    )
    with roles.use(role) as network:
        written = asyncio.run(generate())
    return reply_samples_of(prompts, [words_said(reply) for reply in written])
