"""The two kinds of adapters that let a text model see, and how a new one is made."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from talkalike.models.eyes.connector import Connector, ConnectorShape
from talkalike.models.eyes.gated import Gated, GatedShape

SeeingAdapter = Connector | Gated
Shape = ConnectorShape | GatedShape


def make_adapter(shape: Shape, network: PreTrainedModel | None = None) -> SeeingAdapter:
    """A new one with random weights (torch's seed), as large in its numbers as the network's embeddings."""
    deviation = float(network.get_input_embeddings().weight.detach().std()) if network is not None else 1.0
    if isinstance(shape, ConnectorShape):
        return Connector(shape, deviation=deviation)
    return Gated(shape, deviation=deviation)


def trained_tensors(adapter: SeeingAdapter) -> dict[str, nn.Parameter]:
    """Its parameters by name, for a training: in float32, open to gradients."""
    adapter.float().requires_grad_(True)
    return {f"eye.{name}": parameter for name, parameter in adapter.named_parameters()}
