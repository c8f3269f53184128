"""Which adapters can stay beside their base, unmerged, and their weights once they are wanted.

What cannot is refused with the reason before anything is loaded. A file that is damaged is found out when it is read,
by the one reply that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from talkalike.errors import UserError
from talkalike.models.adapter_config import ADAPTER_WEIGHTS, adapter_config, why_no_plain_lora
from talkalike.models.adapter_stack import AdapterShape
from talkalike.models.lora_pairs import PREFIX, LoraPairs, read_pairs
from talkalike.models.role_lora import Layer
from talkalike.workspace.cards import Card

_ENDS = {".lora_A.weight": "down", ".lora_B.weight": "up"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmerged:
    """A double that can be added to its base while it runs. `key` tells it from one trained again under its name."""

    name: str
    folder: Path
    key: str
    speakers: tuple[str, ...]
    shape: AdapterShape


def find_unmerged(card: Card, folder: Path, *, base: str, layers: Mapping[str, Layer]) -> Unmerged:
    """The double of this card beside a base with these layers. Raises UserError where it can't stay unmerged."""
    if card.kind != "adapter":
        raise _refused(card.name, "it is a whole model of its own")
    if card.base != base:
        raise _refused(card.name, f"it was trained on '{card.base}', not on '{base}'")
    try:
        why = why_no_plain_lora(adapter_config(folder))
        if why:
            raise _refused(card.name, why)
        state = (folder / ADAPTER_WEIGHTS).stat()
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, ValueError, SafetensorError) as problem:
        raise _damaged(card.name, folder, problem) from None
    return Unmerged(
        name=card.name,
        folder=folder,
        key=f"{card.name}:{state.st_mtime_ns}:{state.st_size}",
        speakers=card.speakers,
        shape=_shape(card.name, shapes, layers),
    )


def read_unmerged(double: Unmerged) -> LoraPairs:
    """Its weights, on the CPU. Raises UserError for a file that is damaged, or was replaced meanwhile."""
    try:
        pairs = read_pairs(double.folder)
    except (OSError, ValueError, KeyError, SafetensorError) as problem:
        raise _damaged(double.name, double.folder, problem) from None
    if pairs is None or AdapterShape.of(pairs) != double.shape:
        raise UserError(f"The double '{double.name}' was replaced a moment ago.", hint="Ask again.")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in pairs.named_tensors().values()):
        raise _damaged(double.name, double.folder, "it holds numbers that are none")
    return pairs


def _shape(name: str, shapes: Mapping[str, tuple[int, ...]], layers: Mapping[str, Layer]) -> AdapterShape:
    """The shape, where every layer's two matrices are there and fit the base's layer."""
    found: dict[str, dict[str, tuple[int, ...]]] = {"down": {}, "up": {}}
    for key, shape in shapes.items():
        end = next((end for end in _ENDS if key.endswith(end)), None)
        layer = key.removeprefix(PREFIX).removesuffix(end or "")
        if end is None or layer not in layers:
            raise _refused(name, f"it changes '{key.removeprefix(PREFIX)}', where nothing can be added while it runs")
        found[_ENDS[end]][layer] = shape
    ranks = {shape[0] for shape in found["down"].values() if shape}
    rank = min(ranks, default=0)
    wanted_down = {layer: (rank, layers[layer].inputs) for layer in found["up"]}
    wanted_up = {layer: (layers[layer].outputs, rank) for layer in found["down"]}
    if not rank or found["down"] != wanted_down or found["up"] != wanted_up:
        raise _refused(name, "its matrices do not fit the layers of this base, which is another one by the same name")
    return AdapterShape(rank, frozenset(found["down"]))


def _refused(name: str, why: str) -> UserError:
    return UserError(
        f"'{name}' cannot share its base with other doubles: {why}.",
        hint=f"Serve it by itself (--model {name}), or set adapters_mb = 0 in [serve]: each has its own base then.",
    )


def _damaged(name: str, folder: Path, problem: object) -> UserError:
    first_line = str(problem).strip().split("\n")[0][:200]
    return UserError(
        f"The adapter of '{name}' in {folder} is damaged or cut off ({first_line}).",
        hint="Delete that folder, then train the double again.",
    )
