"""Low-rank updates beside linear layers, several of which may belong to the same layer. PEFT's format on disk.

Source: Hu et al. 2021, LoRA (arXiv:2106.09685). The layer's own weights are never touched, and the product of the two
small matrices is never formed: an update of rank r costs r / width of the layer's work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from peft import LoraConfig
from peft.utils import TaskType
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from talkalike.models.load import ADAPTER_WEIGHTS, adapter_config

_PREFIX = "base_model.model."  # PEFT's


@dataclass(slots=True)
class Switch:
    """Names the role whose update is added; None: no update."""

    role: str | None = None


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
        if isinstance(module, nn.Linear):
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


def attach(layers: Mapping[str, Layer], switch: Switch, roles: Mapping[str, LoraPairs]) -> None:
    """Makes every layer add the update of the role that the switch names."""
    for name, layer in layers.items():
        layer.module.register_forward_hook(_hook(name, switch, roles))


def _hook(
    layer: str, switch: Switch, roles: Mapping[str, LoraPairs]
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
    def add_updates(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        pairs = roles.get(switch.role or "")
        return None if pairs is None else output + _update(inputs[0], pairs, layer, output.dtype)

    return add_updates


def _update(inputs: Tensor, pairs: LoraPairs, layer: str, dtype: torch.dtype) -> Tensor:
    down, up = pairs.down[layer], pairs.up[layer]
    return (F.linear(F.linear(inputs.to(down.dtype), down), up) * (pairs.scale * pairs.factor)).to(dtype)


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


def read_pairs(folder: Path) -> LoraPairs | None:
    """An adapter in PEFT's format; None for one that is not a plain LoRA with one scale (DoRA, say)."""
    config = adapter_config(folder)
    odd = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save")
    if config.get("peft_type") != "LORA" or any(config.get(key) for key in odd):
        return None
    down, up = {}, {}
    for key, tensor in load_file(folder / ADAPTER_WEIGHTS).items():
        name = key.removeprefix(_PREFIX)
        if name.endswith(".lora_A.weight"):
            down[name.removesuffix(".lora_A.weight")] = tensor
        elif name.endswith(".lora_B.weight"):
            up[name.removesuffix(".lora_B.weight")] = tensor
        else:
            return None
    return LoraPairs(down, up, float(config["lora_alpha"]) / int(config["r"]))


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
        f"{_PREFIX}{name}.weight": value.detach().cpu().contiguous() for name, value in pairs.named_tensors().items()
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
