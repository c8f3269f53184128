"""What was said in a conversation on the website, the replies, and the branches. Callers have checked whose it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from talkalike.errors import UserError
from talkalike.store import storable
from talkalike.store.recording import Ending, ReplyState
from talkalike.store.rows import read_row
from talkalike.store.tables import talking_tables as tables
from talkalike.store.talking.conversations import shorten
from talkalike.store.talking.values import BurstPart, EntryKind, MessageRow, NewPicture, PictureRow, text_of

if TYPE_CHECKING:
    from talkalike.store.talking import models


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What somebody sends. `parent` is the message before it, None for the first; `answered`: a reply is to follow."""

    parent: int | None
    text: str
    token: str = ""
    pictures: tuple[NewPicture, ...] = ()
    answered: bool = True
    model: str = ""


def all_of(conversation_id: int) -> tuple[MessageRow, ...]:
    """Every message of every branch, oldest first."""
    pictures: dict[int, list[PictureRow]] = {}
    found: Any = tables.WebPicture.objects.filter(message__conversation_id=conversation_id)
    for row in found.order_by("id").defer("data"):
        pictures.setdefault(row.message_id, []).append(picture_row(row))
    rows = tables.WebMessage.objects.filter(conversation_id=conversation_id).order_by("id").defer("seen", "sampling")
    return tuple(_row(row, tuple(pictures.get(row.pk, ()))) for row in rows)


def seen_of(conversation_id: int, reply_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the model saw for a reply, and its sampling."""
    found = tables.WebMessage.objects.filter(id=reply_id, conversation_id=conversation_id).first()
    return (found.seen, found.sampling) if found else ({}, {})


def picture(owner: str, conversation_id: int, picture_id: int) -> tuple[bytes, str] | None:
    """The bytes and the type of a picture, if its conversation is theirs."""
    found = tables.WebPicture.objects.filter(
        id=picture_id, message__conversation_id=conversation_id, message__conversation__owner=owner
    ).first()
    return (bytes(found.data), str(found.content_type)) if found else None


def say(conversation_id: int, saying: Saying) -> tuple[int, int | None, bool]:
    """Adds a message, and the reply that is to be written: both ids, and whether they are new (the form came first).

    Both are kept, or neither. The branch that they end is the one that is shown from now on.
    """
    with transaction.atomic():
        locked = _lock(conversation_id)
        known = tables.WebMessage.objects.filter(conversation=locked, token=saying.token).exclude(token="").first()
        if known is not None and known.text == storable.text(saying.text):
            reply = tables.WebMessage.objects.filter(parent=known, kind=EntryKind.REPLY).order_by("id").first()
            return known.pk, reply.pk if reply else None, False
        token = "" if known else saying.token[:40]  # somebody went back, and wrote something else into the same form
        said = _add(locked, saying.parent, EntryKind.SAID, text=storable.text(saying.text), token=token)
        for one in saying.pictures:
            tables.WebPicture.objects.create(message=said, **{**asdict(one), "name": storable.text(one.name)[:200]})
        reply_id = None
        if saying.answered:
            reply_id = _add(locked, said.pk, EntryKind.REPLY, state=ReplyState.WRITING, model=saying.model).pk
        if not locked.title:
            locked.title = shorten(saying.text) or "A picture"
        _show(locked, reply_id or said.pk)
        return said.pk, reply_id, True


def answer(conversation_id: int, parent: int, *, model: str) -> int:
    """Adds another reply to the message `parent`, still to be written; returns its id."""
    with transaction.atomic():
        locked = _lock(conversation_id)
        reply = _add(locked, parent, EntryKind.REPLY, state=ReplyState.WRITING, model=storable.text(model))
        _show(locked, reply.pk)
        return int(reply.pk)


def reset(conversation_id: int, parent: int) -> int:
    """Marks that the double is to forget what stands before; returns the mark's id."""
    with transaction.atomic():
        locked = _lock(conversation_id)
        mark = _add(locked, parent, EntryKind.RESET)
        _show(locked, mark.pk)
        return int(mark.pk)


def show(conversation_id: int, head: int) -> None:
    """The branch that ends there is the one that is shown."""
    tables.WebConversation.objects.filter(id=conversation_id).update(head=head, version=F("version") + 1)


def note_begun(
    reply_id: int, *, speaker: str, model: str, seen: Mapping[str, Any], sampling: Mapping[str, Any]
) -> None:
    """The model begins to write: whose voice it has, what it sees, how words are chosen."""
    tables.WebMessage.objects.filter(id=reply_id).update(
        speaker=storable.text(speaker),
        model=storable.text(model),
        seen=storable.json(seen),
        sampling=storable.json(sampling),
    )


def progress(reply_id: int, parts: Sequence[BurstPart]) -> None:
    """What was written so far, so that it is not lost when the process dies."""
    tables.WebMessage.objects.filter(id=reply_id, state=ReplyState.WRITING).update(**_parts_columns(parts))


def end(reply_id: int, ending: Ending, parts: Sequence[BurstPart], *, item_id: int | None = None) -> bool:
    """A reply has ended, with these messages; False if it was deleted meanwhile."""
    row: Any = tables.WebMessage.objects.filter(id=reply_id).first()
    if row is None:
        return False
    tables.WebMessage.objects.filter(id=reply_id).update(
        state=ending.state.value,
        tokens=ending.tokens,
        seconds=ending.seconds,
        problem=storable.text(ending.problem),
        item_id=item_id,
        **_parts_columns(parts),
    )
    tables.WebConversation.objects.filter(id=row.conversation_id).update(
        version=F("version") + 1, changed_at=timezone.now()
    )
    return True


def break_off(conversation_id: int, *, but: Collection[int]) -> int:
    """Marks replies as broken off that nobody writes any more (`but` those); returns how many there were."""
    writing = tables.WebMessage.objects.filter(conversation_id=conversation_id, state=ReplyState.WRITING)
    return int(writing.exclude(id__in=list(but)).update(state=ReplyState.LOST.value))


def picture_row(row: models.WebPicture) -> PictureRow:
    """A picture without its bytes."""
    return read_row(PictureRow, row)


# -------------------------------------------------------------------------------------------------------------- inside
def _lock(conversation_id: int) -> models.WebConversation:
    locked = tables.WebConversation.objects.select_for_update().filter(id=conversation_id).first()
    if locked is None:
        raise UserError("This conversation was deleted meanwhile.", hint="Begin a new one.")
    return locked


def _add(locked: models.WebConversation, parent: int | None, kind: EntryKind, **columns: Any) -> models.WebMessage:
    return tables.WebMessage.objects.create(
        conversation=locked, parent_id=parent, kind=kind.value, at=timezone.now(), **columns
    )


def _show(locked: models.WebConversation, head: int) -> None:
    locked.head, locked.changed_at = head, timezone.now()
    locked.version += 1
    locked.save(update_fields=["head", "changed_at", "version", "title"])


def _parts_columns(parts: Sequence[BurstPart]) -> dict[str, Any]:
    clean = [BurstPart(text=storable.text(part.text), emoji=storable.text(part.emoji)) for part in parts]
    return {"parts": [{"text": one.text, "emoji": one.emoji} for one in clean], "text": text_of(clean)}


def _row(row: Any, pictures: tuple[PictureRow, ...]) -> MessageRow:
    return read_row(
        MessageRow,
        row,
        parent=row.parent_id,
        kind=EntryKind(row.kind),
        parts=tuple(BurstPart(text=part["text"], emoji=part["emoji"]) for part in row.parts),
        state=ReplyState(row.state) if row.state else None,
        pictures=pictures,
    )
