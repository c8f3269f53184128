"""An alignment by preferences in values: how it is to be, and what happens in it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkalike.alignment.feedback_values import FeedbackEvaluated, FeedbackSettings, FeedbackStep
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.workspace.cards import Card

LOSSES = ("dpo", "ipo", "simpo", "kto")
BETAS = {"dpo": 0.1, "ipo": 0.1, "simpo": 2.0, "kto": 0.1}  # TRL's defaults; SimPO's from its paper


# Of AdamW. TRL: 1e-6 for all weights; adapters of small models take far more (ours, to be tried on your double).
LEARNING_RATES = {"lora": 5e-5, "last-n": 5e-6, "full": 1e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceConfig:
    """One alignment by preferences. Raises UserError for values that make no sense."""

    name: str  # of the model that comes out
    double: str  # the model that is aligned
    loop: FeedbackSettings
    loss: str = "dpo"
    beta: float = 0.0  # 0: the loss's usual one
    gamma: float = 1.0  # SimPO's margin; its paper: half of beta
    weights: tuple[float, float] = (1.0, 1.0)  # KTO's, of good and bad replies
    policy: AdapterSettings = field(default_factory=AdapterSettings)
    heldout: float = 0.15  # share of the contexts
    evaluations: int = 4
    max_tokens: int = 1024
    dtype: str = "auto"
    device: str = "auto"
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UserError(f"Unknown loss '{self.loss}'.", hint=f"Choose one of {', '.join(LOSSES)}.")
        if self.beta < 0:
            raise UserError(
                "beta must be above 0.", hint="0.1 is usual; larger keeps the double nearer to what it was."
            )

    @property
    def chosen_beta(self) -> float:
        """The beta that is used."""
        return self.beta or BETAS[self.loss]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceStarted:
    """The training begins (or goes on at `step`). Counts are of pairs, for KTO of replies."""

    step: int
    steps: int
    judgements: int
    heldout: int
    corrections: int
    trained_parameters: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceFinished:
    """The model is in the catalog, unless it was stopped (and can be resumed)."""

    reason: str
    card: Card
    seconds: float


PreferenceEvent = PreferenceStarted | FeedbackStep | FeedbackEvaluated | PreferenceFinished
