"""Pairs of replies to the same context, and the batches in which they are judged blindly."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import items, locks, serving
from talkalike.store.judging.judgement_values import JudgedReply, Reason, RefusedError
from talkalike.store.rows import read_row
from talkalike.store.tables import judging_tables as tables
from talkalike.store.tables import tables as reply_tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

_LONGEST_MODEL = 64  # characters of a model's name
_AT_ONCE = 100  # pairs changed in one transaction


class BatchState(StrEnum):
    """Only OPEN takes judgements; the models' names are known in REVEALED, from which there is no way back."""

    OPEN = "open"
    CLOSED = "closed"
    REVEALED = "revealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch. `pairs` in all, `left` still to be judged by somebody.

    `name` is what judges see: a name that would tell which models they compare is kept back until they are revealed.
    """

    id: int
    name: str
    state: BatchState
    seed: int
    server_id: int | None
    made_at: datetime
    revealed_at: datetime | None
    pairs: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPair:
    """A pair that can be judged, with what its replies say."""

    id: int
    a: JudgedReply
    b: JudgedReply


# ------------------------------------------------------------------------------------------------------------- batches
def make_batch(name: str, *, seed: int | None = None, by: int | None = None, server_id: int | None = None) -> int:
    """Makes an open batch and returns its id. `seed` decides orders and repetitions; `by` is the judge who made it."""
    row = tables.Batch.objects.create(
        name=storable.text(name),
        state=BatchState.OPEN.value,
        seed=secrets.randbits(48) if seed is None else seed,
        by=by,
        server_id=server_id or 0,
        made_at=timezone.now(),
    )
    return int(row.pk)


def close_batch(batch_id: int) -> bool:
    """Takes no more judgements; False if it was not open."""
    open_ = tables.Batch.objects.filter(id=batch_id, state=BatchState.OPEN.value)
    return open_.update(state=BatchState.CLOSED.value, closed_at=timezone.now()) > 0


def reopen_batch(batch_id: int) -> bool:
    """Takes judgements again; False if it was not closed, or its names are known."""
    closed = tables.Batch.objects.filter(id=batch_id, state=BatchState.CLOSED.value)
    return closed.update(state=BatchState.OPEN.value, closed_at=None) > 0


def reveal_batch(batch_id: int) -> bool:
    """Shows the models' names, which ends the judging for good; False if they were shown before."""
    hidden = tables.Batch.objects.filter(id=batch_id).exclude(state=BatchState.REVEALED.value)
    return hidden.update(state=BatchState.REVEALED.value, revealed_at=timezone.now()) > 0


def batches(*, state: BatchState | None = None) -> tuple[BatchRow, ...]:
    """All batches (in that state), newest first."""
    rows = tables.Batch.objects.order_by("-id")
    return _batches(rows.filter(state=state.value) if state else rows)


def batch(batch_id: int) -> BatchRow | None:
    """The batch, or None if there is none."""
    return next(iter(_batches(tables.Batch.objects.filter(id=batch_id))), None)


def state_of(batch_id: int) -> BatchState | None:
    """How the batch stands, without counting its pairs; None if there is no such batch."""
    found = tables.Batch.objects.filter(id=batch_id).values_list("state", flat=True).first()
    return None if found is None else BatchState(found)


# --------------------------------------------------------------------------------------------------------------- pairs
def make_pair(a_item: int, b_item: int, batch_id: int | None = None, *, spread: float = 0.0) -> int:
    """Makes a pair and returns its id; the same pair of a batch again is the one that is there.

    `spread`: how much models disagree about it, from 0 (sure) to 1; such pairs come first. The order in which its
    replies stand is drawn once from the batch's seed. Raises RefusedError where a reply is gone, both are the same,
    they answer different contexts, or the batch is closed.
    """
    batch_row = locks.open_batch(batch_id) if batch_id is not None else None
    a, b = _item(a_item), _item(b_item)
    told_a, told_b = items.read(a), items.read(b)
    if told_a is None or told_b is None:
        raise locks.vanished_error()
    same = (told_a.context, told_a.speaker) == (told_b.context, told_b.speaker) or _same_message(a, b)
    if a.pk == b.pk or not same:
        raise RefusedError(Reason.INVALID, "Only two different replies to the same messages can be compared.")
    key = items.pair_key(*([batch_row.name, str(batch_row.seed)] if batch_row else []), a.key, b.key)
    row = tables.Pair(key=key, batch=batch_row, a=a, b=b, a_first=False, made_at=timezone.now())
    row.a_first = serving.chance(batch_row, "stored order", row) < 0.5
    row.wanted = row.missing = 1 + int(serving.chance(batch_row, "two people", row) < serving.TWO_PEOPLE)
    _unsure(row, spread)
    drawn = ("batch", "a", "b", "a_first", "made_at", "wanted", "missing", "spread", "unsure")
    stored, _ = tables.Pair.objects.get_or_create(key=key, defaults={name: getattr(row, name) for name in drawn})
    return int(stored.pk)


def waiting(*, most: int, batch_id: int | None = None) -> tuple[OpenPair, ...]:
    """Pairs of open batches (or of one of them) that wait for a judgement, at most so many, in the order of asking."""
    rows = tables.Pair.objects.filter(batch__state=BatchState.OPEN.value, missing__gt=0)
    if batch_id is not None:
        rows = rows.filter(batch_id=batch_id)
    found: list[OpenPair] = []
    for row in rows.select_related("a", "b").order_by("-unsure", "id")[:most]:
        a, b = items.read(row.a), items.read(row.b)
        if a is not None and b is not None:
            found.append(OpenPair(id=row.pk, a=a, b=b))
    return tuple(found)


def set_spreads(spreads: Mapping[int, float]) -> None:
    """Says anew how much models disagree about these pairs (see `make_pair`)."""
    ids = list(spreads)
    for start in range(0, len(ids), _AT_ONCE):
        with transaction.atomic():  # a short one: nobody's vote waits
            rows = list(tables.Pair.objects.filter(id__in=ids[start : start + _AT_ONCE]).only("id"))
            for row in rows:
                _unsure(row, spreads[row.pk])
            tables.Pair.objects.bulk_update(rows, ["spread", "unsure"])


def _unsure(row: models.Pair, spread: float) -> None:
    row.spread = min(1.0, max(0.0, spread)) if math.isfinite(spread) else 0.0
    row.unsure = row.spread + 1.0  # as if the two models were equal, until it is this pair's turn


def names_a_model(name: str, models: Iterable[str]) -> bool:
    """Whether a batch called so would tell its judges whom they compare."""
    return any(re.search(rf"(?<!\w){re.escape(model)}(?!\w)", name, re.IGNORECASE) for model in models if model)


def names(pair_id: int) -> tuple[str, str]:
    """The models behind a and b. Raises RefusedError as long as the pair's batch is not revealed."""
    row = tables.Pair.objects.select_related("a", "b", "batch").filter(id=pair_id).first()
    if row is None:
        raise locks.unknown_error("pair")
    if row.batch is not None and row.batch.state != BatchState.REVEALED:
        raise RefusedError(Reason.CLOSED, "The models' names are shown when the batch is done.")
    return row.a.model, row.b.model


def _same_message(a: models.Item, b: models.Item) -> bool:
    """Whether both answer one message on Discord: of its context, one model may have seen more than the other."""
    triggers = reply_tables.Reply.objects.filter(id__in={a.reply_id, b.reply_id} - {None})
    found = list(triggers.values_list("trigger_id", flat=True))
    return len(found) == 2 and found[0] == found[1]


def _item(item_id: int) -> models.Item:
    row = tables.Item.objects.filter(id=item_id).first()
    if row is None:
        raise locks.unknown_error("reply")
    return row


def _batches(rows: Any) -> tuple[BatchRow, ...]:
    """Counted for all of them at once."""
    found = list(rows)
    of_these = tables.Pair.objects.filter(batch_id__in=[row.pk for row in found]).order_by()
    pairs_, left = (
        dict(some.values_list("batch_id").annotate(count=Count("id")))
        for some in (of_these, of_these.filter(missing__gt=0))
    )
    return tuple(
        read_row(
            BatchRow,
            row,
            name=_blind_name(row),
            state=BatchState(row.state),
            server_id=row.server_id or None,
            pairs=pairs_.get(row.pk, 0),
            left=left.get(row.pk, 0),
        )
        for row in found
    )


def _blind_name(row: models.Batch) -> str:
    """Its name, unless a part of it is a model's. Looks parts up: reading which models a batch compares takes long."""
    if row.state == BatchState.REVEALED:
        return str(row.name)
    edges = [0, *(found.end() for found in re.finditer(r"\w+|\W+", row.name))]
    parts = {row.name[start:end] for start in edges for end in edges if 0 < end - start <= _LONGEST_MODEL}
    known = tables.Item.objects.filter(model__in={*parts, *map(str.lower, parts)}).order_by()
    return f"Batch {row.pk}" if names_a_model(row.name, known.values_list("model", flat=True).distinct()) else row.name
