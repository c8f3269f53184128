"""Settings of what is trained of a model. Imports no torch, so that commands can read it early."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.errors import UserError

METHODS = ("lora", "dora", "full", "last-n", "prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Which parameters of the model are trained."""

    method: str = "lora"
    rank: int = 16  # LoRA and DoRA: rank of the update; alpha is twice the rank (a common choice, scaling 2)
    last_layers: int = 4  # last-n: how many blocks from the end, with the final norm
    prompt_length: int = 32  # prompt: how many soft tokens


def refuse_quantized(method: str, bits: str) -> None:
    """Raises UserError for a method that a base kept in so many bits ("8bit" or "4bit") cannot be trained by."""
    if method == "dora" and bits == "8bit":
        raise UserError(
            "The method 'dora' measures the base's weights, which 8 bits do not allow.",
            hint="Train with --method lora, or set quantize = '4bit' in [model].",
        )
    if method in {"full", "last-n"}:
        raise UserError(
            f"The method '{method}' trains the base's own weights, and those of a quantised base are too coarse.",
            hint="Train with --method lora, or set quantize = 'none' in [model].",
        )
