"""What people think, in numbers: read from the counts that every judgement keeps up to date."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, OuterRef, Q, Subquery, Sum

from talkalike.store.judging import items
from talkalike.store.judging.guesses import GuessResult, results
from talkalike.store.judging.judgement_values import Choice, JudgedReply, Kind, Scale, Type
from talkalike.store.judging.standings import Standing, standings
from talkalike.store.judging.statistics import Alpha, Share, krippendorff_alpha, median, wilson
from talkalike.store.tables import judging_tables as tables

RECENT = 10_000  # judgements that speed is measured on
_CHOICES = (Choice.A.value, Choice.B.value, Choice.TIE.value, Choice.BOTH_BAD.value)
_RATINGS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSummary:
    """A model's ratings on one scale. `counts` of 1 to 5; the interval holds whatever their distribution is."""

    model: str
    scale: Scale
    n: int
    mean: float
    low: float
    high: float
    counts: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How people judge. `first`: how often the reply shown first wins, of those with a winner; about a half is good.

    `same`: how often somebody says the same the second time. `median_seconds` of the last 10,000.
    """

    first: Share
    same: Share
    median_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstReply:
    """A reply people rate low; `reply` is None where its text is gone."""

    item_id: int
    model: str
    scale: Scale
    mean: float
    n: int
    reply: JudgedReply | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSummary:
    """How much somebody judged."""

    judge_id: int
    pseudonym: str
    kind: Kind
    judgements: int
    mean_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything the statistics page shows. `totals` counts by type; `agreement` is keyed by "comparisons" and scales.

    What AI judges said stands apart, in `ai_totals`, `ai_standings` and `ai_ratings`.
    """

    totals: Mapping[str, int]
    judges: int
    standings: tuple[Standing, ...]
    ratings: tuple[RatingSummary, ...]
    agreement: Mapping[str, Alpha]
    habits: Habits
    guesses: tuple[GuessResult, ...]
    ai_totals: Mapping[str, int]
    ai_standings: tuple[Standing, ...]
    ai_ratings: tuple[RatingSummary, ...]


def summary() -> Summary:
    """All of it at once."""
    return Summary(
        totals=totals(),
        judges=tables.Judge.objects.filter(kind=Kind.HUMAN.value).count(),
        standings=standings(),
        ratings=ratings(),
        agreement=agreement(),
        habits=habits(),
        guesses=results(),
        ai_totals=totals(kind=Kind.AI),
        ai_standings=standings(kind=Kind.AI),
        ai_ratings=ratings(kind=Kind.AI),
    )


def totals(*, kind: Kind = Kind.HUMAN) -> dict[str, int]:
    """How many judgements of each type hold; skipped comparisons count as skips, and repeated ones as "repeat"."""
    counts: Counter[str] = Counter()
    rows = tables.Tally.objects.filter(kind=kind.value).values_list("type", "value").annotate(sum=Sum("count"))
    for type_, value, count in rows.order_by():
        counts[Type.SKIP.value if value == Choice.SKIP else type_] += int(count)
    return {type_: count for type_, count in sorted(counts.items()) if count}


def ratings(*, kind: Kind = Kind.HUMAN) -> tuple[RatingSummary, ...]:
    """Every model on every scale it was rated on."""
    rows = tables.Tally.objects.filter(kind=kind.value, type=Type.RATING.value)
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)
    grouped = rows.values_list("model_a", "scale", "value").annotate(sum=Sum("count")).order_by()
    for model, scale, value, count in grouped:
        counts[model, scale][int(value) - 1] += int(count)
    return tuple(_rating(model, scale, values) for (model, scale), values in sorted(counts.items()) if sum(values))


def agreement() -> dict[str, Alpha]:
    """Krippendorff's alpha among people: nominal for comparisons, ordinal for each scale."""
    patterns: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for scale, votes, count in tables.Agreement.objects.filter(count__gt=0).values_list("scale", "votes", "count"):
        given = dict(part.split(":") for part in votes.split())
        patterns[scale][tuple(int(given.get(name, 0)) for name in (_RATINGS if scale else _CHOICES))] += int(count)
    found = {"comparisons": krippendorff_alpha(patterns[""], len(_CHOICES), level="nominal")}
    for scale in Scale:
        found[scale.value] = krippendorff_alpha(patterns[scale.value], len(_RATINGS), level="ordinal")
    return found


def habits() -> Habits:
    """How people judge: position bias, self-consistency, speed."""
    chosen = tables.Tally.objects.filter(
        kind=Kind.HUMAN.value, type__in=(Type.COMPARISON.value, "repeat"), first__gte=0
    ).aggregate(first=Sum("count", filter=Q(first=1), default=0), n=Sum("count", default=0))
    again = tables.Judgement.objects.filter(round=1, ended_at=None, judge__kind=Kind.HUMAN.value)
    before = tables.Judgement.objects.filter(pair=OuterRef("pair"), judge=OuterRef("judge"), round=0, ended_at=None)
    both = (
        again.annotate(before=Subquery(before.values("choice")[:1]))
        .exclude(choice=Choice.SKIP.value)
        .exclude(Q(before=None) | Q(before=Choice.SKIP.value))
        .aggregate(n=Count("id"), same=Count("id", filter=Q(choice=F("before"))))
    )
    last = tables.Judgement.objects.order_by("-id").values_list("seconds", "judge__kind")[:RECENT]
    return Habits(
        first=wilson(int(chosen["first"]), int(chosen["n"])),
        same=wilson(int(both["same"]), int(both["n"])),
        median_seconds=median([seconds for seconds, kind in last if seconds is not None and kind == Kind.HUMAN]),
    )


def worst(scale: Scale, *, limit: int = 20, model: str | None = None) -> tuple[WorstReply, ...]:
    """The replies that people rate lowest on the scale; those that several dislike before those that one does."""
    rows = tables.ItemScore.objects.filter(scale=scale.value, kind=Kind.HUMAN.value, count__gt=0)
    if model is not None:
        rows = rows.filter(item__model=model)
    return tuple(
        WorstReply(
            item_id=row.item_id,
            model=row.item.model,
            scale=scale,
            mean=row.mean,
            n=row.count,
            reply=items.read(row.item),
        )
        for row in rows.order_by("rank", "id").select_related("item")[:limit]
    )


def by_judge(*, limit: int = 50) -> tuple[JudgeSummary, ...]:
    """Who judged most. Reads every judgement: not for a page that has to be quick at a million of them."""
    rows: Any = tables.Judgement.objects.filter(ended_at=None)
    rows = rows.values("judge_id", "judge__pseudonym", "judge__kind").annotate(n=Count("id"), mean=Avg("seconds"))
    return tuple(
        JudgeSummary(
            judge_id=row["judge_id"],
            pseudonym=row["judge__pseudonym"],
            kind=Kind(row["judge__kind"]),
            judgements=row["n"],
            mean_seconds=row["mean"],
        )
        for row in rows.order_by("-n", "judge_id")[:limit]
    )


def _rating(model: str, scale: str, counts: list[int]) -> RatingSummary:
    n = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts, start=1)) / n
    # Nothing between 1 and 5 with this mean varies more than ratings that are all 1 or 5, so their interval is safe.
    share = wilson((mean - 1) / 4 * n, n)
    return RatingSummary(
        model=model,
        scale=Scale(scale),
        n=n,
        mean=mean,
        low=1 + 4 * (share.low or 0.0),
        high=1 + 4 * (share.high or 0.0),
        counts=(counts[0], counts[1], counts[2], counts[3], counts[4]),
    )
