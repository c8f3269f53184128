"""How a batch is filled: which replies to the same messages are put side by side."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations, product

from talkalike.store.judging import pairs

CHUNK = 10  # pairs stored at a time, so that nobody's vote waits for a whole batch


def choose_pairs(
    groups: Sequence[dict[str, list[int]]], count: int, *, same_model: bool, seed: int
) -> list[tuple[int, int]]:
    """Up to `count` pairs of items. Each context gives one pair before any gives a second; `seed` decides which.

    `same_model`: two replies of one model may be a pair as well.
    """
    chance = random.Random(seed)
    possible = [_pairs_of(group, same_model=same_model) for group in groups]
    for some in possible:
        chance.shuffle(some)
    chance.shuffle(possible)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count and (possible := [some for some in possible if some]):
        chosen += [some.pop() for some in possible]
    return chosen[:count]


def store_pairs(chosen: Iterable[tuple[int, int]], batch_id: int) -> int:
    """Stores a few of them; returns how many. Raises RefusedError where a reply is gone."""
    return len({pairs.make_pair(a, b, batch_id) for a, b in chosen})


def _pairs_of(group: dict[str, list[int]], *, same_model: bool) -> list[tuple[int, int]]:
    across = [pair for one, two in combinations(group.values(), 2) for pair in product(one, two)]
    within = [pair for ids in group.values() for pair in combinations(ids, 2)] if same_model else []
    return across + within
