"""What AI judges say about pairs: stored like people's judgements but as of kind "ai", which is always counted apart.

The choice is what counts. How sure the judge was stands in the judgement's text, which comparisons do not use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from talkalike.store.judging import items, judges, pairs, voting
from talkalike.store.judging.judgement_values import Choice, JudgedReply, Kind, Type
from talkalike.store.judging.pairs import OpenPair
from talkalike.store.tables import judging_tables as tables

FACE = "judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A soft label: the probability that a is better, and how far apart the two orders were (-1 to 1)."""

    judge: str  # as given to `put`
    choice: Choice
    probability: float
    gap: float | None  # None: not known


def unlabelled_pairs(judge_names: Iterable[str], *, limit: int) -> tuple[OpenPair, ...]:
    """Pairs that at least one of these judges has not judged, the newest first.

    Only pairs whose texts may be learned from, in batches that still take judgements.
    """
    wanted = {judges.of_ai(name).id for name in judge_names}
    found: list[OpenPair] = []
    rows = tables.Pair.objects.select_related("a", "b", "batch").order_by("-id")
    for row in rows.iterator(chunk_size=200):
        if len(found) == limit:
            break
        if row.batch is not None and row.batch.state != pairs.BatchState.OPEN:
            continue
        said = tables.Judgement.objects.filter(pair=row, judge_id__in=wanted, ended_at=None).count()
        a, b = items.read_for_training(row.a), items.read_for_training(row.b)
        if said < len(wanted) and a is not None and b is not None:
            found.append(OpenPair(id=row.pk, a=a, b=b))
    return tuple(found)


def put_pair(a: JudgedReply, b: JudgedReply) -> OpenPair:
    """Stores two replies to the same messages, outside all batches. Raises RefusedError as `pairs.make_pair` does."""
    with transaction.atomic():
        pair_id = pairs.make_pair(items.put_item(a), items.put_item(b))
    return OpenPair(id=pair_id, a=a, b=b)


def put(pair_id: int, label: Label) -> int:
    """Stores what an AI judge says; returns the judgement's id. Said before about the same pair, it is replaced."""
    content = as_text(label.probability, label.gap)
    with transaction.atomic():
        judge = judges.of_ai(label.judge)
        judgement_id = voting.compare(pair_id, judge.id, label.choice, face=FACE)
        tables.Judgement.objects.filter(id=judgement_id).update(text=content)
    return judgement_id


def of_pair(pair_id: int) -> tuple[Label, ...]:
    """The labels that hold for a pair, in the order in which they were given."""
    rows = tables.Judgement.objects.filter(
        pair_id=pair_id, ended_at=None, type=Type.COMPARISON.value, judge__kind=Kind.AI.value
    ).exclude(text="")
    labels = []
    for row in rows.select_related("judge").order_by("id"):
        judge = row.judge.pseudonym.removeprefix("ai:")
        labels.append(Label(judge=judge, choice=Choice(row.choice), **from_text(row.text)))
    return tuple(labels)


def as_text(probability: float, gap: float | None) -> str:
    """How sure a judge was, as it stands in the judgement's text."""
    soft = {"probability": probability} | ({} if gap is None else {"gap": gap})
    return json.dumps({name: round(value, 6) for name, value in soft.items()})


def from_text(text: str) -> dict[str, Any]:
    """`probability` and `gap` out of a comparison's text; None where a judge (a person, say) just chose."""
    content = json.loads(text) if text else {}
    return {"probability": content.get("probability"), "gap": content.get("gap")}
