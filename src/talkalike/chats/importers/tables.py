"""Any other chat as a table: CSV with a header, or JSONL. Columns are known by their names, in any order.

Needed are who wrote, what and when; a column for the chat keeps chats apart. DiscordChatExporter's CSV is such a table.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from talkalike.chats.importers.attachments import is_link, kind_of_file, kind_of_message
from talkalike.chats.importers.date_order import DateOrder
from talkalike.chats.importers.protocol import Choices, Damaged, Draft, Findings
from talkalike.chats.importers.reading import (
    NO_AUTHOR,
    NO_MESSAGES,
    NO_TIME,
    Cast,
    ChatFacts,
    ReadChat,
    identifier,
    one_part,
    parse_object,
    read_json_lines,
)
from talkalike.chats.importers.spool import Spool
from talkalike.chats.importers.table_times import numbers_of, table_ms
from talkalike.chats.importers.text_lines import decide_encoding, first_text_lines, text_lines
from talkalike.chats.importers.whatsapp import UNDECIDED
from talkalike.chats.sources import Entry
from talkalike.chats.values import Attachment, Message, MessageKind, Platform

_NAMES = {
    "author": ("author", "sender", "from", "user", "username", "name", "speaker", "nick", "author_name", "sender_name"),
    "text": ("text", "message", "content", "contents", "body", "msg"),
    "time": ("time", "timestamp", "date", "datetime", "sent", "sent_at", "created_at", "ts", "timestamp_ms", "sent_ms"),
    "chat": ("chat", "conversation", "conversation_id", "channel", "thread", "room", "group", "chat_id", "channel_id"),
    "author_id": ("author_id", "authorid", "sender_id", "user_id", "from_id"),
    "id": ("id", "message_id", "messageid"),
    "reply_to": ("reply_to", "reply_to_id", "in_reply_to", "reply_to_message_id"),
    "attachments": ("attachments", "attachment", "media", "file"),
    "kind": ("kind", "type"),
}
_NEEDED = ("author", "text", "time")
_KNOWN = {name: column for column, names in _NAMES.items() for name in names}
_KINDS = {kind.value: kind for kind in MessageKind}
_SEPARATORS = ",;\t|"
_LONGEST_FIELD = 4 * 1024 * 1024
_EVERYTHING = ""

_Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """CSV and JSONL files with named columns."""

    choices: Choices = field(default_factory=Choices)
    name: str = "table"
    described: str = "CSV or JSONL with columns such as author, text, time and chat"

    def recognises(self, entry: Entry) -> bool:
        """By the names in the first line."""
        lines = first_text_lines(entry, 1)
        name = entry.name.lower()
        if not lines:
            return False
        if name.endswith((".jsonl", ".ndjson")):
            first = parse_object(lines[0].encode("utf-8", "replace"))
            return first is not None and _is_table(list(first))
        return name.endswith((".csv", ".tsv")) and _is_table(_header(lines[0]))

    def drafts(self, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
        """One chat for each file, or for each value of its column that names chats."""
        for entry in sorted(entries, key=lambda entry: (entry.path, entry.root)):
            encoding = decide_encoding(entry, self.choices.encoding, findings)
            with Spool() as spool:
                order = self._sort(entry, encoding, spool, findings)
                if order is None:
                    findings.skipped.append((entry.path, UNDECIDED))
                    findings.undecided.append(entry.path)
                    continue
                stem = PurePosixPath(entry.name).stem
                for chat in spool.names():
                    title = chat if chat != _EVERYTHING else stem
                    facts = ChatFacts(platform=Platform.TABLE, key=title, title=title)
                    rows = (json.loads(record) for record in spool.records(chat))
                    yield ReadChat(facts, one_part(_messages(rows, facts, order, entry.path, findings)), findings)

    def _sort(self, entry: Entry, encoding: str, spool: Spool, findings: Findings) -> str | None:
        """Puts each row to its chat; gives back the order of the dates' numbers, None where nothing tells it."""
        order = DateOrder()
        rows = 0
        for row in _rows(entry, encoding, findings):
            rows += 1
            spool.add(row.get("chat", _EVERYTHING), json.dumps(row).encode())
            if numbers := numbers_of(row.get("time", "")):
                order.dotted = "." in row["time"].split()[0]
                order.see(numbers)
        if not rows:
            findings.skipped.append((entry.path, NO_MESSAGES))
        return self.choices.date_order or order.decide()


def _is_table(names: Sequence[str]) -> bool:
    columns = _columns(names)
    return all(column in columns.values() for column in _NEEDED)


def _columns(names: Sequence[str]) -> dict[str, str]:
    """The names that are known, and which column each is: of two names for one column the better known counts."""
    found: dict[str, str] = {}
    for column, known in _NAMES.items():
        folded = {name.strip().casefold().replace(" ", "_"): name for name in reversed(names)}
        best = next((folded[name] for name in known if name in folded), None)
        if best is not None:
            found[best] = column
    return found


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _header(line: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=_separator(line)), [])
    except csv.Error:
        return []


def _rows(entry: Entry, encoding: str, findings: Findings) -> Iterator[dict[str, str]]:
    """The rows under our columns' names. A row without anything in it is none."""
    if entry.name.lower().endswith((".jsonl", ".ndjson")):
        for _, found in read_json_lines(entry, findings):
            columns = _columns(list(found))
            yield {columns[name]: _plain(value) for name, value in found.items() if name in columns}
        return
    csv.field_size_limit(_LONGEST_FIELD)
    # Lines keep their ends: a text of several lines stands in quotes.
    lines = (f"{line}\n".replace("\0", "") for line in text_lines(entry, encoding, findings))
    first = next(lines, "")
    columns = _columns(_header(first.removesuffix("\n")))
    names = _header(first.removesuffix("\n"))
    try:
        for values in csv.reader(lines, delimiter=_separator(first)):
            if any(values):
                row = dict(zip(names, values, strict=False))
                yield {column: row[name] for name, column in columns.items() if name in row}
    except csv.Error as error:
        findings.damaged.append(Damaged(file=entry.path, reason=str(error), position=0, messages_read=0))


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(item for item in value if isinstance(item, str))
    return identifier(value)


def _messages(rows: Iterator[_Row], facts: ChatFacts, order: str, source: str, findings: Findings) -> Iterator[Message]:
    cast = Cast(Platform.TABLE)
    for row in rows:
        when, name = table_ms(row.get("time", ""), order), row.get("author", "").strip()
        if when is None or not name:
            findings.drop(NO_TIME if when is None else NO_AUTHOR, file=source)
            continue
        uris = row.get("attachments", "")
        parts = uris.split("\n") if "\n" in uris else uris.split(",") if is_link(uris) else [uris]
        attachments = tuple(Attachment(kind=kind_of_file(uri), uri=uri.strip()) for uri in parts if uri.strip())
        text = row.get("text", "")
        kind = _KINDS.get(row.get("kind", "").casefold(), MessageKind.TEXT)
        yield Message(
            id=row.get("id", ""),
            author=facts.met(cast.person(row.get("author_id", "").strip() or name, name)),
            sent_ms=when,
            kind=kind if kind is not MessageKind.TEXT else kind_of_message(text, attachments),
            text=text,
            reply_to=row.get("reply_to", "") or None,
            attachments=attachments,
            source=source,
        )
