"""Settings of reinforcement learning. Sources of the defaults stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings

ALGORITHMS = ("rloo", "grpo", "dr-grpo", "raft", "ppo")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardShaping:
    """From a reward function's numbers to what is maximised."""

    kl: float = 0.05  # KL coefficient, at every token; TRL's RLOO and PPO
    kl_target: float | None = None  # KL per reply to steer to; N-details: 6 with kl 0.15
    kl_least: float = 0.0  # the KL coefficient is not steered below this
    kl_horizon: float = 10_000.0  # of the controller of the KL coefficient, in replies; N-details
    missing_end: float = 1.0  # penalty of a reply that was cut off; TRL's PPO guide
    overlong: int = 0  # length penalty, up to 1, over so many last tokens; DAPO, off by default
    normalise: bool = True  # mean 0, deviation 1 on the first batch, whose policy is the reference; N-details
    clip: float = 10.0  # of the normalised reward; trlx, OpenRLHF
    wins: bool = False  # not the score counts, but how often it is expected to beat the first batch's replies


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpdate:
    """How a batch of replies changes policy and critic."""

    learning_rate: float = 3e-5  # LoRA of 100M-1B: 3e-5 to 1e-4; full weights a tenth
    critic_learning_rate: float = 1e-4
    schedule: str = "linear"  # to 0; N-details
    warmup: float = 0.0
    epochs: int = 1  # passes over a batch; TRL: RLOO 1, PPO 4
    minibatches: int = 2  # optimiser steps in one pass
    clip_low: float = 0.2
    clip_high: float = 0.2  # DAPO: 0.28
    value_clip: float = 0.2
    gamma: float = 1.0
    gae_lambda: float = 0.95  # of the generalised advantage estimate
    max_grad_norm: float = 1.0
    row_tokens: int = 2048  # of one forward pass; memory grows with it
    pace: float = 0.0  # the rate is steered to the KL target at this share of the run; 0: it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class RLSettings:
    """Settings of a whole run. Raises UserError for values that make no sense together."""

    algorithm: str = "rloo"
    steps: int = 100
    minutes: float | None = None  # the most that all of it may take
    prompts: int = 16  # per step, over all processes
    group_size: int = 4  # replies to each prompt; RLOO paper
    temperature: float = 1.0
    max_tokens: int = 48
    bursts: float = 0.0  # share of the prompts that are answered by whole bursts of messages, the others by one message
    seed: int = 0
    shaping: RewardShaping = field(default_factory=RewardShaping)
    update: PolicyUpdate = field(default_factory=PolicyUpdate)
    max_kl: float = 10.0  # KL per reply at which it stops; 0: no limit
    min_distinct: float = 0.5  # it stops when distinct-2 falls below this share of its start; 0: never
    shown: int = 4  # replies kept for people to read, at each step that shows some
    show_every: int = 10  # steps

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise UserError(f"Unknown algorithm '{self.algorithm}'.", hint=f"Choose one of {', '.join(ALGORITHMS)}.")
        if self.algorithm != "ppo" and self.group_size < 2:
            raise UserError(
                f"{self.algorithm} compares the replies to one prompt, so it needs at least two.",
                hint="Raise group_size, or choose ppo.",
            )
        counts = {
            "steps": self.steps,
            "prompts": self.prompts,
            "group_size": self.group_size,
            "max_tokens": self.max_tokens,
        }
        counts |= {"epochs": self.update.epochs, "minibatches": self.update.minibatches}
        for name, value in counts.items():
            if value < 1:
                raise UserError(f"{name} must be at least 1, not {value}.")
        if not 0 <= self.bursts <= 1:
            raise UserError(f"The share of bursts must be from 0 to 1, not {self.bursts}.")
        if self.temperature <= 0:
            raise UserError("The temperature of rollouts must be above 0.", hint="1.0 is the model's own distribution.")
        if self.update.minibatches > self.prompts:
            raise UserError(
                f"{self.prompts} prompts cannot be cut into {self.update.minibatches} minibatches.",
                hint="Raise prompts or lower minibatches.",
            )

    @property
    def measures_kl(self) -> bool:
        """Whether the KL to the reference is measured at all."""
        return self.shaping.kl > 0 or self.shaping.kl_target is not None or self.max_kl > 0

    def samples_burst(self, place: int) -> bool:
        """Whether the prompt at this place of a step is answered by a whole burst; they are spread evenly."""
        return int((place + 1) * self.bursts) > int(place * self.bursts)

    @property
    def on_policy(self) -> bool:
        """Whether each batch is used for exactly one update, so that the ratio is 1 by construction."""
        return self.update.epochs * self.update.minibatches == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RLConfig:
    """One alignment by reinforcement learning."""

    RENAMED: ClassVar[Mapping[str, str]] = {  # what runs of earlier versions call a setting, and what it is called now
        "settings.samples": "settings.group_size",
        "settings.update.decay": "settings.update.gae_lambda",
    }

    name: str  # of the model that comes out
    double: str  # the model that is aligned
    reward: str  # what the reward is, for the card
    settings: RLSettings = field(default_factory=RLSettings)
    policy: AdapterSettings = field(default_factory=AdapterSettings)
    critic: AdapterSettings = field(default_factory=AdapterSettings)  # of PPO
    dtype: str = "auto"
    device: str = "auto"
    prompt_tokens: int = 384  # of a prompt; older turns are left out
    evaluations: int = 4  # of the likeness, over the training
    checkpoint_minutes: float = 2.0
    keep_rollouts: bool = False  # all replies of all steps stay on disk
    wins: float = 1.0  # share of pairs to be expected to win: no more of the update is kept than that takes; 1: all
