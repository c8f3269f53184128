"""Events of a run of reinforcement learning. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.workspace.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A reply for people to read."""

    prompt: str  # the last message before it
    speaker: str
    text: str
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RLStep:
    """What happened in one step, over all processes. KL is per reply, in nats, of the policy the step began with."""

    index: int  # from 1
    reward: float  # mean of the reward's own numbers
    kl_k1: float
    kl_k3: float
    kl_coefficient: float
    ratio_mean: float
    ratio_min: float
    ratio_max: float
    first_ratio_off: float  # largest distance from 1 before anything changed; 0 in a correct run
    clip_share: float
    entropy: float  # nats per token
    length: float
    ended_share: float
    distinct_2: float
    flat_share: float  # prompts whose replies all got the same reward: they have no advantage
    policy_loss: float
    value_loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    seconds: float
    shown: tuple[Shown, ...] = ()
    stop: str = ""  # "kl" or "collapse": the run has to end, and this step changed nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RLStarted:
    """The run begins (or goes on after `step`). `nbytes`: weights in memory, of the base ("") and of each role."""

    step: int
    steps: int
    prompts: int
    nbytes: dict[str, int]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RLFinished:
    """The model is in the catalog.

    `reason`: finished, minutes (they were over), stopped (resumable), kl or collapse (the last sound state).
    """

    reason: str
    card: Card
    seconds: float


RLEvent = RLStarted | RLStep | RLFinished
