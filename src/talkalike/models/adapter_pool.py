"""Many adapters beside one network: in a row of tokens each stretch gets the update of its own double.

The network's weights stay the base's. Stretches of the same adapter lie side by side and are one product; single
tokens of different adapters (replies that are being written) are one batched product (`adapter_stack`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.models.adapter_stack import AdapterShape, AdapterStack
from talkalike.models.lora_pairs import LoraPairs
from talkalike.models.role_lora import adapted_layers, attach

_BATCH = 3  # single tokens of so many adapters are one batched product; of fewer, one product each


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Tokens that follow each other in a row and belong to one adapter ("": to the base alone)."""

    adapter: str
    length: int
    kept: int  # of them, at the end, those whose logits are wanted


class AdapterPool:
    """The adapters that are in memory, at most `max_bytes` of them; the least recently used make room for others.

    Used by one thread.
    """

    def __init__(self, network: PreTrainedModel, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.layers = adapted_layers(network)
        self.nbytes = 0  # of the adapters in memory
        self._dtype, self._device = network.dtype, network.device
        self._stacks: dict[AdapterShape, AdapterStack] = {}
        self._shapes: OrderedDict[str, AdapterShape] = OrderedDict()  # the one used last stands last
        self._held: dict[str, int] = {}  # how many replies are being written with it
        self._parts: dict[int, list[_Part]] | None = None  # by the number of rows that a layer is given
        self._everywhere: _Part | None = None
        attach(self.layers, self)

    def __contains__(self, adapter: str) -> bool:
        return adapter in self._shapes

    def __len__(self) -> int:
        return len(self._shapes)

    def size(self, shape: AdapterShape) -> int:
        """Bytes that an adapter of this shape takes here."""
        return shape.nbytes(self.layers, self._dtype)

    def put(self, adapter: str, pairs: LoraPairs) -> bool:
        """Takes an adapter in; False where all the others are in use and leave no room for it."""
        if adapter in self._shapes:
            return True
        shape = AdapterShape.of(pairs)
        needed, idle = self.size(shape), [name for name in self._shapes if name not in self._held]
        if self.nbytes + needed - sum(self.size(self._shapes[name]) for name in idle) > self.max_bytes:
            return False
        while self.nbytes + needed > self.max_bytes:
            self._remove(idle.pop(0))
        if shape not in self._stacks:
            room = self.max_bytes // needed if self._device.type == "cpu" else 4
            self._stacks[shape] = AdapterStack(self.layers, shape, room=room, dtype=self._dtype, device=self._device)
        self._stacks[shape].append(adapter, pairs)
        self._shapes[adapter] = shape
        self.nbytes += needed
        return True

    def hold(self, adapter: str) -> None:
        """Keeps an adapter that is here until it is released as often."""
        self._held[adapter] = self._held.get(adapter, 0) + 1
        self._shapes.move_to_end(adapter)

    def release(self, adapter: str) -> None:
        self._held[adapter] -= 1
        if not self._held[adapter]:
            del self._held[adapter]

    @contextmanager
    def use(self, stretches: Sequence[Stretch]) -> Iterator[None]:
        """Within it, the network computes a row of these stretches; those of one adapter have to be side by side."""
        self._parts = {}
        try:
            whole = [(each.adapter, each.length) for each in stretches]
            kept = [(each.adapter, each.kept) for each in stretches]
            for shape, rows in self._singles(kept).items():  # those of the whole row are among them
                if len(rows) >= _BATCH:
                    self._stacks[shape].bring_forward(rows)
            for owners in (whole, kept):
                self._parts[sum(length for _, length in owners)] = self._plan(owners)
            yield
        finally:
            self._parts = None

    @contextmanager
    def use_everywhere(self, adapter: str) -> Iterator[None]:
        """Within it, every row that the network computes is this adapter's ("": the base's)."""
        if adapter:
            self._everywhere = _Stretch(self._stack(adapter), self._stack(adapter).slot(adapter), 0, None)
        try:
            yield
        finally:
            self._everywhere = None

    def add(self, layer: str, inputs: Tensor, output: Tensor) -> None:
        """Adds to the layer's output, in place, what each row's adapter says."""
        if self._parts is None and self._everywhere is None:
            return
        rows_TI, rows_TO = inputs.reshape(-1, inputs.shape[-1]), output.view(-1, output.shape[-1])
        parts = [self._everywhere] if self._everywhere else cast(dict[int, list[_Part]], self._parts)[len(rows_TI)]
        for part in parts:
            part.add(layer, rows_TI, rows_TO)

    def _plan(self, owners: Sequence[tuple[str, int]]) -> list[_Part]:
        """What is to be computed for a row whose places belong to these adapters."""
        parts: list[_Part] = [
            _Stretch(self._stack(adapter), self._stack(adapter).slot(adapter), start, stop)
            for adapter, start, stop in _stretches(owners)
            if stop - start > 1
        ]
        for shape, rows in self._singles(owners).items():
            stack = self._stacks[shape]
            if len(rows) >= _BATCH:
                parts.append(_batch(stack, rows))
            else:
                parts += [_Stretch(stack, stack.slot(adapter), row, row + 1) for adapter, row in rows.items()]
        return parts

    def _singles(self, owners: Sequence[tuple[str, int]]) -> dict[AdapterShape, dict[str, int]]:
        """The adapters that have one row, by their shape: which row."""
        found: dict[AdapterShape, dict[str, int]] = {}
        for adapter, start, stop in _stretches(owners):
            if stop - start == 1:
                found.setdefault(self._shapes[adapter], {})[adapter] = start
        return found

    def _stack(self, adapter: str) -> AdapterStack:
        return self._stacks[self._shapes[adapter]]

    def _remove(self, adapter: str) -> None:
        shape = self._shapes.pop(adapter)
        self.nbytes -= self.size(shape)
        self._stacks[shape].remove(adapter)
        if not len(self._stacks[shape]):
            del self._stacks[shape]


def _stretches(owners: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    """Each adapter with the rows from where to where it has; the base's own rows are left out."""
    start = 0
    for adapter, of_it in groupby(owners, key=lambda owner: owner[0]):
        stop = start + sum(length for _, length in of_it)
        if adapter:
            yield adapter, start, stop
        start = stop


class _Part(Protocol):
    """Some rows of a pass, with the adapters that they belong to."""

    def add(self, layer: str, inputs_TI: Tensor, outputs_TO: Tensor) -> None: ...


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of one adapter."""

    stack: AdapterStack
    slot: int
    start: int
    stop: int | None

    def add(self, layer: str, inputs_TI: Tensor, outputs_TO: Tensor) -> None:
        factors = self.stack.matrices(self.slot).get(layer)
        if factors is not None:
            down_IR, up_RO = factors
            outputs_TO[self.start : self.stop].addmm_(inputs_TI[self.start : self.stop] @ down_IR, up_RO)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A row each of N adapters, which are among the first S of their stack."""

    stack: AdapterStack
    rows_N: Tensor
    slots_N: Tensor
    rows_S: Tensor  # the row of each slot; any where the slot has none

    def add(self, layer: str, inputs_TI: Tensor, outputs_TO: Tensor) -> None:
        if layer not in self.stack.down:
            return
        window = len(self.rows_S)
        down_SRI, up_SOR = self.stack.down[layer][:window], self.stack.up[layer][:window]
        small_S1R = torch.bmm(inputs_TI.index_select(0, self.rows_S)[:, None], down_SRI.transpose(1, 2))
        if up_SOR.dtype is torch.float32:
            updates_SO = torch.bmm(small_S1R, up_SOR.transpose(1, 2))[:, 0]
        else:  # in bfloat16 the other way round takes half the time on a CPU
            updates_SO = torch.bmm(up_SOR, small_S1R.transpose(1, 2))[:, :, 0]
        outputs_TO.index_add_(0, self.rows_N, updates_SO.index_select(0, self.slots_N))


def _batch(stack: AdapterStack, rows: dict[str, int]) -> _Batch:
    device = next(iter(stack.down.values())).device
    slots_N = torch.tensor([stack.slot(adapter) for adapter in rows], device=device)
    rows_N = torch.tensor(list(rows.values()), device=device)
    rows_S = torch.zeros(int(slots_N.max()) + 1, dtype=torch.long, device=device)
    rows_S[slots_N] = rows_N
    return _Batch(stack, rows_N, slots_N, rows_S)
