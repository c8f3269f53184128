"""Runs of /test: their scores, their replies, and when the next one is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django.db import transaction

from talkalike.store import storable
from talkalike.store.replies import ReplyRow, row_of
from talkalike.store.rows import read_row
from talkalike.store.tables import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRunRow:
    """One run. `scores` by name; `results` one entry for each scenario, as the report shows it; `seconds` in all.

    `id` is 0 and `reply_ids` are what belongs to it before it is recorded; `replies_of` gives them afterwards.
    """

    __test__: ClassVar[bool] = False  # the name tells pytest otherwise

    server_id: int
    channel_ids: tuple[int, ...]
    by: int
    model: str
    began_at: datetime
    seconds: float
    scores: Mapping[str, float | None]
    results: tuple[Mapping[str, Any], ...] = ()
    report_message_id: int | None = None
    reply_ids: tuple[int, ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a server's test runs next, and over which channels."""

    server_id: int
    channel_ids: tuple[int, ...]
    every_hours: float
    next_at: datetime
    by: int = field(default=0)


def record(run: TestRunRow) -> int:
    """Stores a finished run and which replies belong to it; returns its id."""
    with transaction.atomic():
        row = tables.TestRun.objects.create(
            server_id=run.server_id,
            channel_ids=list(run.channel_ids),
            by=run.by,
            model=run.model,
            began_at=run.began_at,
            seconds=run.seconds,
            scores=storable.json(run.scores),
            results=storable.json(run.results),
            report_message_id=run.report_message_id,
        )
        tables.Reply.objects.filter(id__in=run.reply_ids, server_id=run.server_id).update(test_run=row)
        return int(row.pk)


def last(server_id: int) -> TestRunRow | None:
    """The server's newest run."""
    row = tables.TestRun.objects.filter(server_id=server_id).order_by("-id").first()
    if row is None:
        return None
    return read_row(
        TestRunRow,
        row,
        channel_ids=tuple(row.channel_ids),
        results=tuple(row.results),
        reply_ids=tuple(row.replies.order_by("id").values_list("id", flat=True)),
    )


def replies_of(run: TestRunRow) -> tuple[ReplyRow, ...]:
    """The replies that belong to a recorded run, in the order in which they were written."""
    rows = tables.Reply.objects.filter(test_run_id=run.id).order_by("id").prefetch_related("messages")
    return tuple(row_of(row) for row in rows)


def schedules() -> tuple[Schedule, ...]:
    """All schedules, the next one due first."""
    return tuple(
        read_row(Schedule, row, channel_ids=tuple(row.channel_ids))
        for row in tables.TestSchedule.objects.order_by("next_at", "server_id")
    )


def put_schedule(
    server_id: int, channel_ids: Iterable[int], every_hours: float, next_at: datetime, *, by: int = 0
) -> None:
    """Sets the server's schedule; it has one at most."""
    tables.TestSchedule.objects.update_or_create(
        server_id=server_id,
        defaults={"channel_ids": list(channel_ids), "every_hours": every_hours, "next_at": next_at, "by": by},
    )


def remove_schedule(server_id: int) -> bool:
    """Ends it; False if there was none."""
    deleted, _ = tables.TestSchedule.objects.filter(server_id=server_id).delete()
    return deleted > 0
