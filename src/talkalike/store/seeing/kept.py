"""The bytes of the pictures of tasks, each kept once, for as long as a task needs them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Set
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from talkalike.pictures.picture import Picture
from talkalike.store import storable
from talkalike.store.seeing import words
from talkalike.store.tables import seeing_tables as tables

if TYPE_CHECKING:
    from talkalike.store.seeing.models import KeptPicture

_LENGTH = struct.Struct(">I")


def keep(picture: Picture) -> str:
    """Keeps the picture unless it is kept already; returns its hash.

    In one transaction with what needs it: from here to its end, nobody who clears up can take the picture away.
    """
    with transaction.atomic():
        values = {
            "data": picture.data,
            "width": picture.width,
            "height": picture.height,
            "content_type": picture.content_type,
            "frames": b"".join(_LENGTH.pack(len(frame)) + frame for frame in picture.frames),
            "frame_count": picture.frame_count,
            "note": storable.text(picture.note),
            "at": timezone.now(),
        }
        if locked({picture.hash}):
            return picture.hash
        row, _ = tables.KeptPicture.objects.get_or_create(hash=picture.hash, defaults=values)
        return str(row.hash)


def picture(hash: str) -> Picture | None:  # noqa: A002  # a picture's own word for its name
    """The picture with this hash; None where it is not kept (any more)."""
    return pictures([hash]).get(hash)


def pictures(hashes: Collection[str]) -> dict[str, Picture]:
    """Those of these pictures that are kept, by hash."""
    return {row.hash: _picture(row) for row in tables.KeptPicture.objects.filter(hash__in=set(hashes))}


def forget_unused(hashes: Iterable[str] | None = None) -> int:
    """Deletes those of these pictures (None: of all) that nothing needs, with what was seen in them; returns how many.

    To be called in the transaction that took away what needed them.
    """
    with transaction.atomic():
        unused = tables.KeptPicture.objects.filter(examples=None)
        if hashes is not None:
            unused = unused.filter(hash__in=set(hashes))
        # Locked first and asked again then: somebody may have begun to need one of them meanwhile.
        rows = tables.KeptPicture.objects.filter(hash__in=locked(set(unused.values_list("hash", flat=True))))
        going = rows.filter(examples=None)
        names = set(going.values_list("hash", flat=True))
        gone = going.delete()[1].get(tables.KeptPicture._meta.label, 0)
        words.forget_unused(names)
        return gone


def locked(hashes: Set[str]) -> set[str]:
    """Those of these pictures that are kept, and that nobody can take away until the transaction ends."""
    # in the same order for everybody, so that no two wait for each other
    rows = tables.KeptPicture.objects.select_for_update().filter(hash__in=hashes).order_by("hash")
    return set(rows.values_list("hash", flat=True))


def _picture(row: KeptPicture) -> Picture:
    packed, frames = bytes(row.frames), []
    while packed:
        (length,) = _LENGTH.unpack_from(packed)
        frames.append(packed[_LENGTH.size : _LENGTH.size + length])
        packed = packed[_LENGTH.size + length :]
    return Picture(
        data=bytes(row.data),
        width=row.width,
        height=row.height,
        content_type=row.content_type,
        frames=tuple(frames),
        frame_count=row.frame_count,
        note=row.note,
    )
