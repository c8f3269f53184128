"""What people set for a place: options of the bot, its servers, channels and threads, and messages that they dropped
from, or pinned to, what the model sees of a channel. `talkalike.chat.options` says which options there are.
"""

from __future__ import annotations

from typing import Any, Literal

from django.db.models import Q
from django.utils import timezone

from talkalike.options import SCOPES
from talkalike.store import storable
from talkalike.store.changes import changing
from talkalike.store.tables import tables

Kind = Literal["dropped", "pinned"]


def layers(server_id: int | None, channel_id: int, thread_id: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The values set for that place: (scope, values) of the bot, the server, the channel and the thread.

    Scopes that the place does not have (a direct message has no server) are missing, empty ones are there.
    """
    ids = {"bot": 0, "server": server_id, "channel": channel_id, "thread": thread_id}
    places = {scope: ids[scope] for scope in SCOPES if ids[scope] is not None}
    wanted = Q()
    for scope, scope_id in places.items():
        wanted |= Q(scope=scope, scope_id=scope_id)
    values: dict[str, dict[str, Any]] = {scope: {} for scope in places}
    for scope, key, value in tables.ScopedOption.objects.filter(wanted).values_list("scope", "key", "value"):
        values[scope][key] = value
    return list(values.items())


@changing
def put(scope: str, scope_id: int, key: str, value: Any, *, by: int, server_id: int | None = None) -> None:
    """Sets a value. `scope_id` is 0 for the bot. `server_id`: the server a channel or thread is on (a server's own id
    is known), so that its settings go when the bot leaves."""
    if scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")
    server = scope_id if scope == "server" else server_id or 0
    tables.ScopedOption.objects.update_or_create(
        scope=scope,
        scope_id=scope_id,
        key=key,
        defaults={"value": storable.json(value), "by": by, "at": timezone.now(), "server_id": server},
    )


@changing
def remove(scope: str, scope_id: int, key: str, *, by: int) -> bool:
    """Unsets a value; False if none was set. `by` is for callers that treat `put` and `remove` alike."""
    deleted, _ = tables.ScopedOption.objects.filter(scope=scope, scope_id=scope_id, key=key).delete()
    return deleted > 0


def marks(channel_id: int) -> tuple[frozenset[int], frozenset[int]]:
    """The ids of the dropped and of the pinned messages of a channel or thread."""
    rows = tables.ContextMark.objects.filter(channel_id=channel_id).values_list("message_id", "kind")
    by_kind: dict[str, set[int]] = {"dropped": set(), "pinned": set()}
    for message_id, kind in rows:
        by_kind[kind].add(message_id)
    return frozenset(by_kind["dropped"]), frozenset(by_kind["pinned"])


@changing
def mark(channel_id: int, message_id: int, kind: Kind, *, by: int, server_id: int | None) -> None:
    """Drops or pins a message; the other mark, if it had it, is replaced."""
    tables.ContextMark.objects.update_or_create(
        channel_id=channel_id,
        message_id=message_id,
        defaults={"kind": kind, "by": by, "server_id": server_id or 0, "at": timezone.now()},
    )


@changing
def unmark(channel_id: int, message_id: int) -> bool:
    """Takes the mark away; False if there was none."""
    deleted, _ = tables.ContextMark.objects.filter(channel_id=channel_id, message_id=message_id).delete()
    return deleted > 0


@changing
def forget_channel(channel_id: int) -> int:
    """Takes all marks of a channel away (it was deleted); returns how many."""
    deleted, _ = tables.ContextMark.objects.filter(channel_id=channel_id).delete()
    return deleted
