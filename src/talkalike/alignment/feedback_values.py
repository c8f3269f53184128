"""Settings and events of a training on judgements. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.workspace.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSettings:
    """Settings of the training loop."""

    learning_rate: float
    schedule: str = "linear"  # to 0; N-details
    warmup: float = 0.05
    epochs: float = 1.0  # more than one soon overfits the judgements; N-details
    batch: int = 8  # contexts in a step
    row_tokens: int = 2048  # of one forward pass; memory grows with it
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackConfig:
    """What every training on judgements is configured with."""

    name: str  # of the model that comes out
    loop: FeedbackSettings
    heldout: float = 0.15  # share of the contexts
    evaluations: int = 4  # of the held-out judgements, over the training
    max_tokens: int = 1024  # of a context with its longest reply
    dtype: str = "auto"
    device: str = "auto"
    checkpoint_minutes: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackStarted:
    """The training begins (or goes on at `step`). `remarks`: sentences to tell before the result is trusted."""

    step: int
    steps: int
    pairs: int
    ratings: int
    opinions: int  # replies that are good or bad (KTO)
    heldout: int  # judgements, of any sort
    heldout_pairs: int
    corrections: int  # how many of all the pairs are somebody's own words
    trained_parameters: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]
    dtype: str
    device: str

    @property
    def judgements(self) -> int:
        """The number of judgements that are trained on."""
        return self.pairs + self.ratings + self.opinions


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackStep:
    """What happened in one step. `accuracy`: share of pairs in the right order before the update; NaN without pairs."""

    index: int  # from 1
    epoch: float
    loss: float
    accuracy: float
    margin: float  # how far apart the two of a pair are, on average, in the method's own units
    judgements: int
    tokens: int
    seconds: float
    learning_rate: float
    grad_norm: float
    done: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEvaluated:
    """On the held-out judgements; NaN where there are none. `accuracy`: share of pairs in the right order."""

    step: int
    heldout_loss: float
    accuracy: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackFinished:
    """The model is in the catalog, unless it was stopped (and can be resumed)."""

    reason: str
    card: Card
    seconds: float
