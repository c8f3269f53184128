"""Settings and events of a training. Imports no torch, so that commands can read it early."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkalike.models.adapter_settings import AdapterSettings
from talkalike.workspace.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Settings of the training loop."""

    learning_rate: float
    schedule: str = "cosine"
    warmup: float = 0.03  # share of the training
    epochs: float = 3.0
    minutes: float | None = None  # a budget: the schedule ends with whichever comes first
    batch_tokens: int = 2048  # per optimiser step
    row_tokens: int = 2048  # per forward pass; memory grows with it
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened in one optimiser step. `loss` is nats per loss token, `done` the share of the training so far."""

    index: int  # from 1
    epoch: float
    loss: float
    loss_tokens: int
    tokens: int
    seconds: float
    learning_rate: float
    grad_norm: float
    done: float


# Peak learning rates of AdamW; measured on small chats with a 135M base (docs/lab-notebook.md).
LEARNING_RATES = {"lora": 1e-3, "dora": 1e-3, "full": 5e-5, "last-n": 2e-4, "prompt": 1e-2}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of one training. Everything else is derived from the examples and the base."""

    name: str  # of the model that comes out
    base: str
    loop: LoopSettings
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    start: str = ""  # a model trained on this base before, whose weights are the first; empty: the base's
    dtype: str = "auto"
    device: str = "auto"
    quantize: str = "none"  # how the base is kept: none, 8bit, 4bit
    gradient_checkpointing: bool = False
    evaluations: int = 8  # of the held-out loss, over the training
    evaluation_tokens: int = 8192  # held-out tokens used for one evaluation
    patience: int = 3  # evaluations without a new best before it stops early; 0: never
    checkpoint_minutes: float = 2.0
    trackers: tuple[str, ...] = ()  # tensorboard, wandb, trackio


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The training begins (or goes on at `step`)."""

    step: int
    steps_per_epoch: int
    trained_parameters: int
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A held-out loss in nats per loss token, and whether it is the lowest so far."""

    step: int
    heldout_loss: float
    is_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The training is over. `reason`: finished, early (no progress any more) or stopped (resumable).

    `card` is the model's in the catalog; None where it was stopped before it was better than what it began with.
    """

    reason: str
    card: Card | None
    seconds: float


Event = Started | Step | Evaluated | Finished
