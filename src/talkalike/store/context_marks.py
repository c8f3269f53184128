"""Messages that people dropped from, or pinned to, what the model sees of a channel."""

from __future__ import annotations

from typing import Literal

from django.utils import timezone

from talkalike.store.changes import changing
from talkalike.store.tables import tables

Kind = Literal["dropped", "pinned"]


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
