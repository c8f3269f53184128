"""Conversations of visitors: each belongs to one, and nobody else is told that it exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import erasing
from talkalike.store.rows import read_row
from talkalike.store.tables import talking_tables as tables
from talkalike.store.talking.values import TalkRow

LONGEST_TITLE = 80


def begin(owner: str, *, name: str = "", model: str = "", options: Mapping[str, Any] | None = None) -> int:
    """A new, empty conversation; returns its id."""
    now = timezone.now()
    row = tables.WebConversation.objects.create(
        owner=owner,
        name=storable.text(name),
        model=storable.text(model),
        options=storable.json(options or {}),
        made_at=now,
        changed_at=now,
    )
    return int(row.pk)


def get(owner: str, conversation_id: int) -> TalkRow | None:
    """The conversation, if it is theirs."""
    row = tables.WebConversation.objects.filter(id=conversation_id, owner=owner).first()
    return read_row(TalkRow, row) if row else None


def of_owner(owner: str, *, search: str = "", most: int = 100) -> tuple[TalkRow, ...]:
    """Their conversations, those changed last first; with `search` those whose title or messages contain all words."""
    found = tables.WebConversation.objects.filter(owner=owner)
    for word in search.split()[:8]:
        inside = tables.WebMessage.objects.filter(conversation__owner=owner, text__icontains=word)
        found = found.filter(Q(title__icontains=word) | Q(id__in=inside.values("conversation_id")))
    return tuple(read_row(TalkRow, row) for row in found.order_by("-changed_at", "-id")[:most])


def change(
    owner: str,
    conversation_id: int,
    *,
    title: str | None = None,
    name: str | None = None,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Sets what is given; False if there is no such conversation of theirs."""
    given: dict[str, Any] = {"name": name, "model": model, "title": shorten(title) if title is not None else None}
    columns = {key: storable.text(value) for key, value in given.items() if value is not None}
    if options is not None:
        columns["options"] = storable.json(options)
    found = tables.WebConversation.objects.filter(id=conversation_id, owner=owner)
    return bool(found.update(version=F("version") + 1, **columns))


def remove(owner: str, conversation_id: int) -> bool:
    """Deletes it with everything in it, also from the replies that can be judged; False if it is none of theirs.

    A reply that stands in another conversation word for word stays what it is there.
    """
    with transaction.atomic():
        own = tables.WebMessage.objects.filter(conversation=conversation_id, conversation__owner=owner)
        items = set(own.exclude(item_id=None).values_list("item_id", flat=True))
        deleted, _ = tables.WebConversation.objects.filter(id=conversation_id, owner=owner).delete()
        items -= set(tables.WebMessage.objects.filter(item_id__in=items).values_list("item_id", flat=True))
        erasing.wipe_items(items)
        return deleted > 0


def shorten(text: str) -> str:
    """A text as a title: one line, and not too long."""
    line = " ".join(storable.text(text).split())
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1].rstrip() + "…"
