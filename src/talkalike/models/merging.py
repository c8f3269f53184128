"""An adapter's update added to a base's weights, one weight at a time, so that no second copy of the base is held.

Each sum is taken in float32, with the base's weight as it lies on disk, and rounded once to the format that is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from talkalike.errors import UserError
from talkalike.models.lora_pairs import LoraPairs


class StoredWeights:
    """The weights of a model folder, read from disk one at a time."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self._files = files  # the open file of each weight

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[StoredWeights]:
        """The weights while the files are open."""
        with ExitStack() as stack:
            found: dict[str, Any] = {}
            for file in sorted(folder.glob("*.safetensors")):
                opened = stack.enter_context(safe_open(file, framework="pt"))
                found |= dict.fromkeys(opened.keys(), opened)
            yield cls(found)

    def have(self, pairs: LoraPairs) -> bool:
        """Whether all weights that the update belongs to lie here, under the names that the network has for them."""
        formats = {"F32", "F16", "BF16"}
        names = [f"{layer}.weight" for layer in pairs.down]
        return all(name in self._files and self._files[name].get_slice(name).get_dtype() in formats for name in names)

    def read(self, name: str) -> Tensor:
        """A weight as it is stored."""
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


def check_fits(pairs: LoraPairs, network: PreTrainedModel, *, folder: Path, base_folder: Path) -> None:
    """Raises UserError where the update in `folder` belongs to another network than that of `base_folder`."""
    modules = dict(network.named_modules())
    for layer, down in pairs.down.items():
        module: Any = modules.get(layer)
        if isinstance(module, nn.Linear):
            widths = (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            widths = tuple(module.weight.shape)
        else:
            raise does_not_fit(folder, base_folder)
        if widths != (down.shape[1], pairs.up[layer].shape[0]):
            raise does_not_fit(folder, base_folder)


def does_not_fit(folder: Path, base_folder: Path) -> UserError:
    """The error for an adapter that is put on a base it was not made for."""
    return UserError(
        f"The adapter {folder} does not fit the base {base_folder}: it was made for another model.",
        hint="Put back the base that it was trained on, or train the double again on this one.",
    )


def merge_pairs(network: PreTrainedModel, pairs: LoraPairs, stored: StoredWeights) -> None:
    """Adds the update to the network's weights, which keep their format."""
    with torch.no_grad():
        for layer in pairs.down:
            module: nn.Module = network.get_submodule(layer)
            weight: Any = module.weight
            update = pairs.update(layer).to(weight.device)
            exact = stored.read(f"{layer}.weight").to(weight.device).float()
            weight.copy_(exact + (update.T if isinstance(module, Conv1D) else update))
