"""What people said, as tables: from the store's summaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date

from talkalike.store.judging.guesses import ARMS, GuessResult
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.standings import Standing
from talkalike.store.judging.statistics import ENOUGH, Alpha, Share
from talkalike.store.judging.summaries import Habits, JudgeSummary, RatingSummary, WorstReply
from talkalike.website.insights.tables import Column, Table, count, decimal, share

SCALES = {scale: scale.words("me") for scale in Scale}
MOST_TEXT = 400  # characters of a reply in a CSV file


def chance(score: float) -> float:
    """How likely a model with this logit is to beat an average one."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, score))))


def standings(found: Sequence[Standing], *, name: str = "standings", title: str = "Standings") -> Table:
    """Strongest first."""
    columns = (
        Column(title="Model"),
        Column(title="Beats an average one", form=share),
        Column(title="From", form=share),
        Column(title="To", form=share),
        Column(title="Score", form=decimal(2)),
        Column(title="Wins", form=count),
        Column(title="Ties", form=count),
        Column(title="Losses", form=count),
    )
    rows = [
        (one.model, chance(one.score), chance(one.low), chance(one.high), one.score, one.wins, one.ties, one.losses)
        for one in found
    ]
    return Table(name=name, title=title, columns=columns, rows=rows)


def over_time(found: Sequence[tuple[date, Sequence[Standing]]]) -> Table:
    """The standings as they were, oldest first."""
    columns = (
        Column(title="Day"),
        Column(title="Model"),
        Column(title="Beats an average one", form=share),
        Column(title="From", form=share),
        Column(title="To", form=share),
        Column(title="Comparisons", form=count),
    )
    rows = [
        (
            day.isoformat(),
            one.model,
            chance(one.score),
            chance(one.low),
            chance(one.high),
            one.wins + one.ties + one.losses,
        )
        for day, then in found
        for one in then
    ]
    return Table(name="over-time", title="Standings over time", columns=columns, rows=rows)


def ratings(found: Sequence[RatingSummary], *, name: str = "ratings", title: str = "Ratings") -> Table:
    """By scale, then the best model first."""
    columns = (
        Column(title="Scale"),
        Column(title="Model"),
        Column(title="Mean", form=decimal(2)),
        Column(title="From", form=decimal(2)),
        Column(title="To", form=decimal(2)),
        Column(title="Ratings", form=count),
        *(Column(title=str(value), form=count) for value in range(1, 6)),
    )
    order = list(SCALES)
    ordered = sorted(found, key=lambda one: (order.index(one.scale), -one.mean, one.model))
    rows = [(SCALES[one.scale], one.model, one.mean, one.low, one.high, one.n, *one.counts) for one in ordered]
    return Table(name=name, title=title, columns=columns, rows=rows)


def agreement(found: Mapping[str, Alpha]) -> Table:
    """Krippendorff's alpha, or why there is none."""
    columns = (
        Column(title="About"),
        Column(title="Krippendorff's alpha", form=decimal(2)),
        Column(title="Said the same", form=share),
        Column(title="Judged by two or more", form=count),
        Column(title="Judgements of these", form=count),
    )
    named = {"comparisons": "which reply is better", **{scale.value: words for scale, words in SCALES.items()}}
    rows = [(named[key], _alpha(one), one.same, one.units, one.judgements) for key, one in found.items()]
    return Table(name="agreement", title="Agreement", columns=columns, rows=rows)


def habits(found: Habits) -> Table:
    """How people judge."""
    columns = (
        Column(title="How people judge"),
        Column(title="Share", form=share),
        Column(title="From", form=share),
        Column(title="To", form=share),
        Column(title="Of", form=count),
    )
    named = (("The reply shown first wins", found.first), ("The same answer when asked again", found.same))
    rows = [(words, one.share, one.low, one.high, one.n) for words, one in named]
    return Table(name="habits", title="Position and consistency", columns=columns, rows=rows)


def guesses(found: Sequence[GuessResult]) -> Table:
    """The friends' blind test."""
    columns = (
        Column(title="Written by"),
        Column(title="Model"),
        Column(title="Taken for real", form=share),
        Column(title="From", form=share),
        Column(title="To", form=share),
        Column(title="Times", form=count),
        Column(title="Guesses", form=count),
    )
    rows = [(ARMS.get(one.arm, one.arm), one.model, *_interval(one.taken_for_real)) for one in found]
    return Table(name="blind-test", title="Friends' blind test", columns=columns, rows=rows)


def judges(found: Sequence[JudgeSummary]) -> Table:
    """Who judged lately, and how fast."""
    columns = (
        Column(title="Judge"),
        Column(title="Judgements", form=count),
        Column(title="Seconds each (median)", form=decimal(1)),
    )
    rows = [(one.pseudonym, one.judgements, one.median_seconds) for one in found]
    return Table(name="judges", title="Judges", columns=columns, rows=rows)


def worst(found: Sequence[WorstReply]) -> Table:
    """The replies that people like least."""
    columns = (
        Column(title="Scale"),
        Column(title="Mean", form=decimal(2)),
        Column(title="Ratings", form=count),
        Column(title="Model"),
        Column(title="Reply"),
    )
    rows = [
        (SCALES[one.scale], one.mean, one.n, one.model, "\n".join(one.reply.messages)[:MOST_TEXT] if one.reply else "")
        for one in found
    ]
    return Table(name="worst", title="Worst replies", columns=columns, rows=rows)


def _alpha(one: Alpha) -> float | str:
    if one.alpha is not None:
        return one.alpha
    if one.enough:
        return "all said the same"
    return f"not enough yet ({one.units} of {ENOUGH})"


def _interval(one: Share) -> tuple[float | None, float | None, float | None, float, float]:
    return one.share, one.low, one.high, one.count, one.n
