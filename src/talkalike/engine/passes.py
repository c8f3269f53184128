"""Forward passes of several conversations in one: their new tokens lie in one row, each attends to its own memory.

On a small model the time of a pass is the time to read its weights, whoever the tokens belong to. So replies that are
written at the same time share their passes. Positions and keys are each conversation's own; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from talkalike.engine.cache import PrefixCache
from talkalike.models.attention import Limits, attend, register_attention
from talkalike.models.forward import logits
from talkalike.models.load import LoadedModel
from talkalike.models.own_attention import OwnMemory

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
        own = [each.cache.own for each in passes if each.cache.own is not None]
        if own:
            return [self._run_alone(each, memory) for each, memory in zip(passes, own, strict=True)]
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

    def _run_alone(self, each: Pass, memory: OwnMemory) -> Tensor:
        given, (length,) = self._row([each])
        logits_RV = memory.read(given, each.rows)
        each.cache.offset += length - len(each.ids)
        each.cache.tokens += each.ids
        each.cache.intact = True
        return logits_RV.float().cpu()

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


@register_attention(SHARED_ATTENTION)
def _attend_to_own_memory(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, layer: int, options: Mapping[str, Any]
) -> Tensor:
    """Causal attention of each stretch to its conversation's memory."""
    shared: Shared = options["shared"]
    limits = Limits.of(query_BHTD, options)
    stretches = [states.split(list(shared.lengths), dim=2) for states in (query_BHTD, key_BHTD, value_BHTD)]
    attended = [
        attend(query, *cache.append(layer, key, value), limits=limits)
        for cache, query, key, value in zip(shared.caches, *stretches, strict=True)
    ]
    return torch.cat(attended, dim=2).transpose(1, 2)
