"""The servers the bot is on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from talkalike.store import storable
from talkalike.store.rows import read_row
from talkalike.store.tables import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRow:
    """A server. `left_at` is set while the bot is no longer on it and its data is still kept."""

    id: int
    name: str
    joined_at: datetime
    left_at: datetime | None


def note_joined(server_id: int, name: str) -> bool:
    """Notes that the bot is on the server (and its present name); True if it was not known to be."""
    row, made = tables.Server.objects.get_or_create(
        id=server_id, defaults={"name": storable.text(name), "joined_at": timezone.now()}
    )
    if made:
        return True
    back = row.left_at is not None
    row.name, row.left_at = storable.text(name), None
    row.save()
    return back


def note_left(server_id: int) -> None:
    """Notes that the bot is no longer on the server. What is kept of it goes with `people.forget_server`."""
    tables.Server.objects.filter(id=server_id, left_at=None).update(left_at=timezone.now())


def all_servers() -> tuple[ServerRow, ...]:
    """Every server that is known, in the order in which the bot joined them."""
    return tuple(read_row(ServerRow, row) for row in tables.Server.objects.order_by("joined_at", "id"))
