"""Every page of the site, found from its addresses: a new page is among them without anybody adding it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver, reverse

import picture_world as world
from talkalike.store.judging import judges
from task_world import NAME, fill_tasks

# What belongs into the places of an address: by the place's name, where that means the same everywhere, else by both.
PLACES: dict[str, Any] = {
    "batch": 1,
    "pair": 1,
    "again": False,
    "number": 1,
    "picture_id": 1,
    "conversation_id": 1,
    "message_id": 2,  # the first reply
    "form": "html",
    "state": "close",
    "what": "close",
    "id": 1,
    "app_label": "store",
    "chat:edit message_id": 1,
    "insights:csv name": "standings",
    "trainings rest": "",
    "server": 0,  # everybody's tasks
    **{f"tasks:{page} name": NAME for page in ("task", "ask", "edit", "remove", "measure", "picture")},
    "runs:model name": world.CANDIDATE,
    "runs:promote name": world.CANDIDATE,
    "runs:run name": world.RL_RUN,
    "runs:stop name": world.RUN,
    "runs:resume name": world.RUN,
}


def addresses(**places: Any) -> dict[str, str]:
    """The address of every page by its name ("judge:pair"). `places`: what belongs into theirs, beside `PLACES`.

    Raises KeyError for a place for which nothing is known.
    """
    found: dict[str, str] = {}
    for name, wanted in _patterns(get_resolver()):
        filled = {place: _fill(name, place, PLACES | places) for place in wanted}
        if None not in filled.values():
            found[name] = reverse(name, kwargs=filled)
    return found


def _fill(name: str, place: str, known: dict[str, Any]) -> Any:
    """None: there is no such row."""
    if name == "admin:view_on_site":
        return None  # no row of ours has a page of its own
    if place == "object_id":
        app, model, _ = name.removeprefix("admin:").split("_", 2)
        return apps.get_model(app, model).objects.values_list("pk", flat=True).order_by("pk").first()
    if place == "picture_hash":
        return apps.get_model("store", "TaskExample").objects.values_list("picture_id", flat=True).first()
    for key in (f"{name} {place}", place):
        if key in known:
            return known[key]
    raise KeyError(f"{name}: say in website_pages.PLACES what belongs into {place}, so that its page is looked at.")


def _patterns(resolver: URLResolver, space: str = "") -> Iterator[tuple[str, list[str]]]:
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from _patterns(one, f"{space}{one.namespace}:" if one.namespace else space)
        elif isinstance(one, URLPattern) and (one.name or not space):
            assert one.name, f"an address of ours has no name: {one}"
            places = one.pattern.converters or one.pattern.regex.groupindex
            yield f"{space}{one.name}", list(places)


def fill() -> str:
    """Puts something to show on every page into the store; returns the secret of an invitation."""
    world.fill_store()
    fill_tasks()
    token, _ = judges.invite(judges.Group.JUDGE, by=None, note="for the choir")
    return token
