"""The tensors in a run's folder, as safetensors: values of parameters, and all that a resumed training needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from talkalike.models.adapters import Trainable, disk_errors
from talkalike.workspace.files import replacing


def save_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes these tensors to the file, replacing it in one step that survives a crash."""
    with disk_errors(), replacing(file) as temporary:
        save_file(dict(tensors), temporary)


def copies(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, by name."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in named.items()}


def assign(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Puts these values into the parameters of the same names."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def checkpoint_tensors(trainable: Trainable, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Trained tensors and Adam's state, flat by name."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainable.parameters.items():
        tensors[f"value/{name}"] = parameter.detach().cpu().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.detach().cpu().contiguous()
    return tensors


def restore_tensors(trainable: Trainable, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `checkpoint_tensors` returned."""
    for name, parameter in trainable.parameters.items():
        parameter.data.copy_(tensors[f"value/{name}"])
    for label, tensor in tensors.items():
        key, _, name = label.partition("/")
        if key != "value":
            parameter = trainable.parameters[name]
            # Adam counts steps on the CPU unless fused on a GPU, where the count lives beside the weights.
            optimizer.state[parameter][key] = tensor.to(parameter.device if tensor.ndim or _fused(optimizer) else "cpu")


def _fused(optimizer: torch.optim.Optimizer) -> bool:
    return bool(optimizer.param_groups[0].get("fused"))
