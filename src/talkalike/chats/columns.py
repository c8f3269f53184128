"""Messages as Arrow columns, the form they are stored and merged in: a fraction of the memory of objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Reaction, Speaker

BATCH = 16_384

_NAME = pa.dictionary(pa.int32(), pa.string())  # repeated strings: a number a row instead of the string
_REACTIONS = pa.list_(pa.struct([("actor", pa.string()), ("emoji", pa.string())]))
_ATTACHMENTS = pa.list_(pa.struct([("kind", pa.string()), ("uri", pa.string())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("author_id", _NAME),
        ("author_name", _NAME),
        ("sent_ms", pa.int64()),
        ("kind", _NAME),
        ("text", pa.large_string()),
        ("reply_to", pa.string()),
        ("reactions", _REACTIONS),
        ("attachments", _ATTACHMENTS),
        ("unsent", pa.bool_()),
        ("edited", pa.bool_()),
        ("forwarded", pa.bool_()),
        ("is_bot", pa.bool_()),
        ("source", _NAME),
        ("origin", _NAME),  # name of the format that brought it
    ]
)
"""One row per message, in the conversation's order."""


def batches(messages: Iterable[Message], *, origin: str) -> Iterator[pa.RecordBatch]:
    """The messages in the order given, `BATCH` rows at a time. Ids may still be empty."""
    rows: list[Message] = []
    for message in messages:
        rows.append(message)
        if len(rows) == BATCH:
            yield _batch(rows, origin)
            rows.clear()
    if rows:
        yield _batch(rows, origin)


def _batch(rows: list[Message], origin: str) -> pa.RecordBatch:
    columns: dict[str, list[object]] = {
        "id": [m.id for m in rows],
        "author_id": [m.author.id for m in rows],
        "author_name": [m.author.name for m in rows],
        "sent_ms": [m.sent_ms for m in rows],
        "kind": [m.kind.value for m in rows],
        "text": [m.text for m in rows],
        "reply_to": [m.reply_to for m in rows],
        "reactions": [reaction_rows(m.reactions) if m.reactions else None for m in rows],
        "attachments": [
            [{"kind": a.kind.value, "uri": a.uri} for a in m.attachments] if m.attachments else None for m in rows
        ],
        "unsent": [m.unsent for m in rows],
        "edited": [m.edited for m in rows],
        "forwarded": [m.forwarded for m in rows],
        "is_bot": [m.is_bot for m in rows],
        "source": [m.source for m in rows],
        "origin": [origin] * len(rows),
    }
    return pa.record_batch([pa.array(columns[f.name], type=f.type) for f in SCHEMA], schema=SCHEMA)


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    """A table in which one column has other values."""
    at = SCHEMA.get_field_index(name)
    return table.set_column(at, SCHEMA.field(at), pa.array(values, SCHEMA.field(at).type))


def as_written_now(table: pa.Table) -> pa.Table:
    """A stored table with every column of today: an older version knew of no edited and no forwarded messages."""
    for at, column in enumerate(SCHEMA):
        if column.name not in table.column_names:
            table = table.add_column(at, column, pa.array([False] * len(table), column.type))
    return table


def reaction_rows(reactions: Iterable[Reaction]) -> list[dict[str, str]]:
    return [{"actor": r.actor, "emoji": r.emoji} for r in reactions]


def messages_of(batch: pa.RecordBatch) -> Iterator[Message]:
    """The rows of a stored batch as values."""
    people: dict[tuple[str, str], Speaker] = {}
    names = [name for name in SCHEMA.names if name != "origin"]
    for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
        id_, author_id, name, sent_ms, kind, text, reply_to, reactions, attachments, *marks, source = row
        unsent, edited, forwarded, is_bot = marks
        author = people.get((author_id, name))
        if author is None:
            author = people[author_id, name] = Speaker(id=author_id, name=name)
        yield Message(
            id=id_,
            author=author,
            sent_ms=sent_ms,
            kind=MessageKind(kind),
            text=text,
            reply_to=reply_to,
            reactions=tuple(Reaction(**r) for r in reactions) if reactions else (),
            attachments=tuple(Attachment(kind=AttachmentKind(a["kind"]), uri=a["uri"]) for a in attachments)
            if attachments
            else (),
            unsent=unsent,
            edited=edited,
            forwarded=forwarded,
            is_bot=is_bot,
            source=source,
        )
