"""What the owner does with runs: starts, stops and resumes them, and chooses the model in use."""

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
from talkalike.website.runs import views
from talkalike.website.runs.forms import AlignmentForm, RecipeForm, doubles
from talkalike.website.runs.service import Alignment, Recipe, RunCommands
from talkalike.website.services import services
from talkalike.workspace.cards import Card
from talkalike.workspace.example_sets import example_sets
from talkalike.workspace.run_folder import RunState


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The recipe form. A run that it starts is a program of its own, which outlives this site."""
    commands, cards = _run_commands(), views.all_cards()
    examples = example_sets(services().root / "examples")
    wanted = {"examples": request.GET.get("examples", ""), "base": request.GET.get("base", "")}
    given = {key: value for key, value in wanted.items() if value}
    form = RecipeForm(request.POST or None, initial=given, examples=examples, cards=cards, taken=_taken_names(cards))
    if _may_start(request, form):
        recipe = form.recipe
        return _start_job(request, recipe, lambda run: commands.train(recipe, run))
    return _form(request, form, "website/runs/new.html", examples=examples)


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def align(request: HttpRequest) -> HttpResponse:
    """The form for training from judgements: a reward model, RL training, or preference training."""
    commands, cards = _run_commands(), views.all_cards()
    form = AlignmentForm(request.POST or None, cards=cards, taken=_taken_names(cards))
    if _may_start(request, form):
        wanted = form.alignment
        return _start_job(request, wanted, lambda run: commands.align(wanted, run))
    return _form(request, form, "website/runs/align.html", doubles=doubles(cards))


@needs(Role.OWNER)
@require_POST
def stop(request: HttpRequest, name: str) -> HttpResponse:
    """Asks a run to save and stop."""
    found = views.one_run(name)
    if job.stop(found.folder):
        messages.success(request, "The run stops after the current step and saves its progress.")
    elif found.running:
        raise UserError("This run was not started from this site.", hint="Stop it where it was started, with Ctrl-C.")
    else:
        messages.warning(request, "The run had already ended.")
    return redirect(request, "runs:run", name)


@needs(Role.OWNER)
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Resumes a run that was stopped or interrupted."""
    commands, found = _run_commands(), views.one_run(name)
    if (busy := _busy()) is not None:
        raise UserError(
            f"{busy.model} is being trained.",
            hint="Wait until it has finished, or stop it, before you resume another run.",
        )
    newest = next((run for run in views.all_runs() if run.model == found.model and run.resumable), None)
    if newest is None or newest.id != found.id:
        raise UserError("This run cannot be resumed.", hint="Start a new one instead.")
    about = dict(found.job.about) if found.job else {"name": found.model}
    by = visitor_of(request).name
    command = commands.resume(found.model)
    started = job.start(command, found.folder, title=found.model, by=by, about=about, cwd=services().root)
    _tell(request, started, f"The run of {found.model} was resumed.")
    return redirect(request, "runs:run", name)


@needs(Role.OWNER)
@require_POST
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Makes a model the one in use; asks for confirmation where its blind comparison speaks against it."""
    card = views.one_card(name)
    found = views.blind_comparison(card)
    doubts = promotion.doubt(name, found)
    if doubts and request.POST.get("anyway") != "yes":
        context = {"card": card, "doubts": doubts, "batch": promotion.batch_of(card.settings)}
        return render(request, "website/runs/promote.html", context)
    _run_commands().promote(name, visitor_of(request).name)
    messages.success(request, f"{name} is now the model in use. {promotion.describe(found)}".strip())
    return redirect(request, "runs:index")


def _run_commands() -> RunCommands:
    found = services().run_commands
    if found is None:
        raise UserError("This site shows runs, but cannot start them.", hint="Run `talkalike train` on its computer.")
    return found


def _taken_names(cards: Sequence[Card]) -> set[str]:
    return {card.name for card in cards} | {run.model for run in views.all_runs() if run.running}


def _busy() -> Run | None:
    return next((run for run in views.all_runs() if run.running), None)


def _may_start(request: HttpRequest, form: RecipeForm | AlignmentForm) -> bool:
    """Whether something is asked for that can be started; the form says why not."""
    if request.method != "POST":
        return False
    if (busy := _busy()) is not None:
        form.add_error(
            None,
            f"{busy.model} is being trained. Wait until it has finished, or stop it, before you start another run.",
        )
    return form.is_valid()


def _start_job(
    request: HttpRequest, wanted: Recipe | Alignment, command: Callable[[str], Sequence[str]]
) -> HttpResponse:
    run = f"{wanted.name}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
    root, by = services().root, visitor_of(request).name
    about = asdict(wanted)
    started = job.start(command(run), root / "runs" / run, title=wanted.name, by=by, about=about, cwd=root)
    _tell(request, started, f"Training of {wanted.name} has started.")
    return redirect(request, "runs:run", run)


def _form(request: HttpRequest, form: RecipeForm | AlignmentForm, template: str, **context: object) -> HttpResponse:
    return render(request, template, {"form": form, "busy": _busy(), **context}, status=400 if form.errors else 200)


def _tell(request: HttpRequest, started: job.Job, words: str) -> None:
    if started.state is RunState.FAILED and started.problem:
        messages.error(request, started.problem)
    else:
        messages.success(request, words)
