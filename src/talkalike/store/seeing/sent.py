"""Which messages on Discord hold which pictures, so that what was seen in them is found again, and goes with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from talkalike.pictures.picture import PictureRef
from talkalike.store.seeing import words
from talkalike.store.tables import seeing_tables as tables

Place = tuple[int, int]  # a message, and the number among its files


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTo:
    """A message as it is kept beside its pictures. `server_id`: 0 for direct messages."""

    message_id: int
    channel_id: int
    server_id: int
    author_id: int


def record(sent: SentTo, place: int, picture: PictureRef) -> None:
    """Notes that the message holds this picture there, instead of what was known before."""
    tables.SentPicture.objects.update_or_create(
        message_id=sent.message_id,
        place=place,
        defaults={
            "hash": picture.hash,
            "width": picture.width,
            "height": picture.height,
            "channel_id": sent.channel_id,
            "server_id": sent.server_id,
            "author_id": sent.author_id,
            "at": timezone.now(),
        },
    )


def pictures_in(messages: Collection[int]) -> dict[Place, PictureRef]:
    """What is known of the pictures of these messages."""
    rows: Any = tables.SentPicture.objects.filter(message_id__in=set(messages))
    return {(row.message_id, row.place): PictureRef(hash=row.hash, width=row.width, height=row.height) for row in rows}


def forget_messages(messages: Collection[int]) -> int:
    """Forgets the pictures of deleted messages; returns how many."""
    return _forget(tables.SentPicture.objects.filter(message_id__in=set(messages)))


def forget_channels(channels: Collection[int]) -> int:
    """The same of channels."""
    return _forget(tables.SentPicture.objects.filter(channel_id__in=set(channels)))


def count_about(user_id: int) -> dict[str, int]:
    """How many pictures a person is known to have sent."""
    return {"pictures": tables.SentPicture.objects.filter(author_id=user_id).count()}


def export_about(user_id: int) -> list[dict[str, Any]]:
    """Them, with what was seen in them, ready for JSON."""
    rows = list(tables.SentPicture.objects.filter(author_id=user_id).order_by("message_id", "place"))
    seen: dict[str, list[str]] = {}
    for row in tables.SeenWords.objects.filter(hash__in={row.hash for row in rows}).order_by("pk"):
        seen.setdefault(row.hash, []).append(row.words)
    return [
        {
            "message_id": str(row.message_id),
            "channel_id": str(row.channel_id),
            "hash": row.hash,
            "seen": seen.get(row.hash, []),
        }
        for row in rows
    ]


def forget_user(user_id: int, private_channels: Sequence[int]) -> dict[str, int]:
    """Forgets what they sent, and all of their direct messages' pictures."""
    gone = _forget(tables.SentPicture.objects.filter(author_id=user_id))
    return {"pictures": gone + _forget(tables.SentPicture.objects.filter(channel_id__in=private_channels, server_id=0))}


def forget_server(server_id: int) -> dict[str, int]:
    """Forgets what was sent on a server."""
    return {"pictures": _forget(tables.SentPicture.objects.filter(server_id=server_id))}


def servers() -> set[int]:
    """Where pictures are known."""
    return set(tables.SentPicture.objects.values_list("server_id", flat=True).distinct())


def expire(server_id: int, before: datetime) -> int:
    """Forgets a server's pictures that were last seen before this time; returns how many."""
    return _forget(tables.SentPicture.objects.filter(server_id=server_id, at__lt=before))


def _forget(rows: QuerySet[Any]) -> int:
    with transaction.atomic():
        hashes = set(rows.values_list("hash", flat=True))
        gone = rows.delete()[1].get(tables.SentPicture._meta.label, 0)
        words.forget_unused(hashes)
        return gone
