"""Matrices in 8 bits: how much memory they take, how near their products are, and that adapters train beside them."""

from __future__ import annotations

import torch
from torch import nn

from alignment_toys import tiny_network
from talkalike.models.forward import logits
from talkalike.models.int8 import Int8Linear, held_bytes, keep_in_int8, to_int8
from talkalike.models.packed import PACKED_ATTENTION


def of_row(network, given: torch.Tensor) -> torch.Tensor:
    places = torch.arange(len(given))
    return logits(network, given, places, places, attends=PACKED_ATTENTION, document_lengths=(len(given),))


def test_a_network_in_8_bits_takes_a_third_of_the_memory_and_says_nearly_the_same():
    plain, small = tiny_network(width=256, layers=3), tiny_network(width=256, layers=3)
    before = held_bytes(small)
    assert keep_in_int8(small) is small
    assert held_bytes(small) <= 0.35 * before
    assert not any(isinstance(module, nn.Linear | nn.Embedding) for module in small.modules())
    ids = torch.randint(0, 40, (30,), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = of_row(plain, ids), of_row(small, ids)
    assert (expected - found).abs().mean() < 0.06 * expected.std()  # random weights blow up what is rounded
    assert not torch.equal(expected, found)


def test_a_shared_table_stays_shared():
    network = tiny_network(width=64)
    network.lm_head.weight = network.model.embed_tokens.weight
    keep_in_int8(network)
    assert network.lm_head.weight_OI is network.model.embed_tokens.weight_VD


def test_gradients_pass_through_as_through_the_same_matrix_in_float32():
    torch.manual_seed(0)
    layer = nn.Linear(12, 7)
    layer.weight.data[3] = 0  # a row of zeros
    weight = layer.weight.detach()
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    rounded = torch.where(scale > 0, (weight / scale).round() * scale, 0)
    packed = Int8Linear(*to_int8(layer.weight), layer.bias.data)
    states = torch.randn(5, 12, requires_grad=True)
    same = states.detach().clone().requires_grad_(True)
    out, wanted = packed(states), nn.functional.linear(same, rounded, layer.bias)
    assert torch.allclose(out, wanted, atol=1e-5)
    out.pow(2).sum().backward()
    wanted.pow(2).sum().backward()
    assert torch.allclose(states.grad, same.grad, atol=1e-4)
