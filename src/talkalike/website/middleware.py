"""What every request passes: headers that protect the reader, static files, who asks, and problems as pages.

All of it is sync: the whole chain runs in one thread of the site's pool (see `site.SiteHandler`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.urls import get_script_prefix
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # it ships none

from talkalike.errors import TalkalikeError, UserError
from talkalike.website.access import RULE
from talkalike.website.answers import problem
from talkalike.website.once import HEADER, sending_of
from talkalike.website.visitors import find_visitor

Answer = Callable[[HttpRequest], HttpResponse]
log = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # blob: a picture that was pasted and is shown before it is sent
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": browsers then send "Origin: null" with forms, which the CSRF check refuses.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PRIVATE = "private, no-cache"  # asked for anew each time, and kept by no proxy; going back still finds what was typed


class HeadersMiddleware:
    """Puts the headers on every answer, static files and error pages as well, and keeps cookies to the site's path."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", PRIVATE)
        for name, cookie in response.cookies.items():
            if not name.startswith("__Host-"):  # browsers take those for the whole host only
                cookie["path"] = get_script_prefix()
        if sending := sending_of(request):
            response.headers[HEADER] = sending
        return response


class StaticMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # whitenoise ships no types
    """Whitenoise, with the file read at once: Django cannot hand a file to an ASGI server without blocking it."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """The file, or that it has not changed."""
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file:
                content = found.file.read()
        response = HttpResponse(content, status=int(found.status))
        del response.headers["Content-Type"]
        for name, value in found.headers:
            response.headers[name] = value
        return response


class VisitorMiddleware:
    """Finds out who asks, and refuses views that carry no rule: a forgotten decorator opens nothing."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.visitor = find_visitor(request)  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Runs before each view. The admin's have a rule of their own."""
        match = request.resolver_match
        if not hasattr(view, RULE) and not (match and match.app_names == ["admin"]):
            log.error("The view %s has no @needs(...) and no @open_to_all: it is refused.", view)
            raise PermissionDenied("This page is not open to anybody yet.")


class ProblemsMiddleware:
    """Turns errors that carry words for people into pages; anything else is a fault of ours (500)."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Runs when a view raised."""
        if isinstance(error, UserError):
            return problem(request, 400, "That did not work", error.what, error.hint)
        if isinstance(error, TalkalikeError):
            log.error("%s: %s", request.path, error)
            return problem(request, 503, "That did not work right now", error.what, error.hint)
        if isinstance(error, (DatabaseError, InterfaceError)):
            log.error("%s: the database failed", request.path, exc_info=error)
            return problem(
                request, 503, "The database does not answer", "Nothing was changed.", "Try again in a minute."
            )
        return None
