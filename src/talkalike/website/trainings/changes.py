"""What the owner does with trainings: starts, stops and resumes them, and says which model serves."""

from __future__ import annotations

import datetime
from dataclasses import asdict

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.errors import UserError
from talkalike.jobs import cards as card_files
from talkalike.jobs import job
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import redirect
from talkalike.website.services import services
from talkalike.website.trainings import views
from talkalike.website.trainings.forms import RecipeForm
from talkalike.website.trainings.service import Trainings


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The recipe form. A training that it starts is a program of its own, which outlives this site."""
    trainings = _trainings()
    root = services().root
    runs = views.all_runs()
    examples, cards = card_files.example_sets(root / "examples"), views.all_cards()
    taken = {card.name for card in cards} | {run.model for run in runs if run.running}
    wanted = {"examples": request.GET.get("examples", ""), "base": request.GET.get("base", "")}
    given = {key: value for key, value in wanted.items() if value}
    form = RecipeForm(request.POST or None, initial=given, examples=examples, cards=cards, taken=taken)
    busy = next((run for run in runs if run.running), None)
    if request.method == "POST" and busy is not None:
        form.add_error(None, f"{busy.model} is being trained. Wait for it, or stop it, before another one begins.")
    elif request.method == "POST" and form.is_valid():
        recipe = form.recipe
        run = f"{recipe.name}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
        command, folder = trainings.train(recipe, run), root / "runs" / run
        started = job.start(
            command, folder, title=recipe.name, by=visitor_of(request).name, about=asdict(recipe), cwd=root
        )
        _tell(request, started, f"The training of {recipe.name} has begun.")
        return redirect(request, "trainings:run", run)
    context = {"form": form, "examples": examples, "busy": busy}
    return render(request, "website/trainings/new.html", context, status=400 if form.errors else 200)


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
    runs = views.all_runs()
    busy = next((run for run in runs if run.running), None)
    if busy is not None:
        raise UserError(f"{busy.model} is being trained.", hint="Wait for it, or stop it, before another one goes on.")
    newest = next((run for run in runs if run.model == found.model and run.resumable), None)
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
    """Makes a model the one that answers where none is named."""
    if name not in {card.name for card in views.all_cards()}:
        raise Http404("There is no such model, or no longer.")
    _trainings().promote(name, visitor_of(request).name)
    messages.success(request, f"{name} is now the one that serves.")
    return redirect(request, "trainings:index")


def _trainings() -> Trainings:
    found = services().trainings
    if found is None:
        raise UserError("This site shows trainings, and starts none.", hint="Use `talkalike train` on its computer.")
    return found


def _tell(request: HttpRequest, started: job.Job, words: str) -> None:
    if started.state is job.State.FAILED and started.problem:
        messages.error(request, started.problem)
    else:
        messages.success(request, words)
