"""Bases kept in 8 or 4 bits instead of 16: a third of the memory, somewhat less sure of their words, slower on a CPU.

bitsandbytes does it while a base is loaded; what is on the disk stays as it is. 8 bits: LLM.int8 (Dettmers et al. 2022,
arXiv:2208.07339). 4 bits: NF4 with its scales quantised again, as in QLoRA (Dettmers et al. 2023, arXiv:2305.14314).
Only the blocks' linear layers are quantised; embeddings and head keep their numbers. Adapters are served beside such
layers, unmerged: a sum would be rounded to those few bits, and the double with it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from talkalike.errors import MissingExtraError, UserError

_OURS = "bitsandbytes"


def quantization_config(folder: Path, quantize: str, *, dtype: torch.dtype, device: torch.device) -> Any:
    """How transformers is told to quantise the base in `folder`; None where it is to stay as it is on the disk.

    `dtype`: the format that is computed in. Raises UserError where this cannot be had here.
    """
    stored = stored_quantization(folder)
    if stored not in {"", _OURS}:
        raise UserError(
            f"The base in {folder} is stored quantised ({stored}), which cannot be trained or served here.",
            hint="Choose the model that it was made from, and set quantize = '4bit' in [model].",
        )
    if quantize == "none" and not stored:
        return None
    if quantize not in {"none", "8bit", "4bit"}:
        raise UserError(f"Unknown quantize '{quantize}'.", hint="Choose none, 8bit or 4bit.")
    if find_spec(_OURS) is None:
        raise MissingExtraError(_OURS, extra="quantize", purpose="A quantised base")
    if device.type == "mps":
        raise UserError("A base cannot be quantised on Apple's GPU.", hint="Set quantize = 'none' in [model].")
    if stored:
        return None  # its own configuration says how
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def few_bits(network: PreTrainedModel) -> str:
    """In how many bits the network's linear layers are kept, "8bit" or "4bit"; "" where they are not quantised."""
    if not getattr(network, "is_quantized", False):
        return ""
    return "8bit" if network.config.quantization_config.load_in_8bit else "4bit"


def keep_unpacked(network: PreTrainedModel) -> None:
    """Keeps the layers from being packed for bfloat16 products when they are first used in eval mode on a CPU.

    bitsandbytes does that for good. Packed layers are faster; but they have no gradients (and a training is evaluated
    before its first step), their weights cannot be read by DoRA, and they round to bfloat16.
    """
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def stored_quantization(folder: Path) -> str:
    """By what the weights on the disk were quantised (gptq, awq, bitsandbytes, ...); "" where they were not."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str((config.get("quantization_config") or {}).get("quant_method", ""))
    except (OSError, ValueError, AttributeError):
        return ""
