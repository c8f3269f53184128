"""The owner's page of blind tests: closes them, lets their guesses be learned from, invites friends."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from talkalike.store.judging import guesses, judges
from talkalike.website.access import Role, needs
from talkalike.website.answers import redirect
from talkalike.website.data import read, write
from talkalike.website.guess import showing
from talkalike.website.invitations import OFFERED
from talkalike.website.visitors import judge_of

USES, DAYS = 30, 14  # of a link made here
CHANGES = {
    "open": (guesses.set_open, True, "The blind test is open."),
    "close": (guesses.set_open, False, "The blind test is closed. Its result stays."),
    "learn": (guesses.set_as_preferences, True, "Guesses of those who agree may be exported as preferences."),
    "keep": (guesses.set_as_preferences, False, "Guesses are counted, and not exported as preferences."),
}


@needs(Role.OWNER)
@require_safe
def rounds(request: HttpRequest) -> HttpResponse:
    """Every test with its result so far."""
    return _page(request)


@needs(Role.OWNER)
@never_cache
@require_POST
def invite(request: HttpRequest) -> HttpResponse:
    """Makes a link for friends, shown once."""
    role = Role.GUESSER if Role.GUESSER in OFFERED else Role.JUDGE
    group = judges.Group(role.value)
    note = "blind test"
    token, _ = write(judges.invite, group, by=judge_of(request).id, uses=USES, days=DAYS, note=note)
    return _page(request, link=request.build_absolute_uri(reverse("accept", args=[token])))


@needs(Role.OWNER)
@require_POST
def change(request: HttpRequest, number: int, what: str) -> HttpResponse:
    """Applies one of `CHANGES` to a blind test."""
    if what not in CHANGES:
        raise Http404
    function, value, words = CHANGES[what]
    if not write(function, number, value):
        raise Http404("There is no such blind test, or no longer.")
    messages.success(request, words)
    return redirect(request, "guess:rounds")


def _page(request: HttpRequest, *, link: str = "") -> HttpResponse:
    found = [{"row": row, "results": showing.shown(read(guesses.results, row.id))} for row in read(guesses.rounds)]
    context = {"rounds": found, "link": link, "uses": USES, "days": DAYS}
    return render(request, "website/guess/rounds.html", context)
