"""What people say about one of the two replies: ratings, a better version, a flag. Each is saved at once."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from talkalike.store.judging import judgements, locks, rating_forms, serving
from talkalike.store.judging.judgement_values import Reason, RefusedError, Scale, Side
from talkalike.store.judging.rating_forms import FormChange
from talkalike.website.access import Role, needs
from talkalike.website.answers import wants_part
from talkalike.website.data import read, write
from talkalike.website.judge.views import FACE, shown_answer
from talkalike.website.once import once
from talkalike.website.visitors import judge_of

Take = Callable[[HttpRequest, int, int], str]
"""Stores what the form says about an item, by a judge, and returns what to tell them."""


@needs(Role.JUDGE)
@require_POST
@once
def rate(request: HttpRequest, batch: int, pair: int, again: bool) -> HttpResponse:
    """Ratings on any of the scales."""
    return _about(request, (batch, pair, again), _rate)


@needs(Role.JUDGE)
@require_POST
@once
def correct(request: HttpRequest, batch: int, pair: int, again: bool) -> HttpResponse:
    """What the double should have said."""
    return _about(request, (batch, pair, again), _correct)


@needs(Role.JUDGE)
@require_POST
@once
def flag(request: HttpRequest, batch: int, pair: int, again: bool) -> HttpResponse:
    """Something is wrong with it, and what."""
    return _about(request, (batch, pair, again), _flag)


def _about(request: HttpRequest, here: tuple[int, int, bool], take: Take) -> HttpResponse:
    judge = judge_of(request)
    batch, pair, again = here
    view = read(serving.find_shown, pair, judge.id, repeat=again)
    side = request.POST.get("side", "")
    if view is None or view.batch_id != batch or side not in (Side.LEFT, Side.RIGHT):
        raise Http404(locks.GONE)
    read(locks.open_batch, batch)  # ratings end with the batch as choices do: who knows the name rates the name
    where = Side(side)
    said = f"Saved: {take(request, view.on(where).item_id, judge.id)} for reply {where.number}."
    if wants_part(request):
        return render(request, "website/judge/_said.html", {"said": said})
    return shown_answer(request, judge.id, here, said=said)


def _rate(request: HttpRequest, item_id: int, judge_id: int) -> str:
    given = {scale: request.POST[scale.value] for scale in Scale if request.POST.get(scale.value)}
    if not given or any(value not in "12345" or len(value) != 1 for value in given.values()):
        raise RefusedError(Reason.INVALID, "A rating is a whole number from 1 to 5.", hint="Choose one of the five.")
    ratings: dict[Scale, int | None] = {scale: int(value) for scale, value in given.items()}
    write(rating_forms.fill, item_id, judge_id, FormChange(ratings=ratings), face=FACE)
    return "your ratings" if len(given) > 1 else "your rating"


def _correct(request: HttpRequest, item_id: int, judge_id: int) -> str:
    write(judgements.correct, item_id, judge_id, request.POST.get("text", "").replace("\r\n", "\n"), face=FACE)
    return "your version"


def _flag(request: HttpRequest, item_id: int, judge_id: int) -> str:
    write(judgements.flag, item_id, judge_id, request.POST.get("reason", ""), face=FACE)
    return "a flag"
