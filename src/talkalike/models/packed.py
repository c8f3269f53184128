"""Several conversations in one row without padding, each attending only to itself.

A row is the concatenation of its documents. Attention runs document by document (no T x T mask is built and no work is
done between documents), positions restart in each, and the head is computed only where a token is to be predicted.
Equal to running each document alone; `tests/test_packed.py` holds that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from talkalike.models.attention import Limits, attend_apart, register_attention
from talkalike.models.forward import logits
from talkalike.models.load import LoadedModel
from talkalike.models.own_attention import has_own_attention, logits_apart

PACKED_ATTENTION = "talkalike_packed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Documents packed into one row of T tokens; L of them are predicted."""

    ids_T: Tensor  # int64
    positions_T: Tensor  # int64, restart at 0 in every document
    lengths: tuple[int, ...]  # tokens of each document, sums to T
    targets_L: Tensor  # int64 indices into the row of the tokens to predict
    grids_NMC: Tensor | None = None  # of the pictures that stand in it, in their order (`models.eyes`)

    @property
    def loss_tokens(self) -> int:
        return len(self.targets_L)


def pack(ids: Sequence[NDArray[np.int32]], masks: Sequence[NDArray[np.bool_]], device: torch.device) -> Row:
    """Documents (token ids and loss masks of the same lengths) as one row.

    A document's first token has no context and is no target. What comes after a document's last target cannot change
    any loss and is left out, documents without a target altogether.
    """
    ends = [int(np.flatnonzero(mask[1:])[-1]) + 2 if mask[1:].any() else 0 for mask in masks]
    lengths = tuple(end for end in ends if end)
    ids_T = np.concatenate([document[:end] for document, end in zip(ids, ends, strict=True)])
    mask_T = np.concatenate([mask[:end] for mask, end in zip(masks, ends, strict=True)])
    mask_T[np.cumsum((0, *lengths))[:-1]] = False
    positions_T = np.concatenate([np.arange(end) for end in ends])
    return Row(
        ids_T=torch.from_numpy(ids_T.astype(np.int64)).to(device),
        positions_T=torch.from_numpy(positions_T).to(device),
        lengths=lengths,
        targets_L=torch.from_numpy(np.flatnonzero(mask_T)).to(device),
    )


def target_logits(model: nn.Module, row: Row, *, soft_prompt_PD: Tensor | None = None) -> Tensor:
    """Logits (L, vocabulary) for the row's targets."""
    network = cast(PreTrainedModel, model)
    given, positions_T, lengths, before_L = row.ids_T, row.positions_T, row.lengths, row.targets_L - 1
    if soft_prompt_PD is not None:
        given, positions_T, lengths, before_L = _with_soft_prompt(model, row, soft_prompt_PD)
    if has_own_attention(network):
        return logits_apart(network, given, lengths, before_L)
    return logits(network, given, positions_T, before_L, attends=PACKED_ATTENTION, document_lengths=lengths)


def target_logprobs(
    loaded: LoadedModel,
    ids: Sequence[NDArray[np.int32]],
    masks: Sequence[NDArray[np.bool_]],
    *,
    batch_tokens: int = 2048,
) -> list[NDArray[np.float32]]:
    """Natural-log probabilities of each document's masked tokens, in order; documents keep their order."""
    device = next(loaded.model.parameters()).device
    results: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start, stop in _batches([len(document) for document in ids], batch_tokens):
            row = pack(ids[start:stop], masks[start:stop], device)
            counts = [int(mask[1:].sum()) for mask in masks[start:stop]]
            if row.loss_tokens == 0:
                results += [np.zeros(0, dtype=np.float32)] * (stop - start)
                continue
            logits_LV = target_logits(loaded.model, row, soft_prompt_PD=loaded.soft_prompt_PD).float()
            targets_L = row.ids_T[row.targets_L]
            logprobs_L = -F.cross_entropy(logits_LV, targets_L, reduction="none")
            results += np.split(logprobs_L.cpu().numpy(), np.cumsum(counts)[:-1])
    return results


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[tuple[int, int]]:
    start = total = 0
    for index, length in enumerate(lengths):
        if index > start and total + length > batch_tokens:
            yield start, index
            start, total = index, 0
        total += length
    if start < len(lengths):
        yield start, len(lengths)


def _with_soft_prompt(
    model: nn.Module, row: Row, soft_prompt_PD: Tensor
) -> tuple[Tensor, Tensor, tuple[int, ...], Tensor]:
    """Embeddings and positions with the prompt before each document, their lengths then, what precedes the targets."""
    prefix = len(soft_prompt_PD)
    embedded_TD = cast(Tensor, cast(Any, model).get_input_embeddings()(row.ids_T))
    soft_PD = soft_prompt_PD.to(embedded_TD.dtype)
    pieces = [piece for document in embedded_TD.split(list(row.lengths)) for piece in (soft_PD, document)]
    lengths = tuple(length + prefix for length in row.lengths)
    positions = torch.cat([torch.arange(length, device=embedded_TD.device) for length in lengths])
    ends = torch.tensor(np.cumsum(row.lengths), device=embedded_TD.device)
    document_L = torch.searchsorted(ends, row.targets_L, right=True)
    before_L = row.targets_L - 1 + prefix * (document_L + 1)
    return torch.cat(pieces), positions, lengths, before_L


@register_attention(PACKED_ATTENTION)
def attend_within_documents(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, _layer: Any, options: Mapping[str, Any]
) -> Tensor:
    """Causal attention inside each document of the row."""
    if torch.is_autocast_enabled(query_BHTD.device.type):  # rotation has made queries and keys float32
        dtype = torch.get_autocast_dtype(query_BHTD.device.type)
        query_BHTD, key_BHTD, value_BHTD = query_BHTD.to(dtype), key_BHTD.to(dtype), value_BHTD.to(dtype)
    dropout = options.get("dropout", 0.0)
    limits = Limits.of(query_BHTD, options, dropout=dropout, differentiable=query_BHTD.requires_grad)
    return attend_apart(query_BHTD, key_BHTD, value_BHTD, lengths=options["document_lengths"], limits=limits)
