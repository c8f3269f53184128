"""Settings and events of the training of a reward model. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkalike.alignment.feedback_values import (
    FeedbackConfig,
    FeedbackEvaluated,
    FeedbackFinished,
    FeedbackStarted,
    FeedbackStep,
)
from talkalike.alignment.reward_report import RewardReport
from talkalike.models.adapter_settings import AdapterSettings

# Of AdamW. The head is new in any case; adapters take ten times the rate of whole weights (TRL RewardConfig: 1e-4).
LEARNING_RATES = {"lora": 1e-4, "last-n": 3e-5, "full": 1e-5}
HEAD_RATE = 5e-3  # it begins at zero, and a few hundred judgements are about thirty steps


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig(FeedbackConfig):
    """One training of a reward model."""

    reference: str  # the double (or base) it is trained on top of
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    head_rate: float = HEAD_RATE
    members: int = 1  # of an ensemble
    pair_scale: str = "sounds_like_me"  # what comparisons are about
    weights: dict[str, float] = field(default_factory=dict)  # of the scales in the value; empty: all alike
    centring: float = 0.01  # arXiv:2312.09244, TRL
    heldout: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFinished(FeedbackFinished):
    """The reward model is trained; `report` says how it scores the judgements, above all the held-out ones."""

    report: RewardReport


RewardEvent = FeedbackStarted | FeedbackStep | FeedbackEvaluated | RewardFinished
