"""Answers that are right with and without JavaScript, and problems as pages in plain words.

No page of a problem touches the database: it may be what is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.template.loader import render_to_string
from django_htmx.middleware import HtmxDetails

from talkalike.website.access import open_to_all


def wants_part(request: HttpRequest) -> bool:
    """Whether htmx asked for a fragment (and not for a whole page, as it does to restore its history)."""
    htmx = HtmxDetails(request)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def answer(
    request: HttpRequest, *, page: str, part: str, context: Mapping[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    """The template `part` for htmx, else `page` (which usually includes it), both with the same context."""
    template = part if wants_part(request) else page
    response = render(request, template, dict(context or {}), status=status)
    response.headers["Vary"] = ", ".join(filter(None, (response.headers.get("Vary"), "HX-Request")))
    return response


def image(data: bytes, content_type: str) -> HttpResponse:
    """A picture that somebody sent: for this visitor alone, whose browser may keep it."""
    headers = {"Cache-Control": "private, max-age=86400, immutable", "Content-Disposition": "inline"}
    return HttpResponse(data, content_type=content_type, headers=headers)


def redirect(request: HttpRequest, to: str, *args: Any, **kwargs: Any) -> HttpResponse:
    """To a URL or a named view: by the browser (303), or by htmx, which would follow a redirect unseen."""
    url = resolve_url(to, *args, **kwargs)
    if HtmxDetails(request):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


def problem(request: HttpRequest, status: int, title: str, what: str, hint: str = "") -> HttpResponse:
    """A problem as a page, or as a notice where htmx asked. `what` happened, `hint` what to do."""
    template = "website/_problem.html" if HtmxDetails(request) else "website/problem.html"
    context = {"title": title, "what": what, "hint": hint, "plain_frame": True}
    return HttpResponse(render_to_string(template, context, request=request), status=status)


@open_to_all
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: what was sent cannot be read, or was sent to a name that is not ours. Repeats nothing of it."""
    too_much = isinstance(exception, TooManyFilesSent)
    what = "Too much was sent at once." if too_much else "The site could not make sense of what your browser sent."
    return problem(request, 400, "That request was not understood", what, "Check the address, then try again.")


@open_to_all
def denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: they lack the right."""
    what = str(exception or "") or "You do not have the right to do this."
    return problem(request, 403, "This is not open to you", what, "Ask the owner of the site if you should have it.")


@open_to_all
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404. Only our own words are shown: an address is not repeated."""
    said = exception.args[0] if isinstance(exception, Http404) and exception.args else ""
    what = said if isinstance(said, str) and said else "There is no page at this address, or it is gone."
    return problem(request, 404, "Nothing here", what)


@open_to_all
def failed(request: HttpRequest) -> HttpResponse:
    """500: a mistake of ours, of which nothing is told."""
    hint = "It was written to the site's log. Going back and trying again may help."
    return problem(request, 500, "Sorry, this is our fault", "Something went wrong that should not.", hint)


@open_to_all
def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 where a form does not prove that it came from this site. `reason` is for developers, and not shown.

    The page's script keeps what was written, and loads the page again (`X-Load-Again`).
    """
    refused = problem(
        request,
        403,
        "Nothing was changed",
        "The form did not prove that it came from this site. That happens when it was open for very long, when you "
        "logged in or out meanwhile, or when your browser keeps no cookies.",
        "Go back, load the page again, and send it once more.",
    )
    refused.headers["X-Load-Again"] = "1"
    return refused
