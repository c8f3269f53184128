"""The pages of the site: one line each. The order is the navigation's."""

from __future__ import annotations

from dataclasses import dataclass

from talkalike.website.access import Role, Visitor


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePackage:
    """A page package `talkalike.website.<name>`, at `/<name>/`; its view "index" is what the navigation leads to.

    `does`: what somebody can do there, as an invitation says it.
    """

    name: str
    title: str
    roles: tuple[Role, ...]
    does: str


PAGES: tuple[PagePackage, ...] = (
    PagePackage(name="chat", title="Chat", roles=(Role.JUDGE, Role.VIEWER), does="talk to the double"),
    PagePackage(name="tasks", title="Tasks", roles=(Role.JUDGE, Role.VIEWER), does="ask it about pictures"),
    PagePackage(name="judge", title="Judge", roles=(Role.JUDGE,), does="judge its replies"),
    PagePackage(name="insights", title="What people think", roles=(Role.VIEWER,), does="see what people think of it"),
    PagePackage(name="runs", title="Runs", roles=(Role.VIEWER,), does="look at its training runs"),
    PagePackage(name="guess", title="Blind test", roles=(Role.GUESSER,), does="guess which reply is the real one"),
)


def pages_of(visitor: Visitor) -> tuple[PagePackage, ...]:
    """The pages that they may use."""
    return tuple(page for page in PAGES if visitor.may(*page.roles))
