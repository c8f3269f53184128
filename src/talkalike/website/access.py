"""Who asks, and what they may do: roles from a log-in or from an invitation, and the rule each view carries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django_htmx.middleware import HtmxDetails

View = TypeVar("View", bound=Callable[..., Any])

RULE = "talkalike_needs"  # the attribute of a view that holds its rule


class Role(StrEnum):
    """What somebody may do. The first three are Django groups; a guess is what friends are invited to."""

    OWNER = "owner"
    JUDGE = "judge"
    VIEWER = "viewer"
    GUESSER = "guesser"


IMPLIED = {
    Role.OWNER: frozenset(Role),
    Role.JUDGE: frozenset({Role.JUDGE, Role.GUESSER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.GUESSER: frozenset({Role.GUESSER}),
}
"""A role brings these with it. Judges see no statistics unless they are viewers, too: knowing them would sway them."""

GROUPS = (Role.OWNER, Role.JUDGE, Role.VIEWER)
INVITABLE = (Role.GUESSER, Role.JUDGE, Role.VIEWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `key` is "user:<account's id>" or "guest:<judge's id>", empty for somebody unknown.

    `judge_id` is a guest's; for either use `visitors.judge_of(request)`.
    """

    key: str = ""
    name: str = ""
    account_id: int | None = None
    judge_id: int | None = None
    roles: frozenset[Role] = frozenset()

    @property
    def known(self) -> bool:
        """Whether they logged in or came with an invitation that still holds."""
        return bool(self.key)

    @property
    def guest(self) -> bool:
        """Whether they came with an invitation, without an account."""
        return self.key.startswith("guest:")

    def may(self, *roles: Role) -> bool:
        """Whether they have one of the roles."""
        return not self.roles.isdisjoint(roles)

    @property
    def owner(self) -> bool:
        """Whether they may administer the site."""
        return Role.OWNER in self.roles


NOBODY = Visitor()


def with_implied(roles: frozenset[Role]) -> frozenset[Role]:
    """The roles and what they bring with them."""
    return frozenset(implied for role in roles for implied in IMPLIED[role])


def needs(*roles: Role) -> Callable[[View], View]:
    """Only those with one of the roles may use this view (sync or async); without roles: whoever is known.

    Somebody unknown is asked to log in and comes back afterwards; anybody else is refused with a page (403).
    """

    def decorate(view: View) -> View:
        if inspect.iscoroutinefunction(view):

            @wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refused = _refusal(request, roles)
                return refused if refused else await view(request, *args, **kwargs)

            guarded: Any = guarded_async
        else:

            @wraps(view)
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                return _refusal(request, roles) or view(request, *args, **kwargs)

        setattr(guarded, RULE, roles)
        return guarded  # type: ignore[no-any-return]  # wraps() keeps the signature

    return decorate


def open_to_all(view: View) -> View:
    """Anybody may use this view."""
    setattr(view, RULE, None)
    return view


def visitor_of(request: HttpRequest) -> Visitor:
    """Who asks; nobody where the request was refused before that was found out."""
    return getattr(request, "visitor", NOBODY)


def _refusal(request: HttpRequest, roles: tuple[Role, ...]) -> HttpResponse | None:
    visitor = visitor_of(request)
    if visitor.known and (not roles or visitor.may(*roles)):
        return None
    if visitor.known and not visitor.guest:
        raise PermissionDenied("Your account does not have this right.")
    if visitor.guest:
        raise PermissionDenied("Your invitation does not cover this page.")
    return to_login(request)


def to_login(request: HttpRequest) -> HttpResponse:
    """Asks to log in, and then leads back to the page they were on.

    That page's script keeps what they wrote there (`site.js`), so it goes to `X-Log-In` by itself.
    """
    asked = {"next": page_of(request)} | ({} if _looks(request) else {"sent": "1"})
    to = f"{reverse('login')}?{urlencode({name: value for name, value in asked.items() if value})}".rstrip("?")
    if _by_htmx(request):
        return HttpResponse(status=401, headers={"X-Log-In": to})
    return HttpResponseRedirect(to)


def page_of(request: HttpRequest) -> str:
    """The page that somebody looked at when they sent this request, without the host; "" where that is not known."""
    if _looks(request) and not _by_htmx(request):
        return request.get_full_path()
    told = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    return urlunsplit(("", "", told.path, told.query, "")) if told.netloc == request.get_host() else ""


def _looks(request: HttpRequest) -> bool:
    return request.method in ("GET", "HEAD")


def _by_htmx(request: HttpRequest) -> bool:
    return bool(HtmxDetails(request))
