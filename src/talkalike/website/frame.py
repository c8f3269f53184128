"""What every page has around it, the first page, and what machines ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_safe

from talkalike.store.judging import guesses, judges, pairs, serving
from talkalike.store.judging.pairs import BatchState
from talkalike.website.access import Visitor, open_to_all, visitor_of
from talkalike.website.accounts import has_owner
from talkalike.website.chat.view_models import model_of, voices
from talkalike.website.data import read
from talkalike.website.pages import pages_of
from talkalike.website.services import services

MOST = 3  # batches, and tests, on the first page
NEVER_JUDGED = 0  # an account that has no judge yet


def frame(request: HttpRequest) -> dict[str, Any]:
    """`visitor`, `navigation` (only what they may open), `site_title`."""
    visitor = visitor_of(request)
    name = services().settings.name
    navigation = [
        {"title": page.title, "url": (url := f"{reverse('home')}{page.name}/"), "here": request.path.startswith(url)}
        for page in pages_of(visitor)
    ]
    return {
        "visitor": visitor,
        "navigation": navigation,
        "site_title": f"{name}'s double" if name else "The double",
        "invitations_url": reverse("invitations"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """Something to do, on the home page: a title, a sentence, the button's label and its address."""

    title: str
    text: str
    action: str
    url: str
    count: int | None = None


def talking(visitor: Visitor) -> Iterator[Todo]:
    """Talking, where there is somebody to talk to."""
    del visitor
    model = model_of(None)
    for voice in voices():
        if voice.model == model:
            text = f"Chat with the double of {voice.speaker}. You can judge its replies there."
            yield Todo(title="Chat", text=text, action=f"Talk to {voice.speaker}", url=reverse("chat:index"))


def open_batches(visitor: Visitor) -> Iterator[Todo]:
    """The open batches in which something waits to be judged."""
    judge_id = visitor.judge_id
    if visitor.account_id is not None:
        known = read(judges.known_account, visitor.account_id)
        judge_id = known.id if known else NEVER_JUDGED
    if judge_id is None:
        return
    waiting = [row for row in read(pairs.batches, state=BatchState.OPEN) if row.left]
    for row in waiting[:MOST]:
        yield Todo(
            title=f"Judge: {row.name}",
            text="Two replies side by side: which one is better?",
            action="Go on" if read(serving.has_begun, judge_id, row.id) else "Start",
            url=reverse("judge:batch", args=[row.id]),
            count=row.left,
        )


def open_tests(visitor: Visitor) -> Iterator[Todo]:
    """Each open blind test with questions."""
    del visitor
    rounds = [row for row in read(guesses.rounds) if row.open and row.questions]
    for row in rounds[:MOST]:
        yield Todo(
            title=f"Blind test: {row.name}",
            text="Two replies. Which one did a person really write?",
            action="Take part",
            url=reverse("guess:ask", args=[row.id]),
        )


OFFERS = {"chat": talking, "judge": open_batches, "guess": open_tests}


def todo_of(visitor: Visitor) -> list[Todo]:
    """What there is to do for them, over all pages."""
    return [one for page in pages_of(visitor) if page.name in OFFERS for one in OFFERS[page.name](visitor)]


@open_to_all
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What there is to do for whoever asks."""
    visitor = visitor_of(request)
    context = {"todo": todo_of(visitor), "has_owner": visitor.known or read(has_owner)}
    return render(request, "website/home.html", context)


@open_to_all
def moved_runs(request: HttpRequest, rest: str) -> HttpResponse:
    """Redirects from `/trainings/…`, where the page "Runs" was before, to the same address below `/runs/`."""
    del rest  # as it was sent, still encoded and with what follows the question mark, it stands in the full path
    home = reverse("home")
    after = request.get_full_path().removeprefix(f"{home}trainings/")
    return HttpResponsePermanentRedirect(f"{home}runs/{after}", preserve_request=True)


@open_to_all
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """{"status": "ok"}, or 503 where the database does not answer. For monitors; tells nothing else."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return JsonResponse({"status": "the database does not answer"}, status=503)
    return JsonResponse({"status": "ok"})


@open_to_all
@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """No search engine has business here."""
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain")


@open_to_all
@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For browsers that ask without having read the page."""
    return HttpResponsePermanentRedirect(static("website/icon.svg"))
