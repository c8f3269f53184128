"""Settings of a training of an eye. Imports no torch, so that commands can read it early."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.training.values import LoopSettings

EYE_METHODS = ("connector", "gated")
EYE_LEARNING_RATE = 2e-3
EYE_PROMPT = "Output:"  # between a picture and its answer, as in the tasks that are shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeConfig:
    """Settings of one training of an eye. `pairs`: what it learns from, as it was named."""

    name: str  # of the eye that comes out
    base: str
    pairs: str
    loop: LoopSettings
    method: str = "connector"
    prompt: str = EYE_PROMPT
    tokens: int = 16  # that a picture becomes, or latents that are looked at
    dtype: str = "auto"
    device: str = "auto"
    evaluations: int = 8
    patience: int = 3  # evaluations without a new best before it stops early; 0: never
    checkpoint_minutes: float = 2.0
