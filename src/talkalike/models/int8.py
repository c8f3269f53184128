"""A frozen network's matrices in 8 bits, without another library: a quarter of float32's memory, on any device.

Each row of a matrix is kept as whole numbers from -127 to 127 with one scale in float32; what goes in and comes out
keeps its format (weight-only, absolute maximum by row). Adapters beside such layers train as always: gradients pass
through, but not into, the matrices. `models.quantize` is the way by bitsandbytes, which 4 bits need.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

_WIDEST = 127


class Int8Linear(nn.Module):
    """A linear layer whose weights are kept in 8 bits."""

    weight_OI: Tensor
    scale_O: Tensor
    bias: Tensor | None

    def __init__(self, weight_OI: Tensor, scale_O: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight_OI", weight_OI)
        self.register_buffer("scale_O", scale_O)
        self.register_buffer("bias", bias)

    def forward(self, states: Tensor) -> Tensor:
        out = cast(Tensor, _Product.apply(states, self.weight_OI, self.scale_O))  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias.to(out.dtype)


class Int8Embedding(nn.Module):
    """Embeddings kept in 8 bits; the head may share their table."""

    weight_VD: Tensor
    scale_V: Tensor

    def __init__(self, weight_VD: Tensor, scale_V: Tensor, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight_VD", weight_VD)
        self.register_buffer("scale_V", scale_V)
        self._dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        """One embedding for each id, in the network's format."""
        return (self.weight_VD[ids] * self.scale_V[ids][..., None]).to(self._dtype)


class _Product(torch.autograd.Function):
    """A product with the matrix, of which the 8 bits alone are kept for the backward pass."""

    @staticmethod
    def forward(context: Any, states: Tensor, weight_OI: Tensor, scale_O: Tensor) -> Tensor:
        context.save_for_backward(weight_OI, scale_O)
        return functional.linear(states, weight_OI.to(states.dtype)) * scale_O.to(states.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weight_OI, scale_O = context.saved_tensors
        (gradient,) = gradients
        return (gradient * scale_O.to(gradient.dtype)) @ weight_OI.to(gradient.dtype), None, None


@torch.no_grad()
def keep_in_int8(network: PreTrainedModel) -> PreTrainedModel:
    """Replaces the network's linear layers and embeddings, in place; a head that shares its table goes on sharing it.

    The network cannot be trained or saved after that.
    """
    embedding: Any = network.get_input_embeddings()
    head: Any = network.get_output_embeddings()
    tied = isinstance(head, nn.Linear) and head.weight.data_ptr() == embedding.weight.data_ptr()
    table = to_int8(embedding.weight)
    dtype = embedding.weight.dtype
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child is head and tied:
                setattr(parent, name, Int8Linear(*table, head.bias))
            elif type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(*to_int8(child.weight), child.bias))
    network.set_input_embeddings(Int8Embedding(*table, dtype=dtype))
    return network.requires_grad_(False)


def held_bytes(network: nn.Module) -> int:
    """Memory of all its parameters and buffers, each counted once."""
    tensors = {tensor.data_ptr(): tensor.nbytes for tensor in (*network.parameters(), *network.buffers())}
    return sum(tensors.values())


def to_int8(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix in 8 bits and the scale of each row; a row of zeros has the scale 1."""
    scale_O = weight_OI.detach().float().abs().amax(dim=1) / _WIDEST
    scale_O = torch.where(scale_O > 0, scale_O, torch.ones_like(scale_O))
    return (weight_OI.detach().float() / scale_O[:, None]).round().clamp(-_WIDEST, _WIDEST).to(torch.int8), scale_O
