"""Settings of what is trained of a model. Imports no torch, so that commands can read it early."""

from __future__ import annotations

from dataclasses import dataclass

METHODS = ("lora", "dora", "full", "last-n", "prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Which parameters of the model are trained."""

    method: str = "lora"
    rank: int = 16  # LoRA and DoRA: rank of the update; alpha is twice the rank (a common choice, scaling 2)
    last_layers: int = 4  # last-n: how many blocks from the end, with the final norm
    prompt_length: int = 32  # prompt: how many soft tokens
