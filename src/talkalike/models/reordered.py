"""Linear layers whose weights lie in the order in which the CPU's kernels read them, for models that only reply.

torch's own layer leaves that order to each call: a token at a time, it then reads a third of what the memory gives.
The products are the same, their sums come in another order. The layers cannot be trained, merged or saved.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from talkalike.models.placement import is_spread

_GAIN_WORTH_TAKING = 1.1
_WIDTH, _HEIGHT = 576, 1536  # of the matrices that are tried
_MATRICES = 24  # together more than a processor's cache: a token reads each weight once, from memory
_KERNELS: Any = torch.ops.mkldnn  # torch ships no types for it


class ReorderedLinear(nn.Module):
    """Stands where a linear layer stood."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        # no parameter, and its numbers cannot be read; named as before, for networks that ask for its format
        self.weight = _KERNELS._reorder_linear_weight(layer.weight.detach(), 1)
        self.bias = layer.bias

    def forward(self, states: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return _product(states, self.weight, self.bias)


def reorder_weights(network: PreTrainedModel) -> None:
    """Replaces the network's linear layers where that is faster here; elsewhere it stays as it is."""
    weights = next(network.parameters())
    if weights.device.type == "cpu" and not is_spread(network) and is_faster(weights.dtype):
        _reorder_inside(network, weights.dtype)


@functools.cache
def is_faster(dtype: torch.dtype) -> bool:
    """Whether this computer multiplies faster by reordered weights, and to the same result: a short timing."""
    if not torch.backends.mkldnn.is_available() or dtype not in {torch.float32, torch.bfloat16}:
        return False
    try:
        with torch.inference_mode():
            weight_NK = torch.linspace(-1, 1, _HEIGHT * _WIDTH).reshape(_HEIGHT, _WIDTH).to(dtype)
            state_1K = torch.linspace(-1, 1, _WIDTH).reshape(1, _WIDTH).to(dtype)
            reordered = _KERNELS._reorder_linear_weight(weight_NK, 1)
            expected_1N, found_1N = F.linear(state_1K, weight_NK), _product(state_1K, reordered, None)
            if not torch.allclose(expected_1N.float(), found_1N.float(), rtol=1e-2, atol=1e-1):
                return False
            plain_ones = [weight_NK.clone() for _ in range(_MATRICES)]
            fast_ones = [_KERNELS._reorder_linear_weight(weight_NK, 1) for _ in range(_MATRICES)]
            plain, fast = float("inf"), float("inf")
            for _ in range(6):
                plain = min(plain, _seconds(lambda weight: F.linear(state_1K, weight), plain_ones))
                fast = min(fast, _seconds(lambda weight: _product(state_1K, weight, None), fast_ones))
    except (RuntimeError, AttributeError):  # a build of torch, or a CPU, without these kernels
        return False
    return plain > fast * _GAIN_WORTH_TAKING


def _reorder_inside(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear) and type(child).forward is nn.Linear.forward and child.weight.dtype is dtype:
            setattr(module, name, ReorderedLinear(child))
        else:
            _reorder_inside(child, dtype)


def _product(states: Tensor, reordered: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = _KERNELS._linear_pointwise(states, reordered, bias, "none", [], "")
    return product


def _seconds(product: Callable[[Tensor], Tensor], weights: Sequence[Tensor]) -> float:
    """This thread's own time for all of them, whatever else the computer does; with others' where torch has more."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for weight in weights:
        product(weight)
    return clock() - start
