"""What the owner does with trainings: starts, stops and resumes them, and says which model serves."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.errors import UserError
from talkalike.jobs import job
from talkalike.jobs.runs import Run
from talkalike.store.judging import promotion
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import redirect
from talkalike.website.services import services
from talkalike.website.trainings import views
from talkalike.website.trainings.forms import AlignmentForm, RecipeForm, doubles
from talkalike.website.trainings.service import Alignment, Recipe, Trainings
from talkalike.workspace.cards import Card
from talkalike.workspace.example_sets import example_sets
from talkalike.workspace.run_folder import RunState


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The recipe form. A training that it starts is a program of its own, which outlives this site."""
    trainings, cards = _trainings(), views.all_cards()
    examples = example_sets(services().root / "examples")
    wanted = {"examples": request.GET.get("examples", ""), "base": request.GET.get("base", "")}
    given = {key: value for key, value in wanted.items() if value}
    form = RecipeForm(request.POST or None, initial=given, examples=examples, cards=cards, taken=_taken(cards))
    if _may_begin(request, form):
        recipe = form.recipe
        return _begun(request, recipe, lambda run: trainings.train(recipe, run))
    return _form(request, form, "website/trainings/new.html", examples=examples)


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def align(request: HttpRequest) -> HttpResponse:
    """The same for learning from what people think: a reward model, practice with a reward, or preferences."""
    trainings, cards = _trainings(), views.all_cards()
    form = AlignmentForm(request.POST or None, cards=cards, taken=_taken(cards))
    if _may_begin(request, form):
        wanted = form.alignment
        return _begun(request, wanted, lambda run: trainings.align(wanted, run))
    return _form(request, form, "website/trainings/align.html", doubles=doubles(cards))


@needs(Role.OWNER)
@require_POST
def stop(request: HttpRequest, name: str) -> HttpResponse:
    """Asks a training to save and end."""
    found = views.one_run(name)
    if job.stop(found.folder):
        messages.success(request, "It ends after the step that it is in, and saves what it has.")
    elif found.running:
        raise UserError(
            "This training was not started from this site.", hint="Stop it where it was started, with Ctrl-C."
        )
    else:
        messages.warning(request, "It had ended already.")
    return redirect(request, "trainings:run", name)


@needs(Role.OWNER)
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Goes on with a training that was stopped, or broke off."""
    trainings, found = _trainings(), views.one_run(name)
    if (busy := _busy()) is not None:
        raise UserError(f"{busy.model} is being trained.", hint="Wait for it, or stop it, before another one goes on.")
    newest = next((run for run in views.all_runs() if run.model == found.model and run.resumable), None)
    if newest is None or newest.id != found.id:
        raise UserError("This training cannot go on.", hint="Start a new one instead.")
    about = dict(found.job.about) if found.job else {"name": found.model}
    by = visitor_of(request).name
    command = trainings.resume(found.model)
    started = job.start(command, found.folder, title=found.model, by=by, about=about, cwd=services().root)
    _tell(request, started, f"The training of {found.model} goes on.")
    return redirect(request, "trainings:run", name)


@needs(Role.OWNER)
@require_POST
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Makes a model the one that answers where none is named; asks again where its blind comparison says otherwise."""
    card = views.one_card(name)
    found = views.compared(card)
    doubts = promotion.doubt(name, found)
    if doubts and request.POST.get("anyway") != "yes":
        context = {"card": card, "doubts": doubts, "batch": promotion.batch_of(card.settings)}
        return render(request, "website/trainings/promote.html", context)
    _trainings().promote(name, visitor_of(request).name)
    messages.success(request, f"{name} is now the one that serves. {promotion.describe(found)}".strip())
    return redirect(request, "trainings:index")


def _trainings() -> Trainings:
    found = services().trainings
    if found is None:
        raise UserError("This site shows trainings, and starts none.", hint="Use `talkalike train` on its computer.")
    return found


def _taken(cards: Sequence[Card]) -> set[str]:
    return {card.name for card in cards} | {run.model for run in views.all_runs() if run.running}


def _busy() -> Run | None:
    return next((run for run in views.all_runs() if run.running), None)


def _may_begin(request: HttpRequest, form: RecipeForm | AlignmentForm) -> bool:
    """Whether something is asked for that can be started; the form says why not."""
    if request.method != "POST":
        return False
    if (busy := _busy()) is not None:
        form.add_error(None, f"{busy.model} is being trained. Wait for it, or stop it, before another one begins.")
    return form.is_valid()


def _begun(request: HttpRequest, wanted: Recipe | Alignment, command: Callable[[str], Sequence[str]]) -> HttpResponse:
    run = f"{wanted.name}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
    root, by = services().root, visitor_of(request).name
    about = asdict(wanted)
    started = job.start(command(run), root / "runs" / run, title=wanted.name, by=by, about=about, cwd=root)
    _tell(request, started, f"The training of {wanted.name} has begun.")
    return redirect(request, "trainings:run", run)


def _form(request: HttpRequest, form: RecipeForm | AlignmentForm, template: str, **context: object) -> HttpResponse:
    return render(request, template, {"form": form, "busy": _busy(), **context}, status=400 if form.errors else 200)


def _tell(request: HttpRequest, started: job.Job, words: str) -> None:
    if started.state is RunState.FAILED and started.problem:
        messages.error(request, started.problem)
    else:
        messages.success(request, words)
