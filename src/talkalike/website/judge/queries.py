"""What the judge page asks of the store's tables besides the store's own questions. Nothing here writes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models import Count

from talkalike.store.judging.items import DISCORD
from talkalike.store.judging.judgement_values import Choice, Type
from talkalike.store.judging.pairs import BatchState
from talkalike.store.tables import judging_tables as tables

MOST_TODAY = 1000  # pairs a day after which nobody counts
MOST_ITEMS = 20_000  # replies looked through, newest first, for pairs of a new batch
MOST_SHOWN = 200  # pairs listed once names are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A pair of a revealed batch, as this judge judged it. `a` and `b` are models; `winner` is one of them or ""."""

    pair_id: int
    repeat: bool
    a: str
    b: str
    choice: Choice

    @property
    def winner(self) -> str:
        """The model whose reply they took."""
        return {Choice.A: self.a, Choice.B: self.b}.get(self.choice, "")


def judged_since(judge_id: int, batch_id: int, since: datetime) -> int:
    """How many pairs of the batch the judge judged since then, at most 1,000. Skips count: they were looked at."""
    held = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None, type=Type.COMPARISON.value)
    newest = held.order_by("-id").values_list("at", "pair__batch_id")[:MOST_TODAY]
    return sum(at >= since and batch == batch_id for at, batch in newest)


def was_given(judge_id: int, batch_id: int, pair_id: int, *, repeat: bool) -> bool:
    """Whether the judge was shown the pair. Nobody judges what was not given to them."""
    given = tables.Assignment.objects.filter(judge_id=judge_id, pair_id=pair_id, batch_id=batch_id, round=int(repeat))
    return bool(given.exists())


def state(batch_id: int) -> BatchState | None:
    """How the batch stands, without counting its pairs; None if there is no such batch."""
    found = tables.Batch.objects.filter(id=batch_id).values_list("state", flat=True).first()
    return None if found is None else BatchState(found)


def first_item(pair_id: int) -> int | None:
    """The item that the pair's choice "a" stands for."""
    return tables.Pair.objects.filter(id=pair_id).values_list("a_id", flat=True).first()


def judged_pairs(judge_id: int, batch_id: int) -> list[Judged]:
    """The batch's pairs that this judge judged, newest first, with their models: only for batches that are revealed."""
    held = tables.Judgement.objects.filter(judge_id=judge_id, ended_at=None, type=Type.COMPARISON.value)
    rows = held.filter(pair__batch_id=batch_id, pair__batch__state="revealed").order_by("-id")
    columns = rows.values_list("pair_id", "round", "pair__a__model", "pair__b__model", "choice")
    return [
        Judged(pair_id=pair, repeat=bool(round_), a=a, b=b, choice=Choice(choice))
        for pair, round_, a, b, choice in columns[:MOST_SHOWN]
    ]


def models() -> list[tuple[str, int]]:
    """Models that gave replies which can stand in a batch, with how many, most first."""
    items = tables.Item.objects.filter(gone_at=None).exclude(origin=DISCORD)
    counted = items.order_by().values_list("model").annotate(count=Count("id"))
    return sorted(((model, count) for model, count in counted), key=lambda found: (-found[1], found[0]))


def answers(wanted: list[str]) -> list[dict[str, list[int]]]:
    """Replies of the wanted models to the same messages: for each context that has several, item ids by model."""
    items = tables.Item.objects.filter(gone_at=None, model__in=wanted).exclude(origin=DISCORD)
    rows = items.order_by("-id").values_list("id", "model", "speaker", "context").iterator(chunk_size=500)
    found: dict[bytes, dict[str, list[int]]] = {}
    for item_id, model, speaker, context in islice(rows, MOST_ITEMS):
        key = hashlib.sha256(json.dumps([speaker, context]).encode()).digest()
        found.setdefault(key, {}).setdefault(model, []).append(item_id)
    return [group for group in found.values() if sum(map(len, group.values())) > 1]
