"""What the model read, each wording of a message once for however many replies saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from talkalike.store import storable
from talkalike.store.tables import tables

if TYPE_CHECKING:
    from talkalike.store.models import SeenText

FORGOTTEN = ""  # the digest of a message whose text must not be stored again


def keep(items: Iterable[Mapping[str, Any]], *, channel_id: int, server_id: int) -> list[dict[str, Any]]:
    """Stores the texts of `items` ({id, author_id, speaker, text, tokens, why}); returns references for the reply."""
    items = list(items)
    now = timezone.now()
    rows: dict[tuple[int, str], Any] = {}
    keys: list[tuple[int, str]] = []
    for item in items:
        message_id = _number(item["id"])
        speaker, text = storable.text(item.get("speaker", "")), storable.text(item.get("text", ""))
        author_id = int(item.get("author_id") or 0)
        told = "\x00".join((str(channel_id), str(author_id), speaker, text))
        key = (message_id, hashlib.sha256(told.encode()).hexdigest()[:32])
        keys.append(key)
        rows[key] = tables.SeenText(
            message_id=key[0],
            digest=key[1],
            channel_id=channel_id,
            server_id=server_id,
            author_id=author_id,
            speaker=speaker,
            text=text,
            seen_at=now,
        )
    known = tables.SeenText.objects.filter(message_id__in={message_id for message_id, _ in rows})
    ids: dict[tuple[int, str], int] = {}
    gone = set()
    for pk, message_id, digest in known.values_list("pk", "message_id", "digest"):
        if digest == FORGOTTEN:
            gone.add(message_id)
        elif (message_id, digest) in rows:
            ids[message_id, digest] = pk
    if ids:
        tables.SeenText.objects.filter(pk__in=ids.values()).update(seen_at=now)
    fresh = [row for key, row in sorted(rows.items()) if key not in ids and key[0] not in gone]
    stored = tables.SeenText.objects.bulk_create(  # two replies at once may store the same
        fresh, update_conflicts=True, unique_fields=["message_id", "digest"], update_fields=["seen_at"]
    )
    ids |= {(row.message_id, row.digest): row.pk for row in stored}
    ids = {key: pk for key, pk in ids.items() if key[0] not in gone}
    return [
        {
            "text_id": ids.get(key),
            "name": "" if key[0] else str(item["id"]),  # of a turn that is no message, such as the persona
            "tokens": item.get("tokens", 0),
            "why": storable.text(item.get("why", "")),
        }
        for key, item in zip(keys, items, strict=True)
    ]


def recall(references: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The references with their speakers and texts; of what was forgotten meanwhile only the cost is left."""
    references = list(references)
    rows = tables.SeenText.objects.in_bulk([item["text_id"] for item in references if item["text_id"] is not None])
    return [_recalled(item, rows.get(item["text_id"])) for item in references]


def forget(message_id: int) -> int:
    """Deletes every wording of the message and sees to it that none is stored again; returns how many there were."""
    texts = tables.SeenText.objects.filter(message_id=message_id).exclude(digest=FORGOTTEN)
    known = texts.first()
    deleted, _ = texts.delete()
    tables.SeenText.objects.get_or_create(
        message_id=message_id,
        digest=FORGOTTEN,
        defaults={
            "channel_id": known.channel_id if known else 0,
            "server_id": known.server_id if known else 0,
            "author_id": 0,
            "speaker": "",
            "text": "",
            "seen_at": timezone.now(),
        },
    )
    return deleted


def forgotten(message_ids: set[int]) -> set[int]:
    """Those of the messages that were forgotten."""
    rows = tables.SeenText.objects.filter(message_id__in=message_ids, digest=FORGOTTEN)
    return set(rows.values_list("message_id", flat=True))


def _recalled(reference: Mapping[str, Any], row: SeenText | None) -> dict[str, Any]:
    return {
        "id": str(row.message_id) if row and row.message_id else reference["name"],
        "author_id": row.author_id if row else 0,
        "speaker": row.speaker if row else "",
        "text": row.text if row else "",
        "tokens": reference["tokens"],
        "why": reference["why"],
        "forgotten": row is None,
    }


def _number(item_id: object) -> int:
    """The message's id, or 0 for a turn that is none, such as the persona."""
    told = str(item_id)
    return int(told) if told.isascii() and told.isdigit() else 0
