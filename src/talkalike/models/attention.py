"""One way to attend, for training rows, rollouts and replies: causal or by a mask, grouped heads, windows, soft caps.

The rooms above differ only in whose keys a query may see. Each registers a function of its own with transformers, which
finds the keys and the mask and calls `attend` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

_BLOCK = 256  # queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How an architecture scales and limits its attention scores."""

    scale: float
    window: int | None = None  # how many tokens back a query sees, itself counted
    softcap: float | None = None
    dropout: float = 0.0
    as_products: bool = False  # plain ones: on a CPU in bfloat16 the fused kernel's backward pass takes twice as long

    @classmethod
    def of(
        cls, query_BHTD: Tensor, options: Mapping[str, Any], *, dropout: float = 0.0, differentiable: bool = False
    ) -> Self:
        """The limits in a call of transformers' attention interface. `differentiable`: a backward pass may follow."""
        scale = options.get("scaling")
        return cls(
            scale=scale if scale is not None else query_BHTD.shape[-1] ** -0.5,
            window=options.get("sliding_window"),
            softcap=options.get("softcap"),
            dropout=dropout,
            as_products=differentiable and query_BHTD.dtype is torch.bfloat16 and query_BHTD.device.type == "cpu",
        )


Attention = Callable[[Tensor, Tensor, Tensor, Any, Mapping[str, Any]], Tensor]
"""New queries (B, H, T, D), keys and values, the layer's number and the options of a forward pass: (B, T, H, D)."""


def register_attention(name: str) -> Callable[[Attention], Attention]:
    """Registers the decorated function under a name, by which a forward pass chooses it (`models.forward`)."""

    def register(attention: Attention) -> Attention:
        def attend(  # signature: transformers
            module: nn.Module,
            query_BHTD: Tensor,
            key_BGTD: Tensor,
            value_BGTD: Tensor,
            _mask: Tensor | None = None,
            **options: Any,
        ) -> tuple[Tensor, None]:
            return attention(query_BHTD, key_BGTD, value_BGTD, getattr(module, "layer_idx", None), options), None

        AttentionInterface.register(name, attend)
        return attention

    return register


def attend(
    query_BHTD: Tensor, key_BGSD: Tensor, value_BGSD: Tensor, *, visible: Tensor | None = None, limits: Limits
) -> Tensor:
    """What T queries find in S keys, (B, H, T, D); G heads of keys serve H heads of queries.

    `visible` None: the queries are the last T of the S places, and each sees those up to its own within the window.
    Otherwise a mask that ends in (T, S), true (or 0) where a query sees and false (or minus infinity) where not; the
    window is its maker's to apply.
    """
    batch, heads, new, width = query_BHTD.shape
    groups, total = key_BGSD.shape[1:3]
    if visible is None and new == 1 and limits.softcap is None:
        # The heads of a group become the positions of one head: no mask, and no copies of keys and values.
        seen = slice(-limits.window if limits.window is not None else None, None)
        grouped = query_BHTD.reshape(batch, groups, heads // groups, width)
        attended = F.scaled_dot_product_attention(
            grouped, key_BGSD[:, :, seen], value_BGSD[:, :, seen], scale=limits.scale, dropout_p=limits.dropout
        )
        return attended.reshape(query_BHTD.shape)
    if groups != heads:
        key_BGSD = key_BGSD.repeat_interleave(heads // groups, dim=1)
        value_BGSD = value_BGSD.repeat_interleave(heads // groups, dim=1)
    causal = visible is None and new == total and (limits.window is None or total <= limits.window)
    if causal and limits.softcap is None and limits.as_products:
        return _attend_in_blocks(query_BHTD, key_BGSD, value_BGSD, limits.scale)
    if visible is None and not causal:
        visible = visible_within(torch.arange(total, device=query_BHTD.device), limits.window)[total - new :]
    if limits.softcap is None and not limits.as_products:
        return F.scaled_dot_product_attention(
            query_BHTD,
            key_BGSD,
            value_BGSD,
            attn_mask=visible,
            is_causal=causal,
            scale=limits.scale,
            dropout_p=limits.dropout,
        )
    if visible is None:
        visible = torch.ones(new, total, dtype=torch.bool, device=query_BHTD.device).tril()
    scores_BHTS = (query_BHTD * limits.scale) @ key_BGSD.transpose(2, 3)
    if limits.softcap is not None:
        scores_BHTS = limits.softcap * torch.tanh(scores_BHTS / limits.softcap)
    if visible.dtype is torch.bool:
        scores_BHTS = scores_BHTS.masked_fill(~visible, float("-inf"))
    else:
        scores_BHTS = scores_BHTS + visible
    return scores_BHTS.softmax(dim=-1) @ value_BGSD


def attend_apart(
    query_BHTD: Tensor,
    key_BGTD: Tensor,
    value_BGTD: Tensor,
    *,
    lengths: Sequence[int],
    visible: Sequence[Tensor] | None = None,
    limits: Limits,
) -> Tensor:
    """Attention inside each stretch of a row (`lengths` add up to T); (B, T, H, D), as transformers wants it."""
    pieces = [states.split(list(lengths), dim=2) for states in (query_BHTD, key_BGTD, value_BGTD)]
    masks = visible if visible is not None else [None] * len(lengths)
    attended = [
        attend(query, key, value, visible=mask, limits=limits)
        for query, key, value, mask in zip(*pieces, masks, strict=True)
    ]
    return torch.cat(attended, dim=2).transpose(1, 2)


def visible_within(position_T: Tensor, window: int | None) -> Tensor:
    """Where a token (first index) sees another of its stretch, (T, T): those before it and itself, in the window."""
    distance_TT = position_T[:, None] - position_T
    return (distance_TT >= 0) & (distance_TT < window) if window is not None else distance_TT >= 0


def _attend_in_blocks(query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, scale: float) -> Tensor:
    """Causal attention by blocks of queries over their own past, as plain matrix products.

    Scores are rounded to bfloat16, as in transformers' eager attention.
    """
    length = query_BHTD.shape[2]
    query_BHTD = query_BHTD * scale
    key_BHDT = key_BHTD.transpose(2, 3)
    future_QQ = torch.full((_BLOCK, _BLOCK), float("-inf"), dtype=query_BHTD.dtype).triu(1)
    blocks = []
    for start in range(0, length, _BLOCK):
        stop = min(length, start + _BLOCK)
        scores_BHQT = query_BHTD[:, :, start:stop] @ key_BHDT[..., :stop]
        scores_BHQT[..., start:] += future_QQ[: stop - start, : stop - start]
        blocks.append(scores_BHQT.softmax(dim=-1) @ value_BHTD[:, :, :stop])
    return torch.cat(blocks, dim=2)
