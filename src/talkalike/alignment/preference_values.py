"""Settings and events of an alignment by preferences. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkalike.alignment.feedback_values import (
    FeedbackConfig,
    FeedbackEvaluated,
    FeedbackFinished,
    FeedbackStarted,
    FeedbackStep,
)
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings

LOSSES = ("dpo", "ipo", "simpo", "kto")
BETAS = {"dpo": 0.1, "ipo": 0.1, "simpo": 2.0, "kto": 0.1}  # TRL's defaults; SimPO's from its paper


# Of AdamW. TRL: 1e-6 for all weights; adapters of small models take far more (our choice).
LEARNING_RATES = {"lora": 5e-5, "last-n": 5e-6, "full": 1e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceConfig(FeedbackConfig):
    """One alignment by preferences. Raises UserError for values that make no sense."""

    double: str  # the model that is aligned
    loss: str = "dpo"
    beta: float = 0.0  # 0: the loss's usual one
    gamma: float = 1.0  # SimPO's margin; its paper: half of beta
    weights: tuple[float, float] = (1.0, 1.0)  # KTO's, of good and bad replies
    policy: AdapterSettings = field(default_factory=AdapterSettings)

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


PreferenceEvent = FeedbackStarted | FeedbackStep | FeedbackEvaluated | FeedbackFinished
