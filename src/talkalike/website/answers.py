"""Answers that are right with and without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django_htmx.middleware import HtmxDetails


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
