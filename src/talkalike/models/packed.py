"""Several conversations in one row without padding, each attending only to itself.

A row is the concatenation of its documents. Attention runs document by document (no T x T mask is built and no work is
done between documents), positions restart in each, and the head is computed only where a token is to be predicted.
Equal to running each document alone; `tests/test_packed.py` holds that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from talkalike.models.forward import logits
from talkalike.models.load import LoadedModel

PACKED_ATTENTION = "talkalike_packed"
_BLOCK = 256  # queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Documents packed into one row of T tokens; L of them are predicted."""

    ids_T: Tensor  # int64
    positions_T: Tensor  # int64, restart at 0 in every document
    lengths: tuple[int, ...]  # tokens of each document, sums to T
    targets_L: Tensor  # int64 indices into the row of the tokens to predict

    @property
    def loss_tokens(self) -> int:
        """How many tokens are predicted."""
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


def _attend_within_documents(  # signature: transformers
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
    """Causal attention inside each document of the row, in transformers' attention interface."""
    if torch.is_autocast_enabled(query_BHTD.device.type):  # rotation has made queries and keys float32
        dtype = torch.get_autocast_dtype(query_BHTD.device.type)
        query_BHTD, key_BHTD, value_BHTD = query_BHTD.to(dtype), key_BHTD.to(dtype), value_BHTD.to(dtype)
    lengths = list(options["document_lengths"])
    limits = _Limits(scaling=scaling, window=options.get("sliding_window"), softcap=options.get("softcap"))
    groups = query_BHTD.shape[1] // key_BHTD.shape[1]
    if groups > 1:
        key_BHTD = key_BHTD.repeat_interleave(groups, dim=1)
        value_BHTD = value_BHTD.repeat_interleave(groups, dim=1)
    attended = [
        _attend(query, key, value, limits, dropout)
        for query, key, value in zip(
            query_BHTD.split(lengths, dim=2),
            key_BHTD.split(lengths, dim=2),
            value_BHTD.split(lengths, dim=2),
            strict=True,
        )
    ]
    return torch.cat(attended, dim=2).transpose(1, 2), None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What an architecture does to its attention scores."""

    scaling: float | None
    window: int | None
    softcap: float | None


def _attend(query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, limits: _Limits, dropout: float) -> Tensor:
    length = query_BHTD.shape[2]
    attend = functools.partial(
        F.scaled_dot_product_attention, query_BHTD, key_BHTD, value_BHTD, scale=limits.scaling, dropout_p=dropout
    )
    if limits.softcap is None and (limits.window is None or length <= limits.window):
        if query_BHTD.dtype is torch.bfloat16 and query_BHTD.device.type == "cpu" and query_BHTD.requires_grad:
            return _attend_in_blocks(query_BHTD, key_BHTD, value_BHTD, limits.scaling)
        return attend(is_causal=True)
    place_T = torch.arange(length, device=query_BHTD.device)
    distance_TT = place_T[:, None] - place_T
    allowed_TT = (distance_TT >= 0) & (distance_TT < (limits.window or length))
    if limits.softcap is None:
        return attend(attn_mask=allowed_TT)
    scale = limits.scaling if limits.scaling is not None else query_BHTD.shape[-1] ** -0.5
    scores_BHTT = limits.softcap * torch.tanh(query_BHTD @ key_BHTD.transpose(2, 3) * scale / limits.softcap)
    return scores_BHTT.masked_fill(~allowed_TT, float("-inf")).softmax(dim=-1) @ value_BHTD


def _attend_in_blocks(query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, scaling: float | None) -> Tensor:
    """Causal attention by blocks of queries over their own past, as plain matrix products.

    Training on a CPU in bfloat16 only: there the fused kernel's backward pass takes up to twice as long. Scores are
    rounded to bfloat16, as in transformers' eager attention.
    """
    length = query_BHTD.shape[2]
    query_BHTD = query_BHTD * (scaling if scaling is not None else query_BHTD.shape[-1] ** -0.5)
    key_BHDT = key_BHTD.transpose(2, 3)
    future_QQ = torch.full((_BLOCK, _BLOCK), float("-inf"), dtype=query_BHTD.dtype).triu(1)
    blocks = []
    for start in range(0, length, _BLOCK):
        stop = min(length, start + _BLOCK)
        scores_BHQT = query_BHTD[:, :, start:stop] @ key_BHDT[..., :stop]
        scores_BHQT[..., start:] += future_QQ[: stop - start, : stop - start]
        blocks.append(scores_BHQT.softmax(dim=-1) @ value_BHTD[:, :, :stop])
    return torch.cat(blocks, dim=2)


AttentionInterface.register(PACKED_ATTENTION, _attend_within_documents)
