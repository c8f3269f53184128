"""Flamingo's way (Alayrac et al. 2022, arXiv:2204.14198): layers that look at a picture, beside an untouched model.

A resampler makes a few latents of a picture's grid; before some layers of the model a gated block lets each token look
at the latents of the last picture before it. The model is not changed, and nothing is kept between passes: what a pass
sees is an argument of it, so replies about different pictures may share a pass. Other than in the paper, tokens before
any picture pass by the whole block, its feed-forward half too: without pictures the model is exactly itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from talkalike.models.attention import Limits, attend
from talkalike.models.eyes.connector import GridScaling
from talkalike.models.eyes.seen import SeenByTokens
from talkalike.models.forward import LayersBeside


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedShape:
    """Sizes of gated layers. `every`: before each layer whose number, from 1, it divides. `gate`: tanh of it opens
    them; 0 for a model that knows its language, about 0.9 for one that is trained along."""

    cells: int
    channels: int
    width: int
    layers: int  # of the model
    every: int = 2
    latents: int = 16
    depth: int = 2  # of the resampler
    heads: int = 8
    gate: float = 0.0
    kind: Literal["gated"] = "gated"


class Gated(nn.Module):
    """The resampler, the gated blocks, and the embedding that stands where a picture is."""

    def __init__(self, shape: GatedShape, *, deviation: float = 1.0) -> None:
        """`deviation`: of the model's embeddings, to which <image> gets one of its own."""
        super().__init__()
        self.shape = shape
        self.resampler = Resampler(shape)
        numbers = range(shape.every - 1, shape.layers, shape.every)
        self.blocks = nn.ModuleDict({str(number): GatedBlock(shape) for number in numbers})
        self.image_D = nn.Parameter(torch.randn(shape.width) * deviation)

    @property
    def places(self) -> int:
        """How many places a picture takes among the tokens."""
        return 1

    @property
    def scaling(self) -> GridScaling:
        """How the grids' numbers are scaled."""
        return self.resampler.scaling

    def media(self, grids_NMC: Tensor) -> Tensor:
        """The latents of each picture, (N, n, width)."""
        return self.resampler(grids_NMC)

    def embedded(self, network: PreTrainedModel, ids_T: Tensor, seen: SeenByTokens) -> Tensor:
        """The row as embeddings (T, width), one for each picture's place."""
        embedded_TD: Tensor = network.get_input_embeddings()(ids_T.clamp(min=0))
        at_T1 = (seen.place_T >= 0)[:, None]
        return torch.where(at_T1, self.image_D.to(embedded_TD.dtype), embedded_TD)

    def beside(self, seen: SeenByTokens) -> LayersBeside | None:
        """The blocks, for one pass; nothing where no token sees a picture."""
        return _LookingPass(self.blocks, seen) if bool((seen.picture_T >= 0).any()) else None


class _LookingPass:
    """The gated blocks in one pass. The mask is made once for all of them."""

    def __init__(self, blocks: nn.ModuleDict, seen: SeenByTokens) -> None:
        self._blocks = blocks
        pictures, latents = seen.media_NKD.shape[:2]
        owner_S = torch.arange(pictures, device=seen.picture_T.device).repeat_interleave(latents)
        self._sees_T1 = (seen.picture_T >= 0)[:, None]
        # a token without a picture sees all, so that its row is a number; what comes of it is put to 0
        self._visible_TS = (owner_S == seen.picture_T[:, None]) | ~self._sees_T1
        self._media_SD = seen.media_NKD.flatten(0, 1)

    def before(self, layer: int, states_TD: Tensor) -> Tensor:
        if str(layer) not in self._blocks:
            return states_TD
        block = self._blocks[str(layer)]
        return states_TD + (block(states_TD, self._media_SD, self._visible_TS) * self._sees_T1).to(states_TD.dtype)


class GatedBlock(nn.Module):
    """Cross-attention, then a feed-forward layer, each behind the tanh of a gate. Returns what is added."""

    def __init__(self, shape: GatedShape) -> None:
        super().__init__()
        self.attention = _Attention(shape.width, shape.heads)
        self.forwards = _feed_forward(shape.width, silent=bool(shape.gate))
        self.attention_gate = nn.Parameter(torch.tensor(shape.gate))
        self.forwards_gate = nn.Parameter(torch.tensor(shape.gate))
        if shape.gate:  # opened from the start: what is looked at comes in as it is
            self.attention.pass_through()

    def forward(self, states_TD: Tensor, media_SD: Tensor, visible_TS: Tensor) -> Tensor:
        states_TD = states_TD.float()
        looked_TD = self.attention_gate.tanh() * self.attention(states_TD[None], media_SD[None], visible_TS)[0]
        return looked_TD + self.forwards_gate.tanh() * self.forwards(states_TD + looked_TD)


class Resampler(nn.Module):
    """Latents that look at a picture's cells and at each other. Cells get a learned position, which features lack."""

    def __init__(self, shape: GatedShape) -> None:
        super().__init__()
        self.scaling = GridScaling(shape.channels)
        self.project = nn.Linear(shape.channels, shape.width, bias=False)
        # small, so that from the first step a latent says more of its picture than of itself
        self.position_MD = nn.Parameter(torch.randn(shape.cells, shape.width) * 0.1)
        self.latents_ND = nn.Parameter(torch.randn(shape.latents, shape.width) * 0.1)
        self.attentions = nn.ModuleList(_Attention(shape.width, shape.heads) for _ in range(shape.depth))
        for attention in self.attentions:
            cast(_Attention, attention).pass_through()
        self.forwards = nn.ModuleList(_feed_forward(shape.width, silent=True) for _ in range(shape.depth))
        self.cell_norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, grids_BMC: Tensor) -> Tensor:
        """(pictures, latents, width)."""
        cells_BMD = self.project(self.scaling(grids_BMC)) + self.position_MD
        latents_BND = self.latents_ND.expand(len(grids_BMC), -1, -1)
        for layer, forwards, norm in zip(self.attentions, self.forwards, self.cell_norms, strict=True):
            attention = cast(_Attention, layer)
            found_BSD = torch.cat([norm(cells_BMD), attention.norm(latents_BND)], dim=1)
            latents_BND = latents_BND + attention(latents_BND, found_BSD)
            latents_BND = latents_BND + forwards(latents_BND)
        return self.norm(latents_BND)


class _Attention(nn.Module):
    """Heads that look from one sequence at another, which comes normed."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = math.gcd(heads, width)
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def pass_through(self) -> None:
        """Begins with what is looked at coming in as it is."""
        nn.init.eye_(self.value.weight)
        nn.init.eye_(self.out.weight)

    def forward(self, from_BTD: Tensor, at_BSD: Tensor, visible_TS: Tensor | None = None) -> Tensor:
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, states in ((self.query, self.norm(from_BTD)), (self.key, at_BSD), (self.value, at_BSD))
        )
        if visible_TS is None:  # attend's own default is causal
            visible_TS = torch.ones(from_BTD.shape[1], at_BSD.shape[1], dtype=torch.bool, device=at_BSD.device)
        found = attend(query, key, value, visible=visible_TS, limits=Limits(scale=query.shape[-1] ** -0.5))
        return self.out(found.transpose(1, 2).flatten(2))


def _feed_forward(width: int, *, silent: bool) -> nn.Sequential:
    """`silent`: it adds nothing at first. Not behind a closed gate, where neither would ever learn."""
    last = nn.Linear(4 * width, width, bias=False)
    if silent:
        nn.init.zeros_(last.weight)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width, bias=False), nn.GELU(), last)
