"""Forward passes of several conversations in one: their new tokens lie in one row, each attends to its own memory.

On a small model the time of a pass is the time to read its weights, whoever the tokens belong to. So replies that are
written at the same time share their passes, those of different doubles on one base as well. Positions, keys and the
double's adapter are each conversation's own; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from talkalike.engine.cache import PrefixCache
from talkalike.models.adapter_pool import AdapterPool, Stretch
from talkalike.models.attention import Limits, attend, register_attention
from talkalike.models.forward import logits
from talkalike.models.load import LoadedModel

SHARED_ATTENTION = "talkalike_shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """New tokens of one conversation; the logits after each of the last `rows` of them are wanted.

    `adapter`: whose update the network gets for them, by its key in the pool; "": none.
    """

    cache: PrefixCache
    ids: list[int]
    rows: int = 1
    adapter: str = ""


class Passes:
    """Runs passes on a loaded causal model, beside whose layers the pool's adapters are, if there is one."""

    def __init__(self, loaded: LoadedModel, adapters: AdapterPool | None = None) -> None:
        self._model: Any = loaded.model
        self._adapters = adapters
        self._soft_prompt_PD = loaded.soft_prompt_PD

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """For each pass its logits (rows, V; float32, CPU). A cache is not `intact` after a pass that failed."""
        for each in passes:
            each.cache.intact = False
        if any(each.cache.own is not None for each in passes):
            return [self._run_alone(each) for each in passes]
        order = sorted(range(len(passes)), key=lambda place: passes[place].adapter)  # equal adapters side by side
        found = self._run_together([passes[place] for place in order])
        return [logits_RV for _, logits_RV in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

    def _run_together(self, passes: Sequence[Pass]) -> list[Tensor]:
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
        with self._adapted(passes, lengths):
            logits_RV = logits(self._model, row, positions_T, kept_R, attends=SHARED_ATTENTION, shared=shared)
        for each, length in zip(passes, lengths, strict=True):
            _advance(each, length)
        return list(logits_RV.float().cpu().split([each.rows for each in passes]))

    def _adapted(self, passes: Sequence[Pass], lengths: Sequence[int]) -> AbstractContextManager[None]:
        """The adapters at work, each on the stretches of its own double."""
        if self._adapters is None or not any(each.adapter for each in passes):
            return nullcontext()
        return self._adapters.use(
            [
                Stretch(adapter=each.adapter, length=length, kept=each.rows)
                for each, length in zip(passes, lengths, strict=True)
            ]
        )

    def _run_alone(self, each: Pass) -> Tensor:
        assert each.cache.own is not None
        given, (length,) = self._row([each])
        with self._adapters.use_everywhere(each.adapter) if self._adapters is not None else nullcontext():
            logits_RV = each.cache.own.read(given, each.rows)
        _advance(each, length)
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


def _advance(each: Pass, length: int) -> None:
    """The cache holds the pass's tokens, of which there were so many with a soft prompt before them."""
    each.cache.offset += length - len(each.ids)
    each.cache.tokens += each.ids
    each.cache.intact = True


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
