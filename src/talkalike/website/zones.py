"""Times are the reader's. Their browser tells its zone in a cookie (`times.js`); until then they are UTC, and say so.

The middleware makes that zone Django's current one, so that templates and `timezone.localtime` use it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "talkalike_zone"


class ZoneMiddleware:
    """Makes the reader's zone the one that times are shown in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(request) or UTC):
            return self.get_response(request)


def zone_of(request: HttpRequest) -> tzinfo | None:
    """The reader's zone; None where it is not known, or not to this computer."""
    try:
        return ZoneInfo(request.COOKIES[COOKIE])
    except (KeyError, ValueError, OSError):  # no cookie, no such zone, no name of a zone, a folder of zones
        return None


def named() -> str:
    """The zone that times are shown in: "Europe/Prague", or "UTC"."""
    return timezone.get_current_timezone_name()


def is_known() -> bool:
    """Whether that is the reader's own."""
    return named() != "UTC"


def at(moment: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
    """The time as the reader's clock showed it; say elsewhere which zone that is."""
    return timezone.localtime(moment).strftime(form)
