"""Low-rank updates in PEFT's format on disk.

Source: Hu et al. 2021, LoRA (arXiv:2106.09685).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from talkalike.models.adapter_config import ADAPTER_WEIGHTS, adapter_config, why_no_plain_lora

SOFT_PROMPT_KEY = "prompt_embeddings"  # PEFT's name for prompt tuning's weights
PREFIX = "base_model.model."  # of the names of all weights but those


@dataclass(slots=True)
class LoraPairs:
    """One update: for each layer `down` (rank, in) and `up` (out, rank); the update is factor * scale * up @ down."""

    down: dict[str, Tensor]
    up: dict[str, Tensor]
    scale: float
    factor: float = 1.0  # how much of what was trained is added; not on disk, where `up` is multiplied by it

    def named_tensors(self) -> dict[str, Tensor]:
        return {f"{layer}.{part}": pair[layer] for layer in self.down for part, pair in self._parts()}

    def update(self, layer: str) -> Tensor:
        """The layer's update as a matrix (out, in), float32."""
        return self.factor * self.scale * (self.up[layer].detach().float() @ self.down[layer].detach().float())

    def _parts(self) -> tuple[tuple[str, dict[str, Tensor]], ...]:
        return ("lora_A", self.down), ("lora_B", self.up)


def read_pairs(folder: Path) -> LoraPairs | None:
    """An adapter in PEFT's format; None for one that is not a plain LoRA with one scale (DoRA, say)."""
    config = adapter_config(folder)
    if why_no_plain_lora(config):
        return None
    down, up = {}, {}
    for key, tensor in load_file(folder / ADAPTER_WEIGHTS).items():
        name = key.removeprefix(PREFIX)
        if name.endswith(".lora_A.weight"):
            down[name.removesuffix(".lora_A.weight")] = tensor
        elif name.endswith(".lora_B.weight"):
            up[name.removesuffix(".lora_B.weight")] = tensor
        else:
            return None
    return LoraPairs(down, up, float(config["lora_alpha"]) / int(config["r"]))


def concatenate(first: LoraPairs, second: LoraPairs) -> LoraPairs:
    """One update that is the sum of both: ranks add up, and the first one's scale moves into its `up`."""
    down, up = {}, {}
    for layer in second.down.keys() | first.down.keys():
        downs, ups = [], []
        for pairs, factor in ((first, first.factor * first.scale / second.scale), (second, second.factor)):
            example = second if layer in second.down else first
            width_in, width_out = example.down[layer].shape[1], example.up[layer].shape[0]
            rank = max(tensor.shape[0] for tensor in pairs.down.values())
            known = layer in pairs.down
            a = pairs.down[layer].detach().float().cpu() if known else torch.zeros(0, width_in)
            b = pairs.up[layer].detach().float().cpu() * factor if known else torch.zeros(width_out, 0)
            missing = rank - a.shape[0]  # a layer that the other update left out, or gave a lower rank
            downs.append(F.pad(a, (0, 0, 0, missing)))
            ups.append(F.pad(b, (0, missing)))
        down[layer], up[layer] = torch.cat(downs), torch.cat(ups, dim=1)
    return LoraPairs(down, up, second.scale)
