"""Packed rows with pictures in them: documents become a row, and the row logits for its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.models.eyes.adapter import SeeingAdapter
from talkalike.models.eyes.seen import IMAGE, see_row
from talkalike.models.forward import logits
from talkalike.models.packed import PACKED_ATTENTION, Row, pack


def pack_seen(
    ids: Sequence[NDArray[np.int32]],
    masks: Sequence[NDArray[np.bool_]],
    grids: Sequence[Sequence[Tensor]],
    *,
    places: int,
    device: torch.device,
) -> Row:
    """Documents with their pictures' grids (M, C) as one row; what packing leaves out takes its pictures along."""
    row = pack(ids, masks, device)
    kept: list[Tensor] = []
    for document, mask, pictures in zip(ids, masks, grids, strict=True):
        if mask[1:].any():
            end = int(np.flatnonzero(mask[1:])[-1]) + 2
            kept += pictures[: int((document[:end] == IMAGE).sum()) // places]
    return replace(row, grids_NMC=torch.stack([grid.float() for grid in kept]).to(device)) if kept else row


def seen_target_logits(network: PreTrainedModel, adapter: SeeingAdapter, row: Row) -> Tensor:
    """Logits (L, vocabulary) for the targets of a row with pictures."""
    assert row.grids_NMC is not None, "a row with loss has a picture: there is none before the first"
    seen = see_row(row.ids_T, row.lengths, adapter.media(row.grids_NMC), places=adapter.places)
    return logits(
        network,
        adapter.embedded(network, row.ids_T, seen),
        row.positions_T,
        row.targets_L - 1,
        attends=PACKED_ATTENTION,
        beside=adapter.beside(seen),
        document_lengths=row.lengths,
    )
