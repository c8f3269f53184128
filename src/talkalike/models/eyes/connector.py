"""Pictures as tokens: what a frozen encoder saw in each part of a picture becomes embeddings before a frozen model.

Two linear layers with a learned position for each part, as in LLaVA (Liu et al. 2023, arXiv:2304.08485; 2310.03744);
convolutional features do not say where in the picture they are from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from talkalike.models.eyes.seen import SeenByTokens
from talkalike.models.forward import LayersBeside


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorShape:
    """Sizes of a connector. `cells` and `channels`: of the encoder's grid; `width`: of the model's embeddings."""

    cells: int
    channels: int
    width: int
    tokens: int = 16  # that a picture becomes
    inner: int = 512
    kind: Literal["connector"] = "connector"


class Connector(nn.Module):
    """k tokens for each picture, as long as the model's own embeddings are."""

    def __init__(self, shape: ConnectorShape, *, deviation: float = 1.0) -> None:
        """`deviation`: of the model's embeddings, where the projected tokens start."""
        super().__init__()
        self.shape = shape
        self.scaling = GridScaling(shape.channels)
        self.widen = nn.Linear(shape.channels, shape.inner)
        self.position_MH = nn.Parameter(torch.randn(shape.cells, shape.inner) * 0.5)
        self.mix_KM = nn.Parameter(_neighbours(shape.tokens, shape.cells)) if shape.tokens != shape.cells else None
        self.project = nn.Linear(shape.inner, shape.width)
        self.norm = nn.LayerNorm(shape.width)
        nn.init.constant_(self.norm.weight, deviation)

    @property
    def places(self) -> int:
        """How many places a picture takes among the tokens."""
        return self.shape.tokens

    def media(self, grids_NMC: Tensor) -> Tensor:
        """What becomes of each picture, (N, k, width)."""
        inner_NMH = functional.gelu(self.widen(self.scaling(grids_NMC)) + self.position_MH)
        if self.mix_KM is not None:
            inner_NMH = self.mix_KM @ inner_NMH
        return self.norm(self.project(inner_NMH))

    def embedded(self, network: PreTrainedModel, ids_T: Tensor, seen: SeenByTokens) -> Tensor:
        """The row as embeddings (T, width), the pictures at their places."""
        embedded_TD: Tensor = network.get_input_embeddings()(ids_T.clamp(min=0))
        at = seen.place_T >= 0
        if not at.any():
            return embedded_TD
        tokens_PD = seen.media_NKD[seen.picture_T[at], seen.place_T[at]].to(embedded_TD.dtype)
        return embedded_TD.index_put((at.nonzero()[:, 0],), tokens_PD)

    def beside(self, seen: SeenByTokens) -> LayersBeside | None:
        """Nothing stands beside the model's layers."""
        return None


class GridScaling(nn.Module):
    """Takes the mean off each channel of a grid and divides by its deviation, both of the pictures trained on."""

    mean_C: Tensor
    deviation_C: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("deviation_C", torch.ones(channels))

    def fit(self, grids_NMC: Tensor) -> None:
        """Measures both. A channel that is always the same stays near 0."""
        flat_PC = grids_NMC.float().flatten(0, 1)
        self.mean_C.copy_(flat_PC.mean(dim=0))
        deviation_C = flat_PC.std(dim=0, correction=0)
        self.deviation_C.copy_(deviation_C.clamp(min=max(1e-6, 0.01 * float(deviation_C.mean()))))

    def forward(self, grids_NMC: Tensor) -> Tensor:
        return (grids_NMC.float() - self.mean_C) / self.deviation_C


def _neighbours(tokens: int, cells: int) -> Tensor:
    """Each token as the mean of the cells nearest to it, in reading order: where a learned mixture starts."""
    return functional.adaptive_avg_pool1d(torch.eye(cells)[None], tokens)[0].T.contiguous()
