"""Low-rank updates beside linear layers, several of which may belong to the same layer. PEFT's format on disk.

Source: Hu et al. 2021, LoRA (arXiv:2106.09685). The layer's own weights are never touched, and the product of the two
small matrices is never formed: an update of rank r costs r / width of the layer's work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from peft import LoraConfig
from peft.utils import TaskType
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from talkalike.models.adapter_config import ADAPTER_WEIGHTS
from talkalike.models.lora_pairs import PREFIX, LoraPairs
from talkalike.models.placement import execution_device
from talkalike.models.reordered import ReorderedLinear


class Updates(Protocol):
    """What is added beside a network's layers: by a role that is trained, or for the doubles in a row."""

    def add(self, layer: str, inputs: Tensor, output: Tensor) -> Tensor | None:
        """The layer's output with its update, or None where the output stays the same tensor."""
        ...


@dataclass(slots=True)
class ActiveRole:
    """Adds the update of the role that is named, to every row; None: no update."""

    roles: Mapping[str, LoraPairs]
    role: str | None = None

    def add(self, layer: str, inputs: Tensor, output: Tensor) -> Tensor | None:
        """The sum, which gradients pass through."""
        pairs = self.roles.get(self.role or "")
        if pairs is None:
            return None
        down, up = pairs.down[layer], pairs.up[layer]
        update = F.linear(F.linear(inputs.to(down), down), up) * (pairs.scale * pairs.factor)
        return output + update.to(output)


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer that updates may be added to. `flipped`: GPT-2's, which keeps its weight as (in, out)."""

    module: nn.Module
    inputs: int
    outputs: int
    flipped: bool = field(default=False)


def adapted_layers(network: PreTrainedModel) -> dict[str, Layer]:
    """Every linear layer but the vocabulary head, by name."""
    head = network.get_output_embeddings()
    layers: dict[str, Layer] = {}
    for name, module in network.named_modules():
        if module is head:
            continue
        if isinstance(module, nn.Linear | ReorderedLinear):
            layers[name] = Layer(module, module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            layers[name] = Layer(module, module.weight.shape[0], module.weight.shape[1], flipped=True)
    return layers


def new_pairs(layers: Mapping[str, Layer], *, rank: int, seed: int, device: torch.device) -> LoraPairs:
    """An update of zero: `down` is random as in PEFT, `up` zero; scaling 2 as everywhere here."""
    generator = torch.Generator().manual_seed(seed)
    down, up = {}, {}
    for name, layer in layers.items():
        bound = 1 / math.sqrt(layer.inputs)  # kaiming_uniform with a = sqrt(5)
        drawn = torch.rand(rank, layer.inputs, generator=generator) * 2 * bound - bound
        down[name] = nn.Parameter(drawn.to(device))
        up[name] = nn.Parameter(torch.zeros(layer.outputs, rank, device=device))
    return LoraPairs(cast(dict[str, Tensor], down), cast(dict[str, Tensor], up), 2.0)


def attach(layers: Mapping[str, Layer], updates: Updates) -> None:
    """Makes every layer add its update to its output."""
    for name, layer in layers.items():
        layer.module.register_forward_hook(_hook(name, updates))


def attach_beside(network: PreTrainedModel, pairs: LoraPairs, *, dtype: torch.dtype) -> None:
    """Makes the network add this update for good, in this format, where its weights cannot take it up themselves."""
    layers = {name: layer for name, layer in adapted_layers(network).items() if name in pairs.down}
    for name, layer in layers.items():
        device = execution_device(layer.module)
        pairs.down[name], pairs.up[name] = pairs.down[name].to(device, dtype), pairs.up[name].to(device, dtype)
    attach(layers, ActiveRole({"double": pairs}, "double"))


def _hook(layer: str, updates: Updates) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
    def add_update(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return updates.add(layer, inputs[0], output)

    return add_update


def write_pairs(pairs: LoraPairs, folder: Path, *, base: str, layers: Mapping[str, Layer]) -> None:
    """Writes an adapter that PEFT (and `load_for_inference`) can load."""
    rank = next(iter(pairs.down.values())).shape[0]
    LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=rank,
        lora_alpha=round(pairs.scale * rank) if pairs.scale * rank == round(pairs.scale * rank) else pairs.scale * rank,
        target_modules=_targets(list(pairs.down), list(layers)),
        fan_in_fan_out=any(layers[name].flipped for name in pairs.down),
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    tensors = {
        f"{PREFIX}{name}.weight": value.detach().cpu().contiguous() for name, value in pairs.named_tensors().items()
    }
    if pairs.factor != 1.0:
        ups = (name for name in tensors if name.endswith(".lora_B.weight"))
        tensors |= {name: tensors[name] * pairs.factor for name in ups}
    save_file(tensors, folder / ADAPTER_WEIGHTS)


def _targets(names: Sequence[str], all_layers: Sequence[str]) -> list[str]:
    """The names' last parts where they mean exactly these layers, else the whole names."""
    ends = {name.rpartition(".")[2] for name in names}
    meant = {name for name in all_layers if name.rpartition(".")[2] in ends}
    return sorted(ends) if meant == set(names) else sorted(names)
