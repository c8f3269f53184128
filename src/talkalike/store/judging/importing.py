"""Takes judgements from lines of JSON, one transaction each: what was taken is kept, whatever happens later."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import ai_labels, counting, items, judges, locks
from talkalike.store.judging.counting import Change
from talkalike.store.judging.judgement_values import (
    AnyRecord,
    ComparisonRecord,
    CorrectionRecord,
    FlagRecord,
    JudgedReply,
    Kind,
    RatingRecord,
    RefusedError,
)
from talkalike.store.judging.judgements import MAX_TEXT
from talkalike.store.judging.lines import LineError, from_line
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

LISTED = 100  # skipped lines that are listed; all are counted
OFTEN = 100  # lines between two reports
FACE = "import"
_KEY = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file's lines: `taken` are new, `known` were here already.

    `skipped` says of the first 100 that could not be taken which line it was and why; `skipped_count` counts all.
    """

    taken: int
    known: int
    skipped_count: int
    skipped: tuple[tuple[int, str], ...]


def import_jsonl(lines: Iterable[str | bytes], *, on_progress: Callable[[int], None] | None = None) -> Imported:
    """Takes what the lines hold; those that hold nothing usable are counted and listed.

    `on_progress` hears how many lines were read. What was taken stays if it is stopped.
    """
    taken = known = count = 0
    skipped: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if on_progress is not None and number % OFTEN == 0:
            on_progress(number)
        if not line.strip():
            continue
        try:
            new = _take(from_line(_decode(line)))
            taken, known = taken + new, known + (not new)
        except (LineError, RefusedError) as problem:
            count += 1
            if len(skipped) < LISTED:
                skipped.append((number, str(problem)))
    return Imported(taken=taken, known=known, skipped_count=count, skipped=tuple(skipped))


def _decode(line: str | bytes) -> str:
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
    except UnicodeDecodeError:
        raise LineError("it is not UTF-8") from None
    return text.removeprefix("\ufeff")


def _take(record: AnyRecord) -> bool:
    """Stores the judgement; False if it was here. Raises LineError."""
    with transaction.atomic():
        judge = locks.lock_judge(_judge(record))
        about: models.Pair | models.Item
        unit: dict[str, Any]
        if isinstance(record, ComparisonRecord):
            about = _pair(record)
            unit = {"pair": about, "round": int(record.repeat)}
        else:
            about = tables.Item.objects.select_for_update(of=("self",), no_key=True).get(id=_item(record.reply))
            unit = {"item": about, "scale": record.scale.value if isinstance(record, RatingRecord) else ""}
        unit["type"] = record.type.value
        content = _content(record)
        held = tables.Judgement.objects.filter(judge=judge, ended_at=None)
        before = held.filter(**unit).first()
        if before is not None:
            if all(getattr(before, name) == value for name, value in content.items() if name != "a_first"):
                return False
            raise LineError("this judge said something else about it here, which stays")
        other = held.filter(pair=about).first() if isinstance(record, ComparisonRecord) else None
        row = tables.Judgement.objects.create(
            judge=judge, at=record.at, seconds=record.seconds, face=FACE, **unit, **content
        )
        counting.count([Change(judgement=row, kind=record.kind, by=1)], about, other=other)
        return True


def _content(record: AnyRecord) -> dict[str, Any]:
    if isinstance(record, ComparisonRecord):
        soft = {} if record.probability is None else {"text": ai_labels.as_text(record.probability, record.gap)}
        return {"choice": record.choice.value, "a_first": record.shown == ("a", "b"), **soft}
    if isinstance(record, RatingRecord):
        return {"value": record.value}
    text = record.text if isinstance(record, CorrectionRecord) else ""
    text = record.reason if isinstance(record, FlagRecord) else text
    if len(text) > MAX_TEXT:
        raise LineError(f"its text has more than {MAX_TEXT:,} characters")
    return {"text": storable.text(text)}


def _judge(record: AnyRecord) -> int:
    """The judge of that pseudonym. Who is in an export agreed to being exported, and does so here."""
    pseudonym = storable.text(record.judge)
    if len(pseudonym) > judges.MAX_PSEUDONYM:
        raise LineError(f"'judge' is longer than {judges.MAX_PSEUDONYM} characters")
    now = timezone.now()
    row, _ = tables.Judge.objects.get_or_create(
        pseudonym=pseudonym,
        defaults={"kind": record.kind.value, "group": judges.Group.JUDGE.value, "consent_at": now, "made_at": now},
    )
    if Kind(row.kind) is not record.kind:
        raise LineError(f"'judge' is known here, but not as {record.kind.value}")
    return int(row.pk)


def _item(reply: JudgedReply) -> int:
    """The reply that is known by that id, or a new one. Raises LineError where the known one says something else."""
    if not _KEY.fullmatch(reply.id):
        return items.put_item(reply)
    known = tables.Item.objects.filter(key=reply.id).first()
    if known is None:
        return items.put_item(reply, key=reply.id)
    here = items.read(known)
    if here is not None and here.messages != tuple(storable.text(message) for message in reply.messages):
        raise LineError("the reply of this id says something else here")
    return int(known.pk)


def _pair(record: ComparisonRecord) -> models.Pair:
    """The pair, locked; made where it is not known."""
    a, b = _item(record.a), _item(record.b)
    if a == b:
        raise LineError("its two replies are the same")
    key = record.pair if _KEY.fullmatch(record.pair) else items.pair_key(record.a.id, record.b.id)
    first = record.shown == ("a", "b")
    tables.Pair.objects.get_or_create(
        key=key, defaults={"a_id": a, "b_id": b, "a_first": first, "made_at": timezone.now()}
    )
    rows = tables.Pair.objects.select_for_update(of=("self",), no_key=True).select_related("a", "b")
    pair: models.Pair = rows.get(key=key)
    if (pair.a_id, pair.b_id) != (a, b):
        raise LineError("the pair of this name has other replies here")
    return pair
