"""The imported chats on disk: one parquet file per conversation, and an index that only saves time.

A conversation's file carries everything about it in its footer, and is replaced whole (temporary file, fsync,
rename): an import killed at any moment leaves each conversation as it was before or as it is after. The index repeats
the footers; entries that do not match their file any more are read again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from talkalike.chats.bridges import resolve_bridges, speakers
from talkalike.chats.columns import BATCH, SCHEMA, as_written_now, messages_of
from talkalike.chats.merging import MergeReport, merge, with_ids
from talkalike.chats.values import Conversation, Message, Platform, Speaker
from talkalike.errors import UserError
from talkalike.workspace.files import replacing

_FOOTER_KEY = b"talkalike"
_INDEX = "index.json"
_LOCK = ".lock"
_ROW_GROUP = 65_536
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A stored conversation and what it holds, without reading its messages."""

    conversation: Conversation
    messages: int
    by_kind: Mapping[str, int]
    first_ms: int
    last_ms: int
    origins: tuple[str, ...]  # the formats that brought its messages
    twin_key: str = ""  # equal for threads that may be the same chat exported in two formats
    aliases: tuple[str, ...] = ()  # conversation ids of other exports that are kept under this one
    bridges: tuple[str, ...] = ()  # bots whose messages are given to those they speak for


class Archive:
    """The chats under `root` (a workspace's `chats/` folder, created on the first write).

    Reading needs no lock. Writing takes one for the whole folder: a second writer gets a `UserError`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._writing = False
        self._summaries: dict[str, Summary] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.summaries()

    def conversations(self) -> tuple[Conversation, ...]:
        """Every stored conversation, by id."""
        return tuple(summary.conversation for summary in self.summaries().values())

    def summaries(self) -> Mapping[str, Summary]:
        """Every stored conversation's summary under its id."""
        if self._summaries is None:
            self._summaries = self._load()
        return self._summaries

    def messages(self, conversation_id: str) -> Iterator[Message]:
        """The messages of one conversation, oldest first, read piece by piece."""
        for batch in self.batches(conversation_id):
            yield from messages_of(batch)

    def batches(self, conversation_id: str) -> Iterator[pa.RecordBatch]:
        """Yields the conversation's messages in batches of columns."""
        path = self._path(conversation_id)
        if not path.exists():
            raise UserError(f"There is no conversation {conversation_id} in {self.root}.", hint="Import it first.")
        with _open_file(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield from as_written_now(pa.Table.from_batches([batch])).to_batches()

    def table(self, conversation_id: str) -> pa.Table:
        """The messages of one stored conversation as a table, oldest first."""
        return _table(self._path(conversation_id))

    def merge(
        self,
        conversation: Conversation,
        table: pa.Table,
        *,
        twin_key: str = "",
        alias: str = "",
        bridges: Collection[str] = (),
    ) -> MergeReport:
        """Store what is new in a table from `merging.collect`. Either all of it is stored or nothing.

        `alias` is the id under which the export itself knows the conversation, if that is another one. What `bridges`
        said is given to those they said it for, also in what is stored already, and from then on.
        Raises UserError when the disk is full, the folder cannot be written or somebody else is writing.
        """
        with self.writing():
            known = self.summaries().get(conversation.id)
            path = self._path(conversation.id)
            incoming = with_ids(table, conversation.id)
            stored = _table(path) if known else SCHEMA.empty_table()
            bridges = sorted({*bridges, *(known.bridges if known else ())})
            incoming, carried, _ = resolve_bridges(incoming, bridges)
            stored, carried_before, changed = resolve_bridges(stored, bridges)
            merged, report = merge(stored, incoming)
            report = replace(report, updated=report.updated + changed)
            if not len(merged):
                return report
            aliases = dict.fromkeys([*(known.aliases if known else ()), *([alias] if alias else [])])
            joined = _add_people(known.conversation, conversation) if known else conversation
            summary = _summarise(
                _without_bridges(joined, [*carried_before, *carried], bridges, speakers(merged)) if bridges else joined,
                merged,
                twin_key=(known.twin_key if known else "") or twin_key,
                aliases=tuple(aliases),
                bridges=bridges,
            )
            if summary != known or report.added or report.updated:
                self._write(path, merged, summary)
            self._summaries = {**self.summaries(), conversation.id: summary}
            return report

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's write lock; nested use is free. The index is brought up to date at the end."""
        if self._writing:
            yield
            return
        with _plain_words(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK).open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another import is writing to {self.root} right now.",
                    hint="Wait until it has finished, then import again.",
                ) from error
            self._writing = True
            self._summaries = None  # somebody else may have written since
            try:
                for leftover in self.root.glob("*.tmp"):
                    leftover.unlink()
                yield
                self._write_index()
            finally:
                self._writing = False

    def _path(self, conversation_id: str) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", conversation_id)[:60].strip("-.")
        return self.root / f"{slug}-{hashlib.blake2b(conversation_id.encode(), digest_size=5).hexdigest()}.parquet"

    def _load(self) -> dict[str, Summary]:
        index: object = None
        with suppress(OSError, ValueError):
            index = json.loads((self.root / _INDEX).read_text(encoding="utf-8"))
        known = index if isinstance(index, dict) else {}
        summaries = []
        for path in sorted(self.root.glob("*.parquet")):
            entry = known.get(path.name)
            if isinstance(entry, dict) and entry.get("stamp") == _stamp(path):
                footer = entry["summary"]
            else:
                with _open_file(path) as file:
                    footer = json.loads((file.schema_arrow.metadata or {}).get(_FOOTER_KEY, b"null"))
            if footer is not None:
                summaries.append(_summary_of(footer))
        return {s.conversation.id: s for s in sorted(summaries, key=lambda s: s.conversation.id)}

    def _write(self, path: Path, table: pa.Table, summary: Summary) -> None:
        footer = json.dumps(asdict(summary), ensure_ascii=False).encode()

        def fill(stream: Any) -> None:
            schema = SCHEMA.with_metadata({_FOOTER_KEY: footer})
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=_ROW_GROUP)

        _replace(path, fill)

    def _write_index(self) -> None:
        entries = {}
        for id_, summary in self.summaries().items():
            path = self._path(id_)
            entries[path.name] = {"stamp": _stamp(path), "summary": asdict(summary)}
        text = json.dumps(entries, ensure_ascii=False).encode()
        _replace(self.root / _INDEX, lambda stream: stream.write(text))


def _replace(path: Path, fill: Any) -> None:
    """Write a whole file so that a reader, or a crash, sees the old one or the new one."""
    with _plain_words(path.parent), replacing(path) as temporary, temporary.open("wb") as stream:
        fill(stream)


@contextmanager
def _plain_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"The disk is full: {folder} could not be written. Earlier imports are unharmed.",
                hint="Free some space and import again; nothing is imported twice.",
            ) from error
        if error.errno in _DENIED:
            raise UserError(
                f"{folder} cannot be written ({os.strerror(error.errno)}).",
                hint="Make the workspace writable, or choose another one.",
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise UserError(f"{folder} is not a folder.", hint="Move that file away, or choose another one.") from error
        raise


@contextmanager
def _open_file(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's own, not what Arrow says of the bytes
            raise
        raise UserError(
            f"The archive's file {path} is damaged ({error}).",
            hint="Move it away and import that chat's export again.",
        ) from error


def _table(path: Path) -> pa.Table:
    with _open_file(path) as file:
        return as_written_now(file.read().replace_schema_metadata(None)).unify_dictionaries()


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _summarise(
    conversation: Conversation, table: pa.Table, *, twin_key: str, aliases: tuple[str, ...], bridges: Sequence[str]
) -> Summary:
    kinds = {str(c["values"]): int(c["counts"]) for c in pc.value_counts(table["kind"]).to_pylist()}
    return Summary(
        conversation=conversation,
        messages=len(table),
        by_kind=dict(sorted(kinds.items())),
        first_ms=table["sent_ms"][0].as_py(),
        last_ms=table["sent_ms"][-1].as_py(),
        origins=tuple(sorted(pc.unique(table["origin"]).to_pylist())),
        twin_key=twin_key,
        aliases=aliases,
        bridges=tuple(bridges),
    )


def _add_people(stored: Conversation, new: Conversation) -> Conversation:
    """The stored conversation with the new one's people added."""
    people = {person.id: person for person in (*stored.participants, *new.participants)}
    return replace(stored, participants=tuple(people.values()), is_group=stored.is_group or new.is_group)


def _without_bridges(
    conversation: Conversation, carried: Iterable[Speaker], bridges: Collection[str], speaking: Collection[str]
) -> Conversation:
    """The conversation with those whom bridges spoke for, and without bridges that said nothing of their own."""
    names = {name.casefold() for name in bridges}
    people = {person.id: person for person in (*conversation.participants, *carried)}
    stay = tuple(p for p in people.values() if p.name.casefold() not in names or p.id in speaking)
    return replace(conversation, participants=stay, is_group=conversation.is_group or len(stay) > 2)


def _summary_of(stored: dict[str, Any]) -> Summary:
    raw = stored["conversation"]
    people = tuple(Speaker(**person) for person in raw["participants"])
    conversation = Conversation(**{**raw, "platform": Platform(raw["platform"]), "participants": people})
    lists = {name: tuple(stored.get(name, ())) for name in ("origins", "aliases", "bridges")}
    return Summary(**{**stored, **lists, "conversation": conversation})
