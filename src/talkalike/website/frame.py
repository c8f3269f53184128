"""What every page has around it, the first page, and what machines ask for."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_safe

from talkalike.website.access import open_to_all, visitor_of
from talkalike.website.accounts import has_owner
from talkalike.website.data import read
from talkalike.website.pages import pages_of, todo_of
from talkalike.website.services import services


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


@open_to_all
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What there is to do for whoever asks."""
    visitor = visitor_of(request)
    context = {"todo": todo_of(visitor), "has_owner": visitor.known or read(has_owner)}
    return render(request, "website/home.html", context)


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
