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


def merge_pairs(network: PreTrainedModel, pairs: LoraPairs, stored: StoredWeights) -> None:
    """Adds the update to the network's weights, which keep their format."""
    with torch.no_grad():
        for layer in pairs.down:
            module: nn.Module = network.get_submodule(layer)
            weight: Any = module.weight
            update = pairs.update(layer).to(weight.device)
            exact = stored.read(f"{layer}.weight").to(weight.device).float()
            weight.copy_(exact + (update.T if isinstance(module, Conv1D) else update))
