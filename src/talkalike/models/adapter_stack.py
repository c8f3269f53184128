"""Adapters of one shape, stacked: for each layer one tensor of all their `down` matrices and one of all their `up`.

Tokens that belong to different adapters are then one batched product over the first slots of the stack: no weight is
copied for it, and no layer is called once for each adapter. That needs those adapters in front, so they change places
now and then. Source of the idea: Chen et al. 2023, Punica (arXiv:2310.18547), which gathers them in a GPU's kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from talkalike.models.lora_pairs import LoraPairs
from talkalike.models.role_lora import Layer

_SPARE = 2  # slots between those in use that are computed in vain rather than moved away, or a quarter of them


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What adapters have in common that can lie in one stack."""

    rank: int
    layers: frozenset[str]

    @classmethod
    def of(cls, pairs: LoraPairs) -> AdapterShape:
        """The shape of these matrices; of rank 0 where there are none."""
        rank = next((down_RI.shape[0] for down_RI in pairs.down.values()), 0)
        return cls(rank, frozenset(pairs.down))

    def nbytes(self, layers: Mapping[str, Layer], dtype: torch.dtype) -> int:
        """Bytes of one adapter in memory."""
        return dtype.itemsize * self.rank * sum(layers[name].inputs + layers[name].outputs for name in self.layers)


class AdapterStack:
    """Adapters in slots. `room`: slots that are reserved at first; a CPU's memory is taken when one is written to."""

    def __init__(
        self, layers: Mapping[str, Layer], shape: AdapterShape, *, room: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.down: dict[str, Tensor] = {}  # (slots, rank, inputs)
        self.up: dict[str, Tensor] = {}  # (slots, outputs, rank)
        self._slots: dict[str, int] = {}
        self._names: list[str] = []  # by slot
        self._written = 0  # slots that hold memory
        self._matrices: dict[int, dict[str, tuple[Tensor, Tensor]]] = {}  # views, by slot
        for name in sorted(shape.layers):
            layer = layers[name]
            self.down[name] = torch.empty(room, shape.rank, layer.inputs, dtype=dtype, device=device)
            self.up[name] = torch.empty(room, layer.outputs, shape.rank, dtype=dtype, device=device)

    def __len__(self) -> int:
        return len(self._names)

    def slot(self, name: str) -> int:
        return self._slots[name]

    def matrices(self, slot: int) -> dict[str, tuple[Tensor, Tensor]]:
        """For each layer the two factors of the slot's update, (inputs, rank) and (rank, outputs)."""
        if slot not in self._matrices:
            self._matrices[slot] = {name: (self.down[name][slot].T, self.up[name][slot].T) for name in self.down}
        return self._matrices[slot]

    def append(self, name: str, pairs: LoraPairs) -> None:
        """Takes an adapter in, its scale multiplied into `up`."""
        slot, room = len(self._names), len(next(iter(self.down.values())))
        if slot == room:
            self._move_to_tensors_of(room + max(4, room // 4))
        for layer in self.down:
            self.down[layer][slot] = pairs.down[layer].to(self.down[layer].dtype)
            self.up[layer][slot] = (pairs.up[layer].float() * pairs.scale * pairs.factor).to(self.up[layer].dtype)
        self._names.append(name)
        self._slots[name] = slot
        self._written = max(self._written, slot + 1)

    def remove(self, name: str) -> None:
        """Frees the adapter's slot; what is left moves together, into less memory where much was freed."""
        last = len(self._names) - 1
        self._swap(self._slots[name], last)
        self._names.pop()
        del self._slots[name]
        if 2 * len(self._names) < self._written:
            self._move_to_tensors_of(len(next(iter(self.down.values()))))
            self._written = len(self._names)

    def bring_forward(self, names: Collection[str]) -> None:
        """Moves adapters until these are in front, with few others between them."""
        wanted = {self._slots[name] for name in names}
        if max(wanted) + 1 - len(wanted) <= max(_SPARE, len(wanted) // 4):
            return
        free = [slot for slot in range(len(wanted)) if slot not in wanted]
        for slot, place in zip((slot for slot in sorted(wanted) if slot >= len(wanted)), free, strict=True):
            self._swap(slot, place)

    def _swap(self, one: int, other: int) -> None:
        if one == other:
            return
        for stacked in (*self.down.values(), *self.up.values()):
            kept = stacked[one].clone()
            stacked[one] = stacked[other]
            stacked[other] = kept
        self._names[one], self._names[other] = self._names[other], self._names[one]
        self._slots[self._names[one]], self._slots[self._names[other]] = one, other

    def _move_to_tensors_of(self, room: int) -> None:
        """Layer by layer, so that only one is held twice."""
        self._matrices.clear()  # they would keep the tensors of before
        for stacked in (self.down, self.up):
            for layer, before in stacked.items():
                after = before.new_empty(room, *before.shape[1:])
                after[: len(self._names)] = before[: len(self._names)]
                stacked[layer] = after
