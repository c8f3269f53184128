"""The pages of the site: one line each. The order is the navigation's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from talkalike.website.access import Role, Visitor


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePackage:
    """A page package `talkalike.website.<name>`, at `/<name>/`; its view "index" is what the navigation leads to.

    `does`: what somebody can do there, as an invitation says it. `todo`: the package has a module `home` with a
    function `todo(visitor) -> Iterable[Todo]`.
    """

    name: str
    title: str
    roles: tuple[Role, ...]
    does: str
    todo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """Something to do, on the home page: a title, a sentence, the button's label and its address."""

    title: str
    text: str
    action: str
    url: str
    count: int | None = None


PAGES: tuple[PagePackage, ...] = (
    PagePackage(name="chat", title="Chat", roles=(Role.JUDGE, Role.VIEWER), does="talk to the double", todo=True),
    PagePackage(name="judge", title="Judge", roles=(Role.JUDGE,), does="judge its replies", todo=True),
    PagePackage(name="insights", title="What people think", roles=(Role.VIEWER,), does="see what people think of it"),
    PagePackage(name="trainings", title="Trainings", roles=(Role.VIEWER,), does="look at its trainings"),
    PagePackage(
        name="guess", title="Blind test", roles=(Role.GUESSER,), does="guess which reply is the real one", todo=True
    ),
)


def pages_of(visitor: Visitor) -> tuple[PagePackage, ...]:
    """The pages that they may use."""
    return tuple(page for page in PAGES if visitor.may(*page.roles))


def todo_of(visitor: Visitor) -> list[Todo]:
    """What there is to do for them, over all pages."""
    found: list[Todo] = []
    for page in pages_of(visitor):
        if page.todo:
            todo: Callable[[Visitor], Iterable[Todo]] = import_module(f"talkalike.website.{page.name}.home").todo
            found += todo(visitor)
    return found
