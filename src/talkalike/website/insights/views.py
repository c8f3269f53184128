"""The statistics: everybody who may view sees numbers; what was said to the double is for its owner alone."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from talkalike.jobs import runs as run_folders
from talkalike.store.judging import guesses, standings, summaries
from talkalike.store.judging.judgement_values import Kind, Scale
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.data import read
from talkalike.website.insights import measured, sections, tables
from talkalike.website.insights.sections import SCALES, Finding
from talkalike.website.insights.tables import Table
from talkalike.website.services import services
from talkalike.workspace.cards import Card, Catalog

MOST_RUNS = 40  # of which the latest that measured something are shown
MOST_WORST = 20
TOTALS = {
    "comparison": "comparisons",
    "repeat": "repeated comparisons",
    "rating": "ratings",
    "correction": "corrections",
    "flag": "flags",
    "skip": "skips",
}


@needs(Role.VIEWER)
@gzip_page  # plots and tables are long and repeat themselves
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Everything at once. Nothing is kept between two requests: the store keeps the counts."""
    found = read(summaries.summary)
    cards, runs = _cards(), _runs()
    bases = frozenset(card.name for card in cards if card.kind == "base")
    machines = sections.machines(found.ai_standings, found.ai_ratings)
    context = {
        "totals": [(words, tables.count(found.totals[key])) for key, words in TOTALS.items() if found.totals.get(key)],
        "judges": found.judges,
        "sections": [
            sections.standings(found.standings, bases),
            sections.over_time(read(standings.over_time), found.standings),
            sections.guesses(found.guesses),
            sections.ratings(found.ratings, bases),
            sections.agreement(found.agreement),
            sections.habits(found.habits),
        ],
        "measured": [measured.likeness(cards), measured.losses(runs)],
        "machines": [section for section in machines if section.table.rows],
        "ai_total": sum(found.ai_totals.values()),
    }
    if visitor_of(request).owner:
        context["by_judge"] = sections.judges_table(read(summaries.by_judge))
    return render(request, "website/insights/index.html", context)


@needs(Role.OWNER)
@require_safe
def worst(request: HttpRequest) -> HttpResponse:
    """The replies that people like least, with what they answered."""
    scale, model = _scale(request), request.GET.get("model", "")
    found = read(summaries.worst, scale, limit=MOST_WORST, model=model or None)
    models = sorted({one.model for one in read(summaries.ratings) if one.scale is scale})
    scales = [(one.value, words, one is scale) for one, words in SCALES.items()]
    context = {"found": found, "scales": scales, "scale": SCALES[scale], "models": models, "model": model}
    return render(request, "website/insights/worst.html", context)


@needs(Role.VIEWER)
@require_safe
def as_csv(request: HttpRequest, name: str) -> HttpResponse:
    """One table as a file."""
    made: dict[str, Callable[[], Finding | Table]] = {
        "standings": lambda: sections.standings(read(standings.standings)),
        "over-time": lambda: sections.over_time(read(standings.over_time)),
        "ratings": lambda: sections.ratings(read(summaries.ratings)),
        "agreement": lambda: sections.agreement(read(summaries.agreement)),
        "habits": lambda: sections.habits(read(summaries.habits)),
        "blind-test": lambda: sections.guesses(read(guesses.results)),
        "likeness": lambda: measured.likeness(_cards()),
        "losses": lambda: measured.losses(_runs()),
        "ai-standings": lambda: sections.machines(read(standings.standings, kind=Kind.AI), ())[0],
        "ai-ratings": lambda: sections.machines((), read(summaries.ratings, kind=Kind.AI))[1],
    }
    if visitor_of(request).owner:
        made["judges"] = lambda: sections.judges_table(read(summaries.by_judge))
        made["worst"] = lambda: sections.worst_table(read(summaries.worst, _scale(request), limit=1000))
    if name not in made:
        raise Http404("There is no such table.")
    found = made[name]()
    table = found if isinstance(found, Table) else found.table
    response = HttpResponse(tables.as_csv(table), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cards() -> tuple[Card, ...]:
    return tuple(Catalog(services().root / "models").cards())


def _runs() -> tuple[run_folders.Run, ...]:
    return run_folders.runs(services().root / "runs")[:MOST_RUNS]


def _scale(request: HttpRequest) -> Scale:
    given = request.GET.get("scale", "")
    return Scale(given) if given in set(Scale) else Scale.SOUNDS_LIKE_ME
