"""The tensors in a run's folder: the best state so far, and all that a resumed training needs. Safetensors only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from talkalike.models.adapters import Trainable, disk_errors
from talkalike.workspace.files import replacing
from talkalike.workspace.run_folder import RunFolder

_TENSORS = "tensors.safetensors"


def save_best(run: RunFolder, tensors: Mapping[str, Tensor]) -> None:
    """Keeps the trained tensors with the lowest held-out loss so far."""
    with disk_errors(), replacing(run.best_file) as temporary:
        save_file(dict(tensors), temporary)


def load_best(run: RunFolder) -> dict[str, Tensor] | None:
    """The tensors that `save_best` kept."""
    return load_file(run.best_file) if run.best_file.is_file() else None


def copies(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, by name."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in named.items()}


def assign(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Puts these values into the parameters of the same names."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def save_checkpoint(
    run: RunFolder, trainable: Trainable, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Writes all that a resumed training needs; older checkpoints go once this one is complete."""
    folder = run.new_checkpoint(int(state["step"]))
    with disk_errors(), replacing(folder / _TENSORS) as temporary:
        save_file(checkpoint_tensors(trainable, optimizer), temporary)
    run.complete_checkpoint(folder, state)


def load_checkpoint(run: RunFolder, trainable: Trainable, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restores the newest complete checkpoint and returns its state; None if there is none."""
    found = run.newest_checkpoint()
    if found is None:
        return None
    folder, state = found
    restore_tensors(trainable, optimizer, load_file(folder / _TENSORS))
    return state


def checkpoint_tensors(trainable: Trainable, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Trained tensors and Adam's state, flat by name."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainable.parameters.items():
        tensors[f"value/{name}"] = parameter.detach().cpu().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.detach().cpu().contiguous()
    return tensors


def restore_tensors(trainable: Trainable, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `checkpoint_tensors`."""
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
