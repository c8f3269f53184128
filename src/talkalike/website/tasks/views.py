"""Shows tasks: which there are, one with its pictures and its card, and the pictures themselves."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from talkalike.chat.seeing.checking import split_name
from talkalike.chat.seeing.values import MOST_PICTURES
from talkalike.errors import UserError
from talkalike.options import SAMPLING
from talkalike.store import servers
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import StoredTask, TaskPlace
from talkalike.store.seeing.usable import UsableTask, pictures_of, usable_task, usable_tasks
from talkalike.website.access import Role, needs, visitor_of
from talkalike.website.answers import image
from talkalike.website.data import read
from talkalike.website.services import services
from talkalike.website.tasks import showing
from talkalike.website.tasks.measured import MEASURED

ROLES = (Role.JUDGE, Role.VIEWER)
EVERYBODY = 0  # the server of an address that stands for everybody
BIGGEST = 2**63 - 1  # that the store can hold as a server's id


@needs(*ROLES)
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The tasks for everybody, and for the owner those of each server."""
    lists = [(EVERYBODY, "For everybody", _lines(EVERYBODY))]
    if visitor_of(request).owner:
        names = {row.id: row.name for row in read(servers.all_servers)}
        for server in read(tasks.servers_with_tasks):
            title = f"Of the Discord server {names.get(server, server)}"
            lists.append((server, title, [line for line in _lines(server) if line.own]))
    return render(request, "website/tasks/index.html", {"lists": lists, "has_eye": has_eye()})


@needs(*ROLES)
@require_safe
def task(request: HttpRequest, server: int, name: str) -> HttpResponse:
    """One task, or an older version of it."""
    return render(request, "website/tasks/task.html", task_context(request, server, name))


@needs(*ROLES)
@require_safe
def picture(request: HttpRequest, server: int, name: str, picture_hash: str) -> HttpResponse:
    """The picture of one of the task's examples."""
    found = one_task(request, server, name)
    kept = read(pictures_of, found.spec).get(picture_hash)
    if kept is None:
        raise Http404("There is no such picture in this task.")
    return image(kept.data, kept.content_type)


# --------------------------------------------------------------------------------------------------------------- inside
def has_eye() -> bool:
    """Whether there is an eye to ask."""
    onlooker = services().onlooker
    return onlooker is not None and onlooker.eye is not None


def place_of(request: HttpRequest, server: int) -> TaskPlace:
    """Whose tasks the address means. Raises Http404 for a server's, unless the owner asks."""
    if server > BIGGEST or (server and not visitor_of(request).owner):
        raise Http404("There is no such task.")
    return TaskPlace(server_id=server)


def one_task(request: HttpRequest, server: int, name: str) -> UsableTask:
    """The task, or a page that says that there is none."""
    place = place_of(request, server)
    try:
        return read(usable_task, place, name)
    except UserError as error:
        raise Http404(f"{error.what} {error.hint}".strip()) from None


def own_version(found: UsableTask, server: int) -> StoredTask | None:
    """The task as it can be changed there; None for one that cannot."""
    stored = found.stored
    return stored if stored is not None and stored.place == TaskPlace(server_id=server) else None


def task_context(request: HttpRequest, server: int, name: str) -> dict[str, Any]:
    """What a task's page shows."""
    found = one_task(request, server, name)
    stored = found.stored
    versions = read(tasks.versions_of, stored.place, found.spec.name) if stored else ()
    labels = [(f"{one.spec.name}@{one.number}", one.at) for one in versions]
    return {
        "task": found,
        "server": server,
        "name": split_name(name)[0],
        "typed": found.label,
        "facts": showing.facts_of(found),
        "shots": list(enumerate(found.spec.shots, start=1))[: showing.MOST_SHOWN],
        "more": max(0, len(found.spec.shots) - showing.MOST_SHOWN),
        "versions": [(label, at) for label, at in labels if label != found.label],
        "card": showing.card_of(stored),
        "may_edit": visitor_of(request).owner and own_version(found, server) is not None,
        "measured": MEASURED.of(found.label, server),
        "has_eye": has_eye(),
        "most_pictures": MOST_PICTURES,
        "options": list(SAMPLING.items()),
    }


def _lines(server: int) -> list[showing.TaskLine]:
    return [showing.line_of(one, server) for one in read(usable_tasks, TaskPlace(server_id=server))]
