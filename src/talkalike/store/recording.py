"""What becomes of replies, written down for several at once: what the model saw, what was sent, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.utils import timezone

from talkalike.chat.context import Placed, Seen
from talkalike.store import seen_texts, storable, usage
from talkalike.store.seen_texts import TextsRead
from talkalike.store.tables import tables


class ReplyState(StrEnum):
    """How a reply fares, on every face. Only WRITING can change."""

    WRITING = "writing"
    DONE = "done"
    SILENT = "silent"  # the model chose to say nothing, or only reacted
    CANCELLED = "cancelled"  # somebody stopped it
    STALE = "stale"  # new messages made it pointless
    FAILED = "failed"  # the engine or the face failed
    LOST = "lost"  # the process ended meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A Discord message of a reply: its text, and of which message of the burst it is a part (from 0)."""

    message_id: int
    text: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a reply ended. `spent_on`: the day whose budgets it counts for; None where it counts for none.

    `spent_tokens`: how many tokens count (None: all of them).
    """

    state: ReplyState
    tokens: int = 0
    seconds: float = 0.0
    first_seconds: float | None = None
    problem: str = ""
    spent_on: date | None = None
    spent_tokens: int | None = None

    @property
    def charge(self) -> int:
        """The tokens that count for budgets."""
        return self.tokens if self.spent_tokens is None else self.spent_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRecord:
    """What is new about one reply.

    `seen`: {"kept": [{id, author_id, speaker, text, tokens, why}], "left_out": [{id, tokens, why}], "budget": n}.
    `author_id` is who wrote the message; texts without one cannot be found when their author wants to be forgotten.
    Of what was left out only ids and reasons are kept, never what people wrote outside the model's view.
    `sent`: said again (an edit, or another attempt), a message is this reply's from now on.
    """

    reply_id: int
    seen: Mapping[str, Any] | None = None
    sent: tuple[Sent, ...] = ()
    reactions: tuple[str, ...] = ()
    ending: Ending | None = None


def record_of(
    seen: Seen, *, authors: Mapping[str, int] | None = None, words: Callable[[str], str] = str
) -> dict[str, Any]:
    """What the model saw, as it is kept. `words`: how a turn's text is kept.

    With `authors` (who wrote the message of that id; on Discord) only ids and reasons are kept of what was left out.
    Without them it was one person's own conversation, and their words are kept.
    """

    def kept_columns(placed: Placed) -> dict[str, Any]:
        columns = {
            "id": placed.id,
            "speaker": placed.turn.speaker,
            "text": words(placed.turn.text),
            "tokens": placed.tokens,
            "why": placed.why,
        }
        return columns if authors is None else {**columns, "author_id": authors.get(placed.id, 0)}

    def left_out_columns(placed: Placed) -> dict[str, Any]:
        return (
            kept_columns(placed) if authors is None else {"id": placed.id, "tokens": placed.tokens, "why": placed.why}
        )

    return {
        "kept": [kept_columns(placed) for placed in seen.kept],
        "left_out": [left_out_columns(placed) for placed in seen.left_out],
        "budget": seen.budget,
        "tokens": seen.tokens,
    }


@dataclass(slots=True, kw_only=True)
class _Row:
    """A reply as it was before; `changes` are the columns that become others."""

    channel_id: int
    server_id: int
    asker_id: int
    state: str
    reactions: list[str]
    changes: dict[str, Any] = field(default_factory=dict)


def record(records: Sequence[ReplyRecord]) -> list[bool]:
    """Writes them all, in one transaction.

    False for what comes too late: the reply is gone (it was forgotten meanwhile), or it had ended before (the first end
    counts, with what that one spent).
    """
    if any(one.ending is not None and one.ending.state is ReplyState.WRITING for one in records):
        raise ValueError("a reply does not end by being written")
    now = timezone.now()
    with transaction.atomic():
        rows = _lock({one.reply_id for one in records})
        there = [(one, rows[one.reply_id]) for one in records if one.reply_id in rows]
        _keep_texts(there, now)
        in_time = {id(one): _change(row, one, now) for one, row in there}
        for reply_id, row in rows.items():
            if row.changes:
                tables.Reply.objects.filter(id=reply_id).update(**row.changes)
        _spend([(one.ending, row) for one, row in there if one.ending is not None and in_time[id(one)]])
    return [in_time.get(id(one), False) for one in records]


def _lock(reply_ids: set[int]) -> dict[int, _Row]:
    """In the order of their ids: two processes that write the same ones do not wait for each other in a circle."""
    found = tables.Reply.objects.select_for_update().filter(id__in=reply_ids).order_by("id")
    columns = ("channel_id", "server_id", "asker_id", "state", "reactions")
    return {row["id"]: _Row(**{key: row[key] for key in columns}) for row in found.values("id", *columns)}


def _keep_texts(there: Sequence[tuple[ReplyRecord, _Row]], now: datetime) -> None:
    """What the replies saw, and what was sent; nothing of messages whose text was forgotten."""
    readings = [
        TextsRead(items=tuple(one.seen.get("kept", ())), channel_id=row.channel_id, server_id=row.server_id)
        for one, row in there
        if one.seen is not None
    ]
    sent = {message.message_id: (one.reply_id, message) for one, _ in there for message in one.sent}
    known = seen_texts.read_stored(set(sent).union(*(reading.message_ids for reading in readings)))
    kept = iter(seen_texts.keep(readings, known, now))
    for one, row in there:
        if one.seen is not None:
            row.changes["seen"] = {
                "kept": next(kept),
                "left_out": [
                    {"id": str(item["id"]), "tokens": item.get("tokens", 0), "why": storable.text(item.get("why", ""))}
                    for item in one.seen.get("left_out", ())
                ],
                "budget": one.seen.get("budget", 0),
            }
    forgotten = seen_texts.find_forgotten(known)
    tables.SentMessage.objects.bulk_create(
        [
            tables.SentMessage(
                message_id=message_id,
                reply_id=reply_id,
                index=message.index,
                text="" if message_id in forgotten else storable.text(message.text),
                at=now,
            )
            for message_id, (reply_id, message) in sorted(sent.items())
        ],
        update_conflicts=True,
        unique_fields=["message_id"],
        update_fields=["reply", "index", "text"],
    )


def _change(row: _Row, one: ReplyRecord, now: datetime) -> bool:
    """Notes in `row` what becomes of the reply. False as in `record`."""
    if one.reactions:
        row.reactions = [*row.reactions, *map(storable.text, one.reactions)]
        row.changes["reactions"] = row.reactions
    ending = one.ending
    if ending is None:
        return True
    if row.state != ReplyState.WRITING.value:
        return False
    row.state = ending.state.value
    row.changes |= {
        "state": row.state,
        "ended_at": now,
        "tokens": ending.tokens,
        "seconds": ending.seconds,
        "first_seconds": ending.first_seconds,
        "problem": storable.text(ending.problem),
    }
    return True


def _spend(ended: Sequence[tuple[Ending, _Row]]) -> None:
    """One addition to the budget of each person, however many replies they had."""
    spent: dict[tuple[date, int, int], tuple[int, int]] = {}
    for ending, row in ended:
        if ending.spent_on is not None:
            account = (ending.spent_on, row.server_id, row.asker_id)
            count, tokens = spent.get(account, (0, 0))
            spent[account] = (count + 1, tokens + ending.charge)
    for (day, server_id, asker_id), (count, tokens) in sorted(spent.items()):
        usage.spend(asker_id, server_id or None, replies=count, tokens=tokens, day=day)
