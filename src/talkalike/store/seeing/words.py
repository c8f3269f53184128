"""What eyes saw in the pictures that are kept, so that no picture is looked at twice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.utils import timezone

from talkalike.engine.eyes import Grade, Looked
from talkalike.store import storable
from talkalike.store.tables import seeing_tables as tables


def words_of(hash: str, *, eye: str, grade: Grade) -> Looked | None:  # noqa: A002  # a picture's own word for its name
    """What this eye saw in this picture at this grade; None where it has not looked yet."""
    return all_words_of([hash], eye=eye, grade=grade).get(hash)


def all_words_of(hashes: Collection[str], *, eye: str, grade: Grade) -> dict[str, Looked]:
    """The same of many pictures, by hash."""
    found: Any = tables.SeenWords.objects.filter(hash__in=set(hashes), eye=storable.text(eye), grade=grade.value)
    return {row.hash: Looked(words=row.words, sure=row.sure) for row in found}


def keep_words(hash: str, looked: Looked, *, eye: str, grade: Grade) -> bool:  # noqa: A002  # as above
    """Keeps what was seen, instead of what this eye saw before; False where nothing needs the picture (any more)."""
    with transaction.atomic():
        kept = tables.KeptPicture.objects.select_for_update().filter(hash=hash).exists()
        if not kept and not tables.SentPicture.objects.select_for_update().filter(hash=hash).exists():
            return False
        tables.SeenWords.objects.update_or_create(
            hash=hash,
            eye=storable.text(eye),
            grade=grade.value,
            defaults={"words": storable.text(looked.words), "sure": looked.sure, "at": timezone.now()},
        )
        return True


def forget_unused(hashes: Collection[str]) -> None:
    """Deletes what was seen in those of these pictures that no task keeps and no known message holds.

    To be called in the transaction that took away what needed them.
    """
    left = set(hashes)
    left -= set(tables.KeptPicture.objects.filter(hash__in=left).values_list("hash", flat=True))
    left -= set(tables.SentPicture.objects.filter(hash__in=left).values_list("hash", flat=True))
    tables.SeenWords.objects.filter(hash__in=left).delete()
