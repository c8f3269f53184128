"""Weights in the order of the CPU's kernels: the same products, only where that is faster, and only where it works."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from talkalike.models import reordered

needs_kernels = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


class Doubling(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's name
        return 2 * super().forward(input)


@needs_kernels
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_a_reordered_layer_gives_the_same_products(rows: int, bias: bool) -> None:
    layer, states = nn.Linear(48, 80, bias=bias), torch.randn(2, rows, 48)
    with torch.inference_mode():
        torch.testing.assert_close(reordered.ReorderedLinear(layer)(states), layer(states))


@needs_kernels
def test_only_plain_layers_of_the_networks_format_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reordered, "is_faster", lambda _dtype: True)
    network = nn.Sequential(nn.Linear(8, 8), Doubling(8, 8), nn.Sequential(nn.Linear(8, 8).to(torch.bfloat16)))
    reordered.reorder_weights(network)
    assert [type(each) for each in network] == [reordered.ReorderedLinear, Doubling, nn.Sequential]
    assert type(network[2][0]) is nn.Linear


def test_a_network_stays_as_it_is_where_that_is_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reordered, "is_faster", lambda _dtype: False)
    network = nn.Sequential(nn.Linear(8, 8))
    reordered.reorder_weights(network)
    assert type(network[0]) is nn.Linear


@pytest.mark.parametrize("broken", ["missing", "refuses", "wrong"])
def test_kernels_that_do_not_work_are_not_used(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> torch.Tensor:
        raise RuntimeError("not built")

    kernels = {
        "missing": SimpleNamespace(),
        "refuses": SimpleNamespace(_reorder_linear_weight=refuse),
        "wrong": SimpleNamespace(
            _reorder_linear_weight=lambda weight, _rows: weight,
            _linear_pointwise=lambda states, weight, *_: states.new_zeros(len(states), len(weight)),
        ),
    }
    monkeypatch.setattr(reordered, "_KERNELS", kernels[broken])
    reordered.is_faster.cache_clear()
    try:
        assert not reordered.is_faster(torch.float32)
    finally:
        reordered.is_faster.cache_clear()


def test_other_formats_are_left_alone() -> None:
    assert not reordered.is_faster(torch.float16)
