"""The statistics, section by section: an explanation, a chart, and the table it was drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from talkalike.charts.plotter import SERIES, Axis, Chart, Curve, CurveChart, Dot, DotChart, for_page, percent
from talkalike.store.judging.guesses import ARMS, GuessResult
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.standings import Standing
from talkalike.store.judging.statistics import ENOUGH, Alpha, Share
from talkalike.store.judging.summaries import Habits, JudgeSummary, RatingSummary, WorstReply
from talkalike.website.insights.tables import Column, Table, count, decimal, share, with_interval

SCALES = {scale: scale.words("me") for scale in Scale}

BASE_SERIES = 4
MOST_TEXT = 400  # characters of a reply in a CSV file


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`empty` stands where there is nothing to show yet."""

    words: str
    table: Table
    charts: Sequence[Chart] = ()
    empty: str = ""

    @property
    def drawn(self) -> Markup:
        """The charts, for the page."""
        return Markup().join(for_page(chart) for chart in self.charts)


def chance(score: float) -> float:
    """How likely a model with this logit is to beat an average one."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, score))))


def standings(found: Sequence[Standing], bases: frozenset[str] = frozenset()) -> Finding:
    """Who wins against whom, the strongest first."""
    rows = [
        Dot(
            label=one.model,
            value=chance(one.score),
            low=chance(one.low),
            high=chance(one.high),
            note=percent(chance(one.score)),
            series=BASE_SERIES if one.model in bases else 0,
        )
        for one in found
    ]
    return Finding(
        words="From blind comparisons, by the Bradley-Terry model. The bar is the 95 % interval: where two bars "
        "overlap much, it is open which of the two is better.",
        charts=[
            DotChart(
                label="Chance of each model to beat an average one, with intervals",
                rows=rows,
                axis=_share_axis("chance that it beats an average model"),
            )
        ],
        table=standings_table(found, name="standings", title="Which model is better"),
        empty="Nobody has compared two models yet.",
    )


def over_time(found: Sequence[tuple[date, Sequence[Standing]]], now: Sequence[Standing] = ()) -> Finding:
    """The standings as they were, the oldest first. `now`: whose curves are drawn."""
    curves = []
    for number, model in enumerate(one.model for one in now[:SERIES]):
        then = [(float(day.toordinal()), one) for day, all_ in found for one in all_ if one.model == model]
        bars = [(day, chance(one.low), chance(one.high)) for day, one in then]
        points = [(day, chance(one.score)) for day, one in then]
        curves.append(Curve(label=model, points=points, bars=bars, series=number, marks=True))
    days = Axis(
        title="judgements up to that day",
        form=lambda value: date.fromordinal(round(value)).strftime("%d %b"),
    )
    label = "Chance of each model to beat an average one, over time"
    rows = [
        (day.isoformat(), one.model, chance(one.score), chance(one.low), chance(one.high), _games(one))
        for day, then in found
        for one in then
    ]
    more = f" The plot shows the best {SERIES}." if len(now) > SERIES else ""
    return Finding(
        words=f"The standings by the judgements up to each day (UTC).{more}",
        charts=[CurveChart(label=label, curves=curves, x=days, y=Axis(form=percent))] if len(found) > 1 else (),
        table=Table(
            name="over-time",
            title="Standings over time",
            columns=(
                Column("Day"),
                Column("Model"),
                *with_interval("Beats an average one", share),
                Column("Comparisons", count),
            ),
            rows=rows,
        ),
        empty="This chart starts once there are comparisons.",
    )


def ratings(found: Sequence[RatingSummary], bases: frozenset[str] = frozenset()) -> Finding:
    """Ratings from 1 to 5, the best model first."""
    charts = []
    for scale, words in SCALES.items():
        rows = [
            Dot(
                label=one.model,
                value=one.mean,
                low=one.low,
                high=one.high,
                note=f"{one.mean:.2f} from {one.n:,}",
                series=BASE_SERIES if one.model in bases else 0,
            )
            for one in sorted(found, key=lambda one: (-one.mean, one.model))
            if one.scale is scale
        ]
        axis = Axis(low=1, high=5, title=f"“{words}”, 1 to 5")
        charts.append(DotChart(label=f"Mean rating for “{words}” of each model", rows=rows, axis=axis))
    return Finding(
        words="Mean ratings, with intervals that assume nothing about how ratings are distributed.",
        charts=charts,
        table=ratings_table(found, name="ratings", title="Ratings"),
        empty="Nobody has rated a reply yet.",
    )


def guesses(found: Sequence[GuessResult]) -> Finding:
    """How often each model was taken for the real person in blind tests."""
    named = [(ARMS.get(one.arm, one.arm), one.model, one.taken_for_real) for one in found]
    rows = [
        _share_dot(f"{arm}: {model}", taken, series=0 if arm == ARMS["double"] else BASE_SERIES)
        for arm, model, taken in named
    ]
    axis = _share_axis("taken for the real one")
    return Finding(
        words="How often friends took a reply for the one the person really wrote. 50 % would mean that nobody can "
        "tell them apart; compare it with the base model's share. 95 % Wilson intervals.",
        charts=[DotChart(label="How often each was taken for the real one", rows=rows, axis=axis)],
        table=Table(
            name="blind-test",
            title="The friends' blind test",
            columns=(
                Column("Written by"),
                Column("Model"),
                *with_interval("Taken for real", share),
                Column("Times", count),
                Column("Guesses", count),
            ),
            rows=[
                (arm, model, taken.share, taken.low, taken.high, taken.count, taken.n) for arm, model, taken in named
            ],
        ),
        empty="Nobody has taken the test yet.",
    )


def agreement(found: Mapping[str, Alpha]) -> Finding:
    """Whether people agree with each other."""
    named = {"comparisons": "which reply is better", **{scale.value: words for scale, words in SCALES.items()}}
    return Finding(
        words="Krippendorff's alpha is 1 where everybody says the same and 0 where they agree no more than by chance. "
        "It is shown once two or more people judged the same thing 20 times.",
        table=Table(
            name="agreement",
            title="Do people agree?",
            columns=(
                Column("About"),
                Column("Krippendorff's alpha", decimal(2)),
                Column("Said the same", share),
                Column("Judged by two or more", count),
                Column("Judgements of these", count),
            ),
            rows=[(named[key], _alpha(one), one.same, one.units, one.judgements) for key, one in found.items()],
        ),
    )


def habits(found: Habits) -> Finding:
    """Whether people agree with themselves, and how fast they are."""
    named = (("The reply shown first wins", found.first), ("The same answer when asked again", found.same))
    rows = [_share_dot(words, one) for words, one in named if one.n]
    seconds = found.median_seconds
    speed = f" Half of the latest judgements took less than {seconds:.1f} seconds." if seconds is not None else ""
    return Finding(
        words="The reply shown first should win about half of the time; the same answer should come nearly always."
        f"{speed}",
        charts=[DotChart(label="Position bias and self-consistency", rows=rows, axis=_share_axis())],
        table=Table(
            name="habits",
            title="How people judge",
            columns=(Column("How people judge"), *with_interval("Share", share), Column("Of", count)),
            rows=[(words, one.share, one.low, one.high, one.n) for words, one in named],
        ),
    )


def machines(of_standings: Sequence[Standing], of_ratings: Sequence[RatingSummary]) -> list[Finding]:
    """What AI judges said, which is never added to what people said."""
    tables = (
        standings_table(of_standings, name="ai-standings", title="Standings, by AI judges"),
        ratings_table(of_ratings, name="ai-ratings", title="Ratings, by AI judges"),
    )
    return [Finding(words="", table=table) for table in tables]


def standings_table(found: Sequence[Standing], *, name: str, title: str) -> Table:
    """The table of the standings, the strongest model first."""
    columns = (
        Column("Model"),
        *with_interval("Beats an average one", share),
        Column("Score", decimal(2)),
        Column("Wins", count),
        Column("Ties", count),
        Column("Losses", count),
    )
    rows = [
        (one.model, chance(one.score), chance(one.low), chance(one.high), one.score, one.wins, one.ties, one.losses)
        for one in found
    ]
    return Table(name=name, title=title, columns=columns, rows=rows)


def ratings_table(found: Sequence[RatingSummary], *, name: str, title: str) -> Table:
    """By scale, then the best model first."""
    columns = (
        Column("Scale"),
        Column("Model"),
        *with_interval("Mean", decimal(2)),
        Column("Ratings", count),
        *(Column(str(value), count) for value in range(1, 6)),
    )
    order = list(SCALES)
    ordered = sorted(found, key=lambda one: (order.index(one.scale), -one.mean, one.model))
    rows = [(SCALES[one.scale], one.model, one.mean, one.low, one.high, one.n, *one.counts) for one in ordered]
    return Table(name=name, title=title, columns=columns, rows=rows)


def judges_table(found: Sequence[JudgeSummary]) -> Table:
    """Who judged lately, and how fast."""
    columns = (Column("Judge"), Column("Judgements", count), Column("Seconds each (median)", decimal(1)))
    rows = [(one.pseudonym, one.judgements, one.median_seconds) for one in found]
    return Table(name="judges", title="Judges", columns=columns, rows=rows)


def worst_table(found: Sequence[WorstReply]) -> Table:
    """The replies that people like least."""
    columns = (Column("Scale"), Column("Mean", decimal(2)), Column("Ratings", count), Column("Model"), Column("Reply"))
    rows = [
        (SCALES[one.scale], one.mean, one.n, one.model, "\n".join(one.reply.messages)[:MOST_TEXT] if one.reply else "")
        for one in found
    ]
    return Table(name="worst", title="Worst replies", columns=columns, rows=rows)


def _share_axis(title: str = "") -> Axis:
    return Axis(low=0.0, high=1.0, form=percent, reference=0.5, title=title)


def _share_dot(label: str, one: Share, *, series: int = 0) -> Dot:
    note = f"{one.count:,.0f} of {one.n:,.0f}"
    return Dot(label=label, value=one.share, low=one.low, high=one.high, note=note, series=series)


def _games(one: Standing) -> int:
    return one.wins + one.ties + one.losses


def _alpha(one: Alpha) -> float | str:
    if one.alpha is not None:
        return one.alpha
    if one.enough:
        return "all said the same"
    return f"not enough yet ({one.units} of {ENOUGH})"
