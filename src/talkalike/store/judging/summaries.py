"""What people think, in numbers: read from the counts that every judgement keeps up to date."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Sum

from talkalike.store.judging import items
from talkalike.store.judging.counting import ANY_DAY, CONSISTENCY, TallyKey
from talkalike.store.judging.guesses import GuessResult, results
from talkalike.store.judging.judgement_values import Choice, JudgedReply, Kind, Scale, Type
from talkalike.store.judging.standings import Standing, stand
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
    """How much somebody judged lately, and how long they take."""

    judge_id: int
    pseudonym: str
    kind: Kind
    judgements: int
    median_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
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


def summary() -> Opinions:
    """Reads everything that the statistics page shows."""
    rows = _tallies()
    return Opinions(
        totals=_totals(rows, Kind.HUMAN),
        judges=_judges(),
        standings=_standings(rows, Kind.HUMAN),
        ratings=_ratings(rows, Kind.HUMAN),
        agreement=agreement(),
        habits=_habits(rows),
        guesses=results(),
        ai_totals=_totals(rows, Kind.AI),
        ai_standings=_standings(rows, Kind.AI),
        ai_ratings=_ratings(rows, Kind.AI),
    )


def _judges() -> int:
    """The people of whom a judgement holds; whoever only came to look is none."""
    held = tables.Judgement.objects.filter(judge=OuterRef("pk"), ended_at=None)
    return tables.Judge.objects.filter(Exists(held), kind=Kind.HUMAN.value).count()


def totals(*, kind: Kind = Kind.HUMAN) -> dict[str, int]:
    """How many judgements of each type hold; skipped comparisons count as skips, and repeated ones as "repeat"."""
    return _totals(_tallies(), kind)


def ratings(*, kind: Kind = Kind.HUMAN) -> tuple[RatingSummary, ...]:
    """Every model on every scale it was rated on."""
    return _ratings(_tallies(), kind)


def habits() -> Habits:
    """How people judge: position bias, self-consistency, speed."""
    return _habits(_tallies())


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
    """Who gave most of the last 10,000 judgements."""
    rows = tables.Judgement.objects.order_by("-id").values_list("judge_id", "ended_at", "seconds")[:RECENT]
    given: dict[int, list[float | None]] = defaultdict(list)
    for judge_id, ended_at, seconds in rows:
        if ended_at is None:
            given[judge_id].append(seconds)
    most = sorted(given, key=lambda judge_id: (-len(given[judge_id]), judge_id))[:limit]
    known = tables.Judge.objects.in_bulk(most)
    return tuple(
        JudgeSummary(
            judge_id=judge_id,
            pseudonym=known[judge_id].pseudonym,
            kind=Kind(known[judge_id].kind),
            judgements=len(given[judge_id]),
            median_seconds=median([seconds for seconds in given[judge_id] if seconds is not None]),
        )
        for judge_id in most
    )


def _tallies() -> list[tuple[TallyKey, int]]:
    """All tallies over all days, read once for everything that is made of them."""
    rows = tables.Tally.objects.values_list(*TallyKey._fields[1:]).annotate(sum=Sum("count")).order_by()
    return [(TallyKey(ANY_DAY, *row[:-1]), row[-1]) for row in rows.filter(sum__gt=0)]


def _totals(rows: list[tuple[TallyKey, int]], kind: Kind) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row, count in rows:
        if row.kind == kind and row.type != CONSISTENCY:
            counts[Type.SKIP.value if row.value == Choice.SKIP else row.type] += count
    return dict(sorted(counts.items()))


def _standings(rows: list[tuple[TallyKey, int]], kind: Kind) -> tuple[Standing, ...]:
    return stand(
        (row.model_a, row.model_b, row.value, count)
        for row, count in rows
        if row.kind == kind and row.type == Type.COMPARISON and row.value != Choice.SKIP
    )


def _ratings(rows: list[tuple[TallyKey, int]], kind: Kind) -> tuple[RatingSummary, ...]:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)
    for row, count in rows:
        if row.kind == kind and row.type == Type.RATING:
            counts[row.model_a, row.scale][int(row.value) - 1] += count
    return tuple(_rating(model, scale, values) for (model, scale), values in sorted(counts.items()))


def _habits(rows: list[tuple[TallyKey, int]]) -> Habits:
    chosen: Counter[int] = Counter()
    twice: Counter[str] = Counter()
    for row, count in rows:
        if row.kind == Kind.HUMAN and row.type == CONSISTENCY:
            twice[row.value] += count
        elif row.kind == Kind.HUMAN:
            chosen[row.first] += count
    last = tables.Judgement.objects.order_by("-id").values_list("seconds", "judge__kind")[:RECENT]
    return Habits(
        first=wilson(chosen[1], chosen[0] + chosen[1]),
        same=wilson(twice["same"], twice.total()),
        median_seconds=median([seconds for seconds, kind in last if seconds is not None and kind == Kind.HUMAN]),
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
