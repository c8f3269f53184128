"""The Mac's `chat.db`: a SQLite database, read from a copy so that nothing is ever written beside the original.

Words stand in `text`, or only in `attributedBody`, an archived object of which the string is all that is wanted.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from shutil import copyfileobj

from talkalike.chats.importers.attachments import kind_of_media_type, kind_of_message
from talkalike.chats.importers.protocol import Damaged, Draft, Findings
from talkalike.chats.importers.reading import NO_MESSAGES, NO_TIME, Cast, ChatFacts, ReadChat, one_part
from talkalike.chats.importers.times import checked_ms
from talkalike.chats.sources import READ_ERRORS, Entry
from talkalike.chats.values import Attachment, AttachmentKind, Message, MessageKind, Platform, Reaction, Speaker

_MAGIC = b"SQLite format 3\0"
_NAMES = ("chat.db", "sms.db")
_BESIDE = ("-wal",)
_APPLE_EPOCH_S = 978_307_200  # 2001-01-01
_NANOSECONDS_ABOVE = 1_000_000_000_000  # smaller times are in seconds: old databases
_TAPBACKS = {2000: "❤️", 2001: "👍", 2002: "👎", 2003: "😂", 2004: "‼️", 2005: "❓"}
_OWN_EMOJI = 2006
_REMOVED = 1000  # added to a reaction's number when it is taken back
_GROUP = 43  # a chat's style
_PLACEHOLDER = "\ufffc"  # stands in a text for something attached
_COLUMNS = [
    "guid",
    "text",
    "attributedBody",
    "is_from_me",
    "handle_id",
    "date",
    "associated_message_type",
    "associated_message_guid",
    "associated_message_emoji",
    "item_type",
    "thread_originator_guid",
    "date_edited",
    "date_retracted",
    "group_title",
]
_NEEDED = {"guid", "text", "is_from_me", "handle_id", "date"}

_DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # SQLite tells of a broken schema in the schema's own bytes


def is_database(entry: Entry) -> bool:
    """Whether a file is one of Apple's messages, or what SQLite keeps beside it."""
    name = entry.name.lower()
    if name.endswith(_BESIDE):
        return name.removesuffix("-wal") in _NAMES
    return name in _NAMES and entry.head(len(_MAGIC)) == _MAGIC


def read_database(entry: Entry, entries: Sequence[Entry], findings: Findings) -> Iterator[Draft]:
    """The chats of a database; of the file that SQLite keeps beside it, nothing by itself."""
    if entry.name.lower().endswith(_BESIDE):
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "chat.db")
        beside = [e for e in entries if (e.root, e.path) == (entry.root, f"{entry.path}-wal")]
        try:
            for part, name in ((entry, "chat.db"), *((e, "chat.db-wal") for e in beside)):
                with closing(part.open()) as stream, Path(folder, name).open("wb") as file:
                    copyfileobj(stream, file)
            with closing(sqlite3.connect(copy)) as database:
                yield from _chats(database, entry, findings)
        except (*READ_ERRORS, *_DATABASE_ERRORS) as error:
            reason = f"the database cannot be read ({error})"
            findings.damaged.append(Damaged(file=entry.path, reason=reason, position=0, messages_read=0))
        if not beside and Path(entry.root, f"{entry.path}-wal").exists():
            findings.notes.append(
                f"{entry.path}: the newest messages are still in {entry.name}-wal beside it. Import the whole folder "
                "to have them."
            )


def _chats(database: sqlite3.Connection, entry: Entry, findings: Findings) -> Iterator[Draft]:
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    people = _People(database)
    columns = {str(row[1]) for row in database.execute("PRAGMA table_info(message)")}
    if not columns >= _NEEDED:
        raise sqlite3.DatabaseError(f"its table of messages lacks {', '.join(sorted(_NEEDED - columns))}")
    wanted = ", ".join(f"m.{name}" if name in columns else "NULL" for name in _COLUMNS)
    query = (
        f"SELECT m.ROWID, {wanted} FROM message m JOIN chat_message_join j ON j.message_id = m.ROWID "
        "WHERE j.chat_id = ? ORDER BY m.date, m.ROWID"
    )
    listed = database.execute("SELECT ROWID, guid, chat_identifier, display_name, style FROM chat").fetchall()
    (alone,) = database.execute(
        "SELECT COUNT(*) FROM message WHERE ROWID NOT IN "
        "(SELECT message_id FROM chat_message_join WHERE message_id NOT NULL)"
    ).fetchone()
    if alone:
        findings.drop("iMessage: a message that is in no chat", alone, file=entry.path)
    told = 0
    for chat_id, guid, identifier, name, style in listed:
        members = database.execute("SELECT handle_id FROM chat_handle_join WHERE chat_id = ?", (chat_id,)).fetchall()
        facts = ChatFacts(
            platform=Platform.IMESSAGE,
            key=str(guid or identifier),
            title=str(name or ""),
            is_group=style == _GROUP,
        )
        for (handle,) in members:
            facts.met(people.of(handle))
        chat = _Chat(database, facts, people, entry.path, findings)
        yield ReadChat(facts, one_part(chat.messages(query, chat_id)), findings)
        told += chat.told
    if not told:
        findings.skipped.append((entry.path, NO_MESSAGES))


class _People:
    """Whoever has a handle: a number or an address."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._cast = Cast(Platform.IMESSAGE)
        self._handles = {row: str(key) for row, key in database.execute("SELECT ROWID, id FROM handle")}

    def of(self, handle: object) -> Speaker:
        """The person behind a row of the table of handles."""
        key = self._handles.get(handle, "")
        return self._cast.person(key, key or "(unknown)")

    def own(self) -> Speaker:
        """The person whose Mac it is."""
        return self._cast.person("Me", "Me")


class _Chat:
    """The messages of one chat, reactions put on what they are for."""

    def __init__(
        self, database: sqlite3.Connection, facts: ChatFacts, people: _People, source: str, findings: Findings
    ) -> None:
        self.told = 0
        self._database = database
        self._facts = facts
        self._people = people
        self._source = source
        self._findings = findings

    def messages(self, query: str, chat_id: int) -> Iterator[Message]:
        """In the order of their times, as far as the database can be read."""
        try:
            yield from self._read(query, chat_id)
        except _DATABASE_ERRORS as error:
            reason = f"the database cannot be read ({error})"
            self._findings.damaged.append(Damaged(file=self._source, reason=reason, position=0, messages_read=0))

    def _read(self, query: str, chat_id: int) -> Iterator[Message]:
        reactions = self._reactions(query, chat_id)
        attached = self._attachments(chat_id)
        for row_id, *values in self._database.execute(query, (chat_id,)):
            row = dict(zip(_COLUMNS, values, strict=True))
            if _number(row["associated_message_type"]) >= min(_TAPBACKS):
                continue
            when = _time(row["date"])
            if when is None:
                self._findings.drop(NO_TIME, file=self._source)
                continue
            self.told += 1
            yield self._message(row, when, reactions.get(str(row["guid"]), {}), tuple(attached.get(row_id, ())))

    def _message(
        self, row: dict[str, object], when: int, reactions: dict[str, str], attachments: tuple[Attachment, ...]
    ) -> Message:
        author = self._people.own() if row["is_from_me"] else self._people.of(row["handle_id"])
        text = row["text"] if isinstance(row["text"], str) and row["text"] else string_of(row["attributedBody"])
        text = text.strip(_PLACEHOLDER) if attachments else text
        kind = kind_of_message(text, attachments)
        if _number(row["item_type"]):
            kind, text = MessageKind.SYSTEM, str(row["group_title"] or text)
        else:
            self._facts.met(author)
        unsent = bool(_number(row["date_retracted"]))
        return Message(
            id=str(row["guid"]),
            author=author,
            sent_ms=when,
            kind=kind,
            text="" if unsent else text,
            reply_to=str(row["thread_originator_guid"] or "") or None,
            reactions=tuple(Reaction(actor=actor, emoji=emoji) for actor, emoji in reactions.items()),
            attachments=attachments,
            unsent=unsent,
            edited=bool(_number(row["date_edited"])) and bool(text),
            source=self._source,
        )

    def _reactions(self, query: str, chat_id: int) -> dict[str, dict[str, str]]:
        """By the message they are for: who reacted last with what."""
        found: dict[str, dict[str, str]] = {}
        for _, *values in self._database.execute(query, (chat_id,)):
            row = dict(zip(_COLUMNS, values, strict=True))
            number = _number(row["associated_message_type"])
            if number < min(_TAPBACKS):
                continue
            actor = (self._people.own() if row["is_from_me"] else self._people.of(row["handle_id"])).name
            target = str(row["associated_message_guid"] or "").rpartition("/")[2].rpartition(":")[2]
            on_it = found.setdefault(target, {})
            if number >= min(_TAPBACKS) + _REMOVED:
                on_it.pop(actor, None)
            elif number in _TAPBACKS or number == _OWN_EMOJI:
                on_it[actor] = _TAPBACKS.get(number) or str(row["associated_message_emoji"] or "")
        return found

    def _attachments(self, chat_id: int) -> dict[int, list[Attachment]]:
        rows = self._database.execute(
            "SELECT a.message_id, f.filename, f.mime_type, f.transfer_name FROM message_attachment_join a "
            "JOIN attachment f ON f.ROWID = a.attachment_id JOIN chat_message_join j ON j.message_id = a.message_id "
            "WHERE j.chat_id = ?",
            (chat_id,),
        )
        found: dict[int, list[Attachment]] = {}
        for message_id, path, media_type, name in rows:
            uri = str(path or name or "")
            kind = kind_of_media_type(str(media_type or ""), uri) if uri else AttachmentKind.FILE
            found.setdefault(message_id, []).append(Attachment(kind=kind, uri=uri))
        return found


def string_of(archived: object) -> str:
    """The text in an `attributedBody`: the first string of the archive, after its class's name and its length."""
    if not isinstance(archived, bytes):
        return ""
    at = archived.find(b"NSString")
    at = archived.find(b"+", at) if at >= 0 else -1
    if at < 0 or at + 2 > len(archived):
        return ""
    length, start = archived[at + 1], at + 2
    for sign, size in ((0x81, 2), (0x82, 4)):
        if archived[at + 1] == sign:
            length, start = int.from_bytes(archived[at + 2 : at + 2 + size], "little"), at + 2 + size
    return archived[start : start + length].decode("utf-8", "replace")


def _time(value: object) -> int | None:
    number = _number(value)
    ms = number // 1_000_000 if number > _NANOSECONDS_ABOVE else number * 1000
    return checked_ms(ms + _APPLE_EPOCH_S * 1000) if number else None


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 1 << 63 else 0
