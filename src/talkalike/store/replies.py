"""The double's replies: begun once per message, with what the model saw, what was sent and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from talkalike.store import seen_texts, storable
from talkalike.store.recording import Ending, ReplyRecord, Sent, record
from talkalike.store.recording import ReplyState as ReplyState
from talkalike.store.rows import read_row
from talkalike.store.tables import tables

if TYPE_CHECKING:
    from talkalike.store.models import Reply

TRIES = 5  # of two that regenerate at once, one counts again


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is known of a reply before it is written. `again`: asked for anew. `test`: posted by /test."""

    trigger_id: int
    channel_id: int
    server_id: int | None
    thread: bool
    asker_id: int
    model: str
    sampling: Mapping[str, Any]
    again: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRow:
    """One Discord message of a reply. `text` is empty once it was forgotten."""

    message_id: int
    index: int
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRow:
    """A reply as it is known now.

    `seen`: {"kept": [{id, author_id, speaker, text, tokens, why, forgotten}], "left_out": [{id, tokens, why}],
    "budget": tokens}, empty before `note_seen`. `asker_id` is 0 where they were forgotten. `seconds` it took to write,
    `first_seconds` until the first word.
    """

    id: int
    trigger_id: int
    attempt: int
    channel_id: int
    server_id: int | None
    thread: bool
    asker_id: int
    model: str
    sampling: Mapping[str, Any]
    test: bool
    state: ReplyState
    began_at: datetime
    ended_at: datetime | None
    tokens: int
    seconds: float
    first_seconds: float | None
    problem: str
    reactions: tuple[str, ...]
    messages: tuple[SentRow, ...]
    seen: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A reply that went wrong, for `/status`."""

    reply_id: int
    channel_id: int
    server_id: int | None
    model: str
    state: ReplyState
    problem: str
    at: datetime


def begin(beginning: Beginning) -> int | None:
    """Claims the message for one reply and returns the reply's id; of two processes that try, one gets it.

    None: the message was answered, or is being answered. With `again` it is always granted, as a further attempt.
    """
    for _ in range(TRIES):
        attempt = 1
        if beginning.again:
            before = tables.Reply.objects.filter(trigger_id=beginning.trigger_id).aggregate(last=Max("attempt"))
            attempt += before["last"] or 0
        try:
            row = _new_row(beginning, attempt)
            with transaction.atomic():
                row.save(force_insert=True)
            return int(row.pk)
        except IntegrityError:
            if not beginning.again:
                return None
    return None


def begin_all(beginnings: Sequence[Beginning]) -> list[int | None]:
    """As `begin`, for several at once. Raises IntegrityError where another process begins one of them just now."""
    if len(beginnings) == 1:
        return [begin(beginnings[0])]
    with transaction.atomic():
        attempts = tables.Reply.objects.filter(trigger_id__in={one.trigger_id for one in beginnings})
        last = dict(attempts.values_list("trigger_id").annotate(last=Max("attempt")))
        rows: list[Reply | None] = []
        for one in beginnings:
            attempt = last.get(one.trigger_id, 0) + 1
            granted = one.again or attempt == 1
            rows.append(_new_row(one, attempt) if granted else None)
            if granted:
                last[one.trigger_id] = attempt
        tables.Reply.objects.bulk_create([row for row in rows if row is not None])
    return [None if row is None else int(row.pk) for row in rows]


def note_seen(reply_id: int, seen: Mapping[str, Any]) -> bool:
    """Stores what the model saw, as `ReplyRecord` tells. False where the reply is gone: it was forgotten meanwhile."""
    return record([ReplyRecord(reply_id=reply_id, seen=seen)])[0]


def note_sent(reply_id: int, message_id: int, text: str, index: int) -> bool:
    """Stores a Discord message of the reply. False as in `note_seen`."""
    return record([ReplyRecord(reply_id=reply_id, sent=(Sent(message_id=message_id, text=text, index=index),))])[0]


def note_reaction(reply_id: int, emoji: str) -> bool:
    """Stores that the double reacted with an emoji. False as in `note_seen`."""
    return record([ReplyRecord(reply_id=reply_id, reactions=(emoji,))])[0]


def end(
    reply_id: int,
    state: ReplyState,
    *,
    tokens: int = 0,
    seconds: float = 0.0,
    first_seconds: float | None = None,
    problem: str = "",
) -> bool:
    """Ends a reply that is being written; False if it had ended before (the first end counts)."""
    ending = Ending(state=state, tokens=tokens, seconds=seconds, first_seconds=first_seconds, problem=problem)
    return record([ReplyRecord(reply_id=reply_id, ending=ending)])[0]


def by_id(reply_id: int) -> ReplyRow | None:
    """The reply, or None if there is none, or no longer."""
    return _first(id=reply_id)


def by_message(message_id: int) -> ReplyRow | None:
    """The reply that this Discord message is part of."""
    return _first(messages__message_id=message_id)


def unfinished() -> tuple[ReplyRow, ...]:
    """Replies that are being written, or were when their process ended; oldest first."""
    rows = tables.Reply.objects.filter(state=ReplyState.WRITING.value).order_by("id")
    return tuple(row_of(row) for row in rows.prefetch_related("messages"))


def recent(channel_id: int, limit: int) -> tuple[ReplyRow, ...]:
    """The newest replies in a channel or thread, newest first."""
    rows = tables.Reply.objects.filter(channel_id=channel_id).order_by("-id")[:limit]
    return tuple(row_of(row) for row in rows.prefetch_related("messages"))


def answered_channels(limit: int) -> tuple[int, ...]:
    """The channels, threads and direct messages with replies, those with the newest ones first."""
    newest = tables.Reply.objects.filter(test=False).values("channel_id").annotate(newest=Max("id"))
    return tuple(newest.order_by("-newest").values_list("channel_id", flat=True)[:limit])


def answered_messages(channel_id: int, limit: int) -> tuple[tuple[int, int], ...]:
    """(message, who asked) of the newest replies in a channel, whatever became of them, newest first."""
    rows = tables.Reply.objects.filter(channel_id=channel_id).order_by("-id")
    return tuple(rows.values_list("trigger_id", "asker_id")[:limit])


def problems(server_id: int | None, limit: int = 5) -> tuple[Problem, ...]:
    """The last replies on that server (None: anywhere) that went wrong, newest first."""
    rows = tables.Reply.objects.exclude(problem="")
    if server_id is not None:
        rows = rows.filter(server_id=server_id)
    return tuple(
        read_row(
            Problem,
            row,
            reply_id=row.pk,
            server_id=row.server_id or None,
            state=ReplyState(row.state),
            at=row.ended_at or row.began_at,
        )
        for row in rows.order_by("-id")[:limit]
    )


def forget_message(message_id: int) -> int:
    """Wipes the text of a Discord message wherever it was seen or sent, for good; returns how many texts went."""
    with transaction.atomic():
        wiped = tables.SentMessage.objects.filter(message_id=message_id).exclude(text="").update(text="")
        return wiped + seen_texts.forget(message_id)


def row_of(row: Reply) -> ReplyRow:
    """A plain value of a row of the table."""
    sent = sorted(row.messages.all(), key=lambda message: (message.index, message.message_id))
    return read_row(
        ReplyRow,
        row,
        server_id=row.server_id or None,
        state=ReplyState(row.state),
        reactions=tuple(row.reactions),
        messages=tuple(read_row(SentRow, message) for message in sent),
        seen={**row.seen, "kept": seen_texts.recall(row.seen["kept"])} if row.seen else {},
    )


def _new_row(beginning: Beginning, attempt: int) -> Reply:
    columns = {field.name: getattr(beginning, field.name) for field in fields(beginning) if field.name != "again"}
    columns |= {"server_id": beginning.server_id or 0, "sampling": storable.json(beginning.sampling)}
    return tables.Reply(**columns, attempt=attempt, state=ReplyState.WRITING.value, began_at=timezone.now())


def _first(**conditions: int) -> ReplyRow | None:
    row = tables.Reply.objects.filter(**conditions).prefetch_related("messages").first()
    return row_of(row) if row else None
