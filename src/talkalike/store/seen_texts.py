"""What the model read, each wording of a message once for however many replies saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from django.utils import timezone

from talkalike.store import storable
from talkalike.store.tables import tables

if TYPE_CHECKING:
    from talkalike.store.models import SeenText

Key: TypeAlias = tuple[int, str]  # a message and the digest of one of its wordings
FORGOTTEN = ""  # the digest of a message whose text must not be stored again


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsRead:
    """What one reply read in a channel: `items` of {id, author_id, speaker, text, tokens, why}."""

    items: tuple[Mapping[str, Any], ...]
    channel_id: int
    server_id: int

    @property
    def message_ids(self) -> set[int]:
        """The messages it read, without the turns that are none."""
        return {_number(item["id"]) for item in self.items} - {0}


def read_stored(message_ids: set[int]) -> dict[Key, int]:
    """The rows there are of these messages, by message and digest; FORGOTTEN is a digest as well."""
    rows = tables.SeenText.objects.filter(message_id__in=message_ids)
    return {(message_id, digest): pk for pk, message_id, digest in rows.values_list("pk", "message_id", "digest")}


def find_forgotten(known: Iterable[Key]) -> set[int]:
    """Those messages, of what `read_stored` knows, that were forgotten."""
    return {message_id for message_id, digest in known if digest == FORGOTTEN}


def keep(readings: Sequence[TextsRead], known: Mapping[Key, int], now: datetime) -> list[list[dict[str, Any]]]:
    """Stores the texts that were read, but for forgotten ones; returns each reading's references for the reply.

    `known` is what `read_stored` says of their messages.
    """
    gone = find_forgotten(known)
    fresh: dict[Key, SeenText] = {}
    again: set[int] = set()
    keys: list[list[Key]] = []
    for reading in readings:
        keys.append([])
        for item in reading.items:
            speaker, text = storable.text(item.get("speaker", "")), storable.text(item.get("text", ""))
            author_id = int(item.get("author_id") or 0)
            content = "\x00".join((str(reading.channel_id), str(author_id), speaker, text))
            key = (_number(item["id"]), hashlib.sha256(content.encode()).hexdigest()[:32])
            keys[-1].append(key)
            if key in known:
                again.add(known[key])
            elif key not in fresh and key[0] not in gone:
                fresh[key] = tables.SeenText(
                    message_id=key[0],
                    digest=key[1],
                    channel_id=reading.channel_id,
                    server_id=reading.server_id,
                    author_id=author_id,
                    speaker=speaker,
                    text=text,
                    seen_at=now,
                )
    if again:
        tables.SeenText.objects.filter(pk__in=again).update(seen_at=now)
    made = tables.SeenText.objects.bulk_create(  # two processes at once may store the same
        [row for _, row in sorted(fresh.items())],
        update_conflicts=True,
        unique_fields=["message_id", "digest"],
        update_fields=["seen_at"],
    )
    ids = {**known, **{(row.message_id, row.digest): row.pk for row in made}}
    return [
        [
            {
                "text_id": None if key[0] in gone else ids[key],
                "name": "" if key[0] else str(item["id"]),  # of a turn that is no message, such as the persona
                "tokens": item.get("tokens", 0),
                "why": storable.text(item.get("why", "")),
            }
            for key, item in zip(of_reading, reading.items, strict=True)
        ]
        for of_reading, reading in zip(keys, readings, strict=True)
    ]


def recall(references: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The references with their speakers and texts; of what was forgotten meanwhile only the cost is left."""
    references = list(references)
    rows = tables.SeenText.objects.in_bulk([item["text_id"] for item in references if item["text_id"] is not None])
    return [_recall_one(item, rows.get(item["text_id"])) for item in references]


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


def _recall_one(reference: Mapping[str, Any], row: SeenText | None) -> dict[str, Any]:
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
    text = str(item_id)
    return int(text) if text.isascii() and text.isdigit() else 0
