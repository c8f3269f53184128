"""Pictures that people sent the double on the website, for those who judge what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talkalike.store.tables import talking_tables as tables
from talkalike.store.talking.messages import picture_row
from talkalike.store.talking.values import MOST_PARTS, PictureRow

Places = dict[int, tuple[PictureRow, ...]]
"""Pictures by the turn of a judged reply's context (counted from 0) with which they were sent."""


def of_items(item_ids: Sequence[int]) -> Places:
    """The pictures in the context of these items, which answer the same messages; empty for items of other faces."""
    reply: Any = (
        tables.WebMessage.objects.filter(item_id__in=item_ids).order_by("id").only("conversation", "seen").first()
    )
    if reply is None:
        return {}
    turns = [int(turn["id"]) // MOST_PARTS if turn["id"].isdigit() else 0 for turn in reply.seen.get("kept", ())]
    sent: dict[int, list[PictureRow]] = {}
    found: Any = tables.WebPicture.objects.filter(message_id__in=turns, message__conversation_id=reply.conversation_id)
    for row in found.order_by("id").defer("data"):
        sent.setdefault(row.message_id, []).append(picture_row(row))
    return {place: tuple(sent[message]) for place, message in enumerate(turns) if message in sent}


def data_of(item_ids: Sequence[int], picture_id: int) -> tuple[bytes, str] | None:
    """The bytes and the type of a picture, if it stands in the context of these items."""
    if not any(one.id == picture_id for place in of_items(item_ids).values() for one in place):
        return None
    found = tables.WebPicture.objects.filter(id=picture_id).first()
    return (bytes(found.data), str(found.content_type)) if found else None
