"""Forward passes of several conversations in one: their new tokens lie in one row, each attends to its own memory.

On a small model the time of a pass is the time to read its weights, whoever the tokens belong to. So replies that are
written at the same time share their passes. Positions and keys are each conversation's own; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from talkalike.engine.cache import PrefixCache
from talkalike.models.forward import logits
from talkalike.models.load import LoadedModel

SHARED_ATTENTION = "talkalike_shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """New tokens of one conversation; the logits after each of the last `rows` of them are wanted."""

    cache: PrefixCache
    ids: list[int]
    rows: int = 1


class Passes:
    """Runs passes on a loaded causal model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model: Any = loaded.model
        self._soft_prompt_PD = loaded.soft_prompt_PD

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """For each pass its logits (rows, V; float32, CPU). A cache is not `intact` after a pass that failed."""
        for each in passes:
            each.cache.intact = False
        row, lengths = self._row(passes)
        starts = [each.cache.length for each in passes]
        device = self._model.device
        positions = [torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        positions_T = torch.cat(positions).to(device)
        ends = torch.tensor(lengths).cumsum(0).tolist()
        kept_R = torch.cat([torch.arange(end - each.rows, end) for end, each in zip(ends, passes, strict=True)]).to(
            device
        )
        shared = Shared(caches=tuple(each.cache for each in passes), lengths=tuple(lengths))
        logits_RV = logits(self._model, row, positions_T, kept_R, attends=SHARED_ATTENTION, shared=shared)
        for each, length in zip(passes, lengths, strict=True):
            each.cache.offset += length - len(each.ids)
            each.cache.tokens += each.ids
            each.cache.intact = True
        return list(logits_RV.float().cpu().split([each.rows for each in passes]))

    def _row(self, passes: Sequence[Pass]) -> tuple[Tensor, list[int]]:
        """Ids, or embeddings if a soft prompt is to stand before somebody's first tokens, and how much is whose."""
        ids_T = torch.tensor([token for each in passes for token in each.ids], device=self._model.device)
        lengths = [len(each.ids) for each in passes]
        fresh = [self._soft_prompt_PD is not None and not each.cache.offset for each in passes]
        if self._soft_prompt_PD is None or not any(fresh):
            return ids_T, lengths
        pieces = []
        for is_fresh, embedded_TD in zip(fresh, self._model.get_input_embeddings()(ids_T).split(lengths), strict=True):
            pieces += [self._soft_prompt_PD.to(embedded_TD), embedded_TD] if is_fresh else [embedded_TD]
        prefix = len(self._soft_prompt_PD)
        return torch.cat(pieces), [length + prefix * is_fresh for length, is_fresh in zip(lengths, fresh, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Whose keys and values a row's stretches belong to."""

    caches: tuple[PrefixCache, ...]
    lengths: tuple[int, ...]


def _attend_apart(  # signature: transformers
    module: nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention of each stretch to its conversation's memory, in transformers' attention interface."""
    shared: Shared = options["shared"]
    layer: Any = module.layer_idx
    lengths = list(shared.lengths)
    attended = []
    for cache, query, key, value in zip(
        shared.caches,
        query_BHTD.split(lengths, dim=2),
        key_BHTD.split(lengths, dim=2),
        value_BHTD.split(lengths, dim=2),
        strict=True,
    ):
        keys, values = cache.append(layer, key, value)
        attended.append(
            _attend(query, keys, values, scaling, window=options.get("sliding_window"), softcap=options.get("softcap"))
        )
    return torch.cat(attended, dim=2).transpose(1, 2), None


def _attend(
    query_BHTD: Tensor,
    key_BHSD: Tensor,
    value_BHSD: Tensor,
    scaling: float | None,
    *,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """T new positions at the end of S; key and value may have fewer heads than the query (grouped queries)."""
    batch, heads, new, width = query_BHTD.shape
    groups, total = key_BHSD.shape[1], key_BHSD.shape[2]
    if new == 1 and softcap is None:
        # The heads of a group become the positions of one head: no mask, and no copies of keys and values.
        if window is not None and total > window:
            key_BHSD, value_BHSD = key_BHSD[:, :, -window:], value_BHSD[:, :, -window:]
        grouped = query_BHTD.reshape(batch, groups, heads // groups, width)
        return F.scaled_dot_product_attention(grouped, key_BHSD, value_BHSD, scale=scaling).reshape(query_BHTD.shape)
    if groups != heads:
        key_BHSD = key_BHSD.repeat_interleave(heads // groups, dim=1)
        value_BHSD = value_BHSD.repeat_interleave(heads // groups, dim=1)
    if new == total and softcap is None and (window is None or total <= window):
        return F.scaled_dot_product_attention(query_BHTD, key_BHSD, value_BHSD, scale=scaling, is_causal=True)
    place_S = torch.arange(total, device=query_BHTD.device)
    distance_TS = place_S[total - new :, None] - place_S
    allowed_TS = (distance_TS >= 0) & (distance_TS < (window or total))
    if softcap is None:
        return F.scaled_dot_product_attention(query_BHTD, key_BHSD, value_BHSD, scale=scaling, attn_mask=allowed_TS)
    scale = scaling if scaling is not None else width**-0.5
    scores_BHTS = softcap * torch.tanh(query_BHTD @ key_BHSD.transpose(2, 3) * scale / softcap)
    return scores_BHTS.masked_fill(~allowed_TS, float("-inf")).softmax(dim=-1) @ value_BHSD


AttentionInterface.register(SHARED_ATTENTION, _attend_apart)
