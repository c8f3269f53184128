"""What a page sends again, because the answer was lost on its way, changes nothing twice.

A page numbers what it sends (`sending.js`) and sends one after the other, so it is enough to remember the last answer.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from talkalike.website.access import visitor_of

HEADER = "X-Sending"  # "<page>.<number>", which every answer repeats: a page of somebody else's does not
MOST_PAGES = 500  # that are remembered
_TOLD = re.compile(r"([0-9a-f-]{8,40})\.(\d{1,9})")

View = Callable[..., HttpResponse]


@dataclass(slots=True, kw_only=True)
class _Page:
    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = 0
    answer: tuple[bytes, int, dict[str, str]] = (b"", 204, {})


class _Pages:
    """The pages that sent something lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], _Page] = OrderedDict()

    def get(self, visitor: str, page: str) -> _Page:
        with self._lock:
            found = self._known.pop((visitor, page), None) or _Page()
            self._known[visitor, page] = found
            while len(self._known) > MOST_PAGES:
                self._known.popitem(last=False)
            return found


_pages = _Pages()


def sending_of(request: HttpRequest) -> str:
    """What the page says it sends; "" where it says nothing, or nonsense."""
    given = request.headers.get(HEADER, "")
    return given if _TOLD.fullmatch(given) else ""


def once(view: View) -> View:
    """Answers what was sent before with the same answer, and anything older with nothing."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        match = _TOLD.fullmatch(sending_of(request))
        if match is None:
            return view(request, *args, **kwargs)
        page, number = _pages.get(visitor_of(request).key, match[1]), int(match[2])
        with page.lock:
            if number < page.number:  # it was on its way for long, and others have overtaken it
                return HttpResponse(status=204)
            if number > page.number:
                answer = view(request, *args, **kwargs)
                page.number, page.answer = number, (answer.content, answer.status_code, dict(answer.headers))
            content, status, headers = page.answer
            return HttpResponse(content, status=status, headers=headers)

    return guarded
