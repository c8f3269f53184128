"""The training of a reward model in values: how it is to be, and what happens in it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackSettings, FeedbackStep
from talkalike.alignment.reward_report import RewardReport
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.workspace.cards import Card

# Of AdamW. The head is new in any case; adapters take ten times the rate of whole weights (TRL RewardConfig: 1e-4).
LEARNING_RATES = {"lora": 1e-4, "last-n": 3e-5, "full": 1e-5}
HEAD_RATE = 5e-3  # it begins at nothing, and a few hundred judgements are some thirty steps


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """One training of a reward model."""

    name: str  # of the model that comes out
    reference: str  # the double (or base) it stands on
    loop: FeedbackSettings
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    head_rate: float = HEAD_RATE
    members: int = 1  # of an ensemble
    pair_scale: str = "sounds_like_me"  # what comparisons are about
    weights: dict[str, float] = field(default_factory=dict)  # of the scales in the value; empty: all alike
    centring: float = 0.01  # arXiv:2312.09244, TRL
    heldout: float = 0.2  # share of the contexts
    evaluations: int = 4  # of the held-out loss, over the training
    max_tokens: int = 1024
    dtype: str = "auto"
    device: str = "auto"
    checkpoint_minutes: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardStarted:
    """The training begins (or goes on at `step`). `remarks`: sentences to tell before the result is trusted."""

    step: int
    steps: int
    pairs: int
    ratings: int
    heldout_pairs: int
    heldout_ratings: int
    trained_parameters: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFinished:
    """The model is in the catalog, unless it was stopped (and can be resumed)."""

    reason: str
    card: Card
    report: RewardReport
    seconds: float


RewardEvent = RewardStarted | FeedbackStep | FeedbackEvaluated | RewardFinished
