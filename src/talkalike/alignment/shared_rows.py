"""Rows for the update in which a prompt stands once, followed by all its replies; each reply sees prompt and itself.

k replies to a prompt of 400 tokens then cost one prompt and not k. Nothing is padded, and a reply's last token, after
which nothing is predicted, is left out. Equal to every reply alone with its prompt; the tests hold gradients to that.
Source of the idea: Prefix Grouper (arXiv:2506.05433), there with two attention calls, here with one and a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from talkalike.alignment.rollouts import Rollout
from talkalike.models.attention import Limits, attend_apart, register_attention, visible_within
from talkalike.models.forward import attention, logits, states
from talkalike.training.batches import fill_rows

SHARED_ROW_ATTENTION = "talkalike_shared_row"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRow:
    """T tokens of some prompts with their replies; L reply tokens are predicted."""

    ids_T: Tensor
    positions_T: Tensor
    lengths: tuple[int, ...]  # of each prompt with its replies, sums to T
    visible: tuple[Tensor, ...]  # for each of them (t, t), true where a token (first index) sees another
    targets_L: Tensor  # the tokens themselves
    before_L: Tensor  # where in the row each is predicted; the end of a prompt for the first token of all its replies
    places_L: Tensor  # where each lies in this process's (n * width) rectangle


def shared_rows(
    rollouts: Sequence[Rollout], groups: Sequence[Sequence[int]], *, width: int, row_tokens: int, device: torch.device
) -> list[SharedRow]:
    """Rows of at most `row_tokens`; a group (replies to one prompt, by index) that is longer is divided."""
    pieces = [piece for group in groups for piece in _divided(rollouts, group, row_tokens)]
    rows = fill_rows(pieces, (_length(rollouts, piece) for piece in pieces), row_tokens)
    return [_row(rollouts, row, width, device) for row in rows]


def target_logits(network: PreTrainedModel, row: SharedRow) -> Tensor:
    """Logits (L, vocabulary) from which the row's targets are predicted."""
    return logits(network, row.ids_T, row.positions_T, row.before_L, attends=SHARED_ROW_ATTENTION, row=row)


def target_states(network: PreTrainedModel, row: SharedRow) -> Tensor:
    """The last layer's states (L, width) before the row's targets."""
    return states(network, row.ids_T, row.positions_T, attends=SHARED_ROW_ATTENTION, row=row)[row.before_L]


def shared_row_attention(network: nn.Module) -> AbstractContextManager[None]:
    """Within it, a network attends within prompts and their replies."""
    return attention(network, SHARED_ROW_ATTENTION)


def _length(rollouts: Sequence[Rollout], piece: Sequence[int]) -> int:
    return len(rollouts[piece[0]].prompt_ids) + sum(len(rollouts[i].reply_ids) - 1 for i in piece)


def _divided(rollouts: Sequence[Rollout], group: Sequence[int], row_tokens: int) -> list[list[int]]:
    pieces: list[list[int]] = []
    for index in group:
        if pieces and _length(rollouts, [*pieces[-1], index]) <= row_tokens:
            pieces[-1].append(index)
        else:
            pieces.append([index])
    return pieces


def _row(rollouts: Sequence[Rollout], pieces: Sequence[Sequence[int]], width: int, device: torch.device) -> SharedRow:
    ids, positions, targets, before, places, visible, lengths = [], [], [], [], [], [], []
    start = 0
    for piece in pieces:
        prompt = rollouts[piece[0]].prompt_ids
        end = len(prompt)
        ids.append(prompt)
        positions.append(np.arange(end))
        owners = [np.zeros(end, dtype=np.int64)]
        for number, index in enumerate(piece, start=1):
            reply = rollouts[index].reply_ids
            read = len(reply) - 1
            targets.append(reply)
            before.append(start + np.concatenate([[len(prompt) - 1], np.arange(end, end + read)]))
            places.append(index * width + np.arange(len(reply)))
            ids.append(reply[:-1])
            positions.append(np.arange(len(prompt), len(prompt) + read))
            owners.append(np.full(read, number))
            end += read
        owner_T = np.concatenate(owners)
        seen_TT = (owner_T[None, :] == 0) | (owner_T[None, :] == owner_T[:, None])
        visible.append(torch.from_numpy(np.tril(seen_TT)).to(device))
        lengths.append(end)
        start += end

    def tensor(arrays: list[Any]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)

    return SharedRow(
        ids_T=tensor(ids),
        positions_T=tensor(positions),
        lengths=tuple(lengths),
        visible=tuple(visible),
        targets_L=tensor(targets),
        before_L=tensor(before),
        places_L=tensor(places),
    )


@register_attention(SHARED_ROW_ATTENTION)
def _attend_to_prompt_and_self(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, _layer: int, options: Mapping[str, Any]
) -> Tensor:
    """Attention of each prompt with its replies. No dropout."""
    row: SharedRow = options["row"]
    # the same arithmetic with and without gradients, so that the first update's ratio is exactly 1
    limits = Limits.of(query_BHTD, options, differentiable=True)
    visible: Sequence[Tensor] = row.visible
    if limits.window is not None:
        positions = row.positions_T.split(list(row.lengths))
        visible = [
            seen & visible_within(place, limits.window) for seen, place in zip(row.visible, positions, strict=True)
        ]
    return attend_apart(query_BHTD, key_BHTD, value_BHTD, lengths=row.lengths, visible=visible, limits=limits)
