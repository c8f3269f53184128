"""Which documents are trained together: shuffled per epoch, packed into rows, rows gathered into optimiser batches.

A pure function of the documents' lengths, the seed and the epoch, so that a resumed training sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Rows = list[list[int]]  # document indices, row by row


def epoch_batches(lengths: Sequence[int], *, seed: int, epoch: int, row_tokens: int, batch_tokens: int) -> list[Rows]:
    """The optimiser batches of one epoch, each document once.

    A row holds at most `row_tokens` (a longer document stands alone); a batch holds rows of about `batch_tokens`.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(lengths))
    rows = fill_rows(order.tolist(), [lengths[index] for index in order], row_tokens)
    total = sum(lengths)
    count = max(1, round(total / batch_tokens)) if rows else 0
    return [rows[start:stop] for start, stop in _even_parts(len(rows), min(count, len(rows)))]


def fill_rows(items: Iterable[T], lengths: Iterable[int], most: int) -> list[list[T]]:
    """The items in order, row by row; a row holds at most `most` tokens, or one item that is longer."""
    rows: list[list[T]] = []
    filled = most
    for item, length in zip(items, lengths, strict=True):
        if filled + length > most:
            rows.append([])
            filled = 0
        rows[-1].append(item)
        filled += length
    return rows


def _even_parts(length: int, parts: int) -> list[tuple[int, int]]:
    edges = [round(index * length / parts) for index in range(parts + 1)] if parts else []
    return list(pairwise(edges))
