"""Shows runs and models. What a run printed is for the owner alone: it may name people and folders."""

from __future__ import annotations

import json
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from talkalike.charts.plotter import SERIES
from talkalike.jobs import runs as run_folders
from talkalike.jobs.runs import Run
from talkalike.store.judging import promotion
from talkalike.store.judging.outcomes import Outcome
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import answer
from talkalike.website.data import read
from talkalike.website.runs import lineage, showing
from talkalike.website.services import services
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.measurements import expectation, measured_twice
from talkalike.workspace.replies import SideBySide, side_by_side

MOST_RUNS = 100


@needs(Role.VIEWER)
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All runs, and the models that they produced. For htmx the list of runs, while one is active."""
    runs = all_runs()
    context: dict[str, Any] = {
        "runs": [showing.view_of(run) for run in runs[:MOST_RUNS]],
        "more": max(0, len(runs) - MOST_RUNS),
        "live": any(run.running for run in runs),
        "may_start": services().run_commands is not None,
    }
    if not HtmxDetails(request):
        cards = all_cards()
        context["models"] = [(card, lineage.words(card)) for card in reversed(cards)]
        context["damaged"] = Catalog(services().root / "models").damaged()
        context["serving"] = serving()
        context["picture"] = lineage.picture(lineage.tree(cards), serving()) if cards else ""
    return answer(request, page="website/runs/index.html", part="website/runs/_runs.html", context=context)


@needs(Role.VIEWER)
@require_safe
def run(request: HttpRequest, name: str) -> HttpResponse:
    """One run. For htmx the part that changes while it is active."""
    found = one_run(name)
    said = side_by_side(found.folder) if visitor_of(request).owner else SideBySide()
    context = {
        "view": showing.view_of(found),
        "run": found,
        "ago": showing.since(found.began),
        "plot": showing.loss_plot(found),
        "others": showing.other_plots(found),
        "steps": said.steps,
        "said": showing.replies_by_prompt(said),
        "evaluations": showing.evaluations(found),
        "settings": showing.settings_of(found),
        "log": showing.log_of(found) if visitor_of(request).owner else None,
        "made": found.model in {card.name for card in all_cards()},
        "may_start": services().run_commands is not None,
    }
    return answer(request, page="website/runs/run.html", part="website/runs/_run.html", context=context)


@needs(Role.VIEWER)
@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Several runs over each other: `?run=...&run=...`; the latest two where none is named."""
    runs = all_runs()
    named = request.GET.getlist("run")
    chosen = [run for run in runs if run.id in named] if named else list(runs[:2])
    context = {
        "chosen": chosen[:SERIES],
        "left_out": len(chosen) - len(chosen[:SERIES]),
        "all": [(run, run in chosen[:SERIES]) for run in runs[:MOST_RUNS]],
        "heldout": showing.comparison_plot(chosen, heldout=True),
        "loss": showing.comparison_plot(chosen, heldout=False),
        "rows": showing.comparison_rows(chosen[:SERIES]),
    }
    return render(request, "website/runs/compare.html", context)


@needs(Role.VIEWER)
@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    """Shows a model's card, where it comes from, and how it was judged."""
    cards, card = all_cards(), one_card(name)
    compared = blind_comparison(card)
    context = {
        "card": card,
        "words": lineage.words(card),
        "measured": [(what, f"{one:.3f}", f"{other:.3f}") for what, one, other in measured_twice(card.scores)],
        "expected": expectation(card.scores),
        "scores": _flat(card.scores),
        "settings": _flat(card.settings),
        "children": [one.name for one in cards if card.name in one.parents],
        "known": {one.name for one in cards},
        "runs": [run for run in all_runs() if run.model == name],
        "serving": serving() == name,
        "compared": compared,
        "verdict": promotion.describe(compared),
        "may_start": services().run_commands is not None,
    }
    return render(request, "website/runs/model.html", context)


# --------------------------------------------------------------------------------------------------------------- inside
def all_runs() -> tuple[Run, ...]:
    """Of the workspace, the newest first."""
    return run_folders.runs(services().root / "runs")


def one_run(name: str) -> Run:
    """The run, or a page that says that there is none."""
    found = run_folders.run(services().root / "runs", name)
    if found is None:
        raise Http404("There is no such run. It may have been deleted.")
    return found


def all_cards() -> tuple[Card, ...]:
    """Of the workspace, the oldest first."""
    return tuple(Catalog(services().root / "models").cards())


def one_card(name: str) -> Card:
    """The model's card, or a page that says that there is none."""
    found = next((card for card in all_cards() if card.name == name), None)
    if found is None:
        raise Http404("There is no such model. It may have been deleted.")
    return found


def blind_comparison(card: Card) -> Outcome | None:
    """How the model's blind comparison came out; None for one that is no candidate."""
    return read(promotion.find_outcome, card.name, promotion.batch_of(card.settings))


def serving() -> str | None:
    """The model that answers where none is named: the one that was promoted, else the one that the engines chose."""
    commands, engines = services().run_commands, services().engines
    chosen = commands.serving() if commands is not None else None
    return chosen or (engines.default if engines is not None else None)


def _flat(values: Any, before: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines: ("loop: seed", "0")."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        words = f"{before}{str(key).replace('_', ' ').replace('heldout', 'held-out')}"
        if isinstance(value, dict):
            found += _flat(value, f"{words}: ")
        elif value is not None and value != []:
            plain = isinstance(value, str | int | float) and not isinstance(value, bool)
            found.append(
                (words, f"{value:.6g}" if isinstance(value, float) else str(value) if plain else json.dumps(value))
            )
    return found
