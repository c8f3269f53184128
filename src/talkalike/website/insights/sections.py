"""The parts of the page: a few words, a plot, and the table it was drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.safestring import SafeString, mark_safe

from talkalike.store.judging.guesses import ARMS, GuessResult
from talkalike.store.judging.standings import Standing
from talkalike.store.judging.summaries import Opinions, RatingSummary
from talkalike.website.insights import opinions
from talkalike.website.insights.charts import SERIES, Axis, Dot, Line, dots, lines, percent
from talkalike.website.insights.tables import Table

NOTHING: SafeString = mark_safe("")
BASE_SERIES = 4
_SHARES = Axis(low=0.0, high=1.0, form=percent, reference=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`empty` stands where there is nothing to show yet."""

    key: str
    title: str
    words: str
    table: Table
    chart: SafeString = NOTHING
    empty: str = ""


def standings(found: Sequence[Standing], bases: frozenset[str]) -> Section:
    """Who wins against whom."""
    rows = [
        Dot(
            label=one.model,
            value=opinions.chance(one.score),
            low=opinions.chance(one.low),
            high=opinions.chance(one.high),
            note=f"{opinions.chance(one.score):.0%}".replace("%", " %"),
            series=BASE_SERIES if one.model in bases else 0,
        )
        for one in found
    ]
    axis = Axis(low=0.0, high=1.0, form=percent, reference=0.5, title="chance that it beats an average model")
    return Section(
        key="standings",
        title="Which model is better",
        words="From blind comparisons, by the Bradley-Terry model. The bar is the 95 % interval: where two bars "
        "overlap much, it is open which of the two is better.",
        chart=dots(rows, axis, label="Chance of each model to beat an average one, with intervals")
        if rows
        else NOTHING,
        table=opinions.standings(found),
        empty="Nobody compared two models yet.",
    )


def over_time(found: Sequence[tuple[date, Sequence[Standing]]], now: Sequence[Standing]) -> Section:
    """The same, as it was on earlier days."""
    shown = [one.model for one in now[:SERIES]]
    drawn = []
    for number, model in enumerate(shown):
        then = [(float(day.toordinal()), one) for day, all_ in found for one in all_ if one.model == model]
        bars = [(day, opinions.chance(one.low), opinions.chance(one.high)) for day, one in then]
        points = [(day, opinions.chance(one.score)) for day, one in then]
        drawn.append(Line(label=model, points=points, bars=bars, series=number, marks=True))
    chart = NOTHING
    if len(found) > 1:
        chart = lines(
            drawn,
            label="Chance of each model to beat an average one, over time",
            x_title="counting what was said up to that day",
            y_form=percent,
            days=lambda value: date.fromordinal(round(value)).strftime("%d %b"),
        )
    more = f" The plot shows the best {SERIES}." if len(now) > SERIES else ""
    return Section(
        key="over-time",
        title="How that changed",
        words=f"The same, counting only what was said up to each day (UTC).{more}",
        chart=chart,
        table=opinions.over_time(found),
        empty="This begins once there are comparisons.",
    )


def ratings(found: Sequence[RatingSummary], bases: frozenset[str]) -> Section:
    """Ratings from 1 to 5."""
    charts = []
    for scale, words in opinions.SCALES.items():
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
        if rows:
            axis = Axis(low=1, high=5, title=f"“{words}”, 1 to 5")
            charts.append(dots(rows, axis, label=f"Mean rating for “{words}” of each model"))
    return Section(
        key="ratings",
        title="Ratings",
        words="Means with intervals that hold however the ratings are spread.",
        chart=mark_safe("".join(charts)),
        table=opinions.ratings(found),
        empty="Nobody rated a reply yet.",
    )


def guesses(found: Sequence[GuessResult]) -> Section:
    """The friends' blind test."""
    rows = [
        Dot(
            label=f"{ARMS.get(one.arm, one.arm)}: {one.model}",
            value=one.taken_for_real.share,
            low=one.taken_for_real.low,
            high=one.taken_for_real.high,
            note=f"{one.taken_for_real.count:,.0f} of {one.taken_for_real.n:,.0f}",
            series=0 if one.arm == "double" else BASE_SERIES,
        )
        for one in found
    ]
    axis = Axis(low=0.0, high=1.0, form=percent, reference=0.5, title="taken for the real one")
    return Section(
        key="blind-test",
        title="The friends' blind test",
        words="How often friends took a reply for the one the person really wrote. Half would mean that nobody can "
        "tell them apart; how far the base model gets says what that is worth. Wilson intervals, 95 %.",
        chart=dots(rows, axis, label="How often each was taken for the real one") if rows else NOTHING,
        table=opinions.guesses(found),
        empty="Nobody took the test yet.",
    )


def agreement(found: Opinions) -> Section:
    """Whether people agree with each other."""
    return Section(
        key="agreement",
        title="Do people agree?",
        words="Krippendorff's alpha is 1 where everybody says the same and 0 where they agree no more than by chance. "
        "It is shown once two or more people judged the same thing 20 times.",
        table=opinions.agreement(found.agreement),
    )


def habits(found: Opinions) -> Section:
    """Whether people agree with themselves, and how fast they are."""
    named = (
        ("The reply shown first wins", found.habits.first),
        ("The same answer when asked again", found.habits.same),
    )
    rows = [
        Dot(label=words, value=one.share, low=one.low, high=one.high, note=f"{one.count:,.0f} of {one.n:,.0f}")
        for words, one in named
        if one.n
    ]
    seconds = found.habits.median_seconds
    speed = f" Half of the latest judgements took less than {seconds:.1f} seconds." if seconds is not None else ""
    return Section(
        key="habits",
        title="How people judge",
        words="The reply shown first should win about half of the time; the same answer should come nearly always."
        f"{speed}",
        chart=dots(rows, _SHARES, label="Position bias and self-consistency") if rows else NOTHING,
        table=opinions.habits(found.habits),
    )


def machines(found: Opinions) -> list[Section]:
    """What AI judges said, which is never added to what people said."""
    made = []
    if found.ai_standings:
        table = opinions.standings(found.ai_standings, name="ai-standings", title="Standings, by AI judges")
        made.append(Section(key="ai-standings", title="Standings, by AI judges", words="", table=table))
    if found.ai_ratings:
        table = opinions.ratings(found.ai_ratings, name="ai-ratings", title="Ratings, by AI judges")
        made.append(Section(key="ai-ratings", title="Ratings, by AI judges", words="", table=table))
    return made
