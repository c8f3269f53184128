"""Import: from the paths a person names to the archive, with a report that leaves nothing unsaid."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from talkalike.chats.archive import Archive
from talkalike.chats.importers import IMPORTERS, importers_for
from talkalike.chats.importers.codepages import known_encoding
from talkalike.chats.importers.date_order import ORDERS
from talkalike.chats.importers.protocol import Choices, Damaged, Draft, Findings, Importer
from talkalike.chats.merging import collect
from talkalike.chats.no_chats import HTML_HINT, known_reason
from talkalike.chats.platform_lines import MIXED_IN, PlatformLine, find_platform_lines, placeholder_lines
from talkalike.chats.sources import Entry, Refusal, Sources
from talkalike.chats.twins import placement, with_deleted_accounts
from talkalike.errors import UserError

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes there are to read."""

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """What was read of one conversation. Times are UTC milliseconds over all that is stored of it now."""

    id: str
    title: str
    platform: str
    people: int
    messages_by_kind: dict[str, int]  # as stored now
    new: int
    already_there: int
    updated: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFiles:
    """Files that were not read, for one reason; `files` names the first of them."""

    reason: str
    count: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """Everything an import did and did not do; `dataclasses.asdict` of it is JSON."""

    conversations: tuple[ConversationRow, ...]
    new: int
    already_there: int
    updated: int
    files_read: int
    skipped: tuple[SkippedFiles, ...]
    damaged: tuple[Damaged, ...]
    unreadable: dict[str, int]  # messages or lines dropped, by reason
    unreadable_in: dict[str, tuple[str, ...]]  # the files they are in, by reason
    replaced_characters: int  # characters no encoding can hold, stored as U+FFFD
    unmended: dict[str, int]  # characters left as the bytes of others, by file
    notes: tuple[str, ...]
    platform_lines: tuple[PlatformLine, ...]  # what looks like the platform's own words, in all that is stored


def import_paths(
    paths: Sequence[Path],
    *,
    archive: Archive,
    format: str = "auto",  # noqa: A002  # the option's name
    progress: Progress | None = None,
    choices: Choices | None = None,
    bridges: Sequence[str] = (),
) -> ImportReport:
    """Read exports (folders, files, zips; several parts of one together) into the archive.

    `choices` is what somebody said about the export (its `forced` follows from `format`), `bridges` are IRC bots that
    carry others' messages.

    Raises UserError when a path does not exist, nothing in it is a chat, or the archive cannot be written. A damaged
    file is reported and the rest is read. Running it again adds nothing.
    """
    importers = _chosen(format, choices or Choices())
    with Sources([Path(path) for path in paths]) as sources:
        claimed, refused = _assign_entries(sources, importers)
        if not any(claimed.values()):
            raise _nothing_found(paths, sources, refused)
        findings = Findings(damaged=[_as_damaged(refusal) for refusal in sources.damaged])
        meter = _Meter(progress, sum(entry.size for entries in claimed.values() for entry in entries))
        rows: dict[str, ConversationRow] = {}
        with archive.writing():
            for importer in importers:
                entries = [meter.track(entry) for entry in claimed[importer.name]]
                for draft in importer.drafts(entries, findings):
                    _store(draft, importer.name, archive, rows, findings, bridges)
        meter.finish()
    if not rows and findings.undecided:
        raise UserError(
            f"{', '.join(findings.undecided[:_MOST_NAMED])}: the dates can be read as day/month or as month/day, and "
            "nothing tells which.",
            hint="Import again with --date-order dmy (24/12/2021) or --date-order mdy (12/24/2021).",
        )
    for file, reason in findings.skipped:
        refused.append(Refusal(file=file, reason=reason))
    return ImportReport(
        conversations=tuple(rows.values()),
        new=sum(row.new for row in rows.values()),
        already_there=sum(row.already_there for row in rows.values()),
        updated=sum(row.updated for row in rows.values()),
        files_read=sum(map(len, claimed.values())),
        skipped=_by_reason(refused),
        damaged=tuple(findings.damaged),
        unreadable=dict(findings.unreadable),
        unreadable_in={reason: tuple(files[:_MOST_NAMED]) for reason, files in findings.unreadable_in.items()},
        replaced_characters=findings.replaced_characters,
        unmended=dict(findings.unmended),
        notes=tuple(findings.notes),
        platform_lines=_platform_lines(archive, rows, findings),
    )


def _platform_lines(
    archive: Archive, rows: Mapping[str, ConversationRow], findings: Findings
) -> tuple[PlatformLine, ...]:
    """What the platform said itself; nothing where only chats were read in which that cannot be mistaken."""
    if not any(row.platform in MIXED_IN for row in rows.values()):
        return ()
    attached = placeholder_lines(findings.placeholders, findings.placeholder_samples)
    return tuple(sorted((*find_platform_lines(archive).lines, *attached), key=lambda line: -line.count))


def _store(
    draft: Draft,
    origin: str,
    archive: Archive,
    rows: dict[str, ConversationRow],
    findings: Findings,
    bridges: Sequence[str],
) -> None:
    table = collect(draft.parts(), origin=origin)
    own = draft.conversation()
    if not len(table):
        return
    place = placement(draft, table, origin=origin, archive=archive)
    if place.note:
        findings.notes.append(place.note)
    conversation, table = with_deleted_accounts(
        replace(own, id=place.conversation_id), table, archive.summaries().get(place.conversation_id)
    )
    told = len(table)
    report = archive.merge(conversation, table, twin_key=draft.twin_key(), alias=place.alias, bridges=bridges)
    summary = archive.summaries()[conversation.id]
    before = rows.get(conversation.id)
    rows[conversation.id] = ConversationRow(
        id=conversation.id,
        title=summary.conversation.title,
        platform=summary.conversation.platform.value,
        people=len(summary.conversation.participants),
        messages_by_kind=dict(summary.by_kind),
        new=report.added + (before.new if before else 0),
        # A message told twice by this very import counts as already there, too.
        already_there=told - report.added + (before.already_there if before else 0),
        updated=report.updated + (before.updated if before else 0),
        first_ms=summary.first_ms,
        last_ms=summary.last_ms,
    )


def _chosen(name: str, choices: Choices) -> tuple[Importer, ...]:
    choices = replace(
        choices,
        encoding=known_encoding(choices.encoding) if choices.encoding else None,
        forced=name != "auto",
    )
    if choices.date_order not in (None, *ORDERS):
        raise UserError(
            f"There is no order of dates '{choices.date_order}'.",
            hint="The orders are: dmy (24/12/2021), mdy (12/24/2021), ymd and ydm.",
        )
    importers = importers_for(choices)
    if name == "auto":
        return importers
    chosen = tuple(importer for importer in importers if importer.name == name)
    if not chosen:
        names = ", ".join(["auto", *(importer.name for importer in importers)])
        raise UserError(f"There is no export format '{name}'.", hint=f"The formats are: {names}.")
    return chosen


def _assign_entries(sources: Sources, importers: Sequence[Importer]) -> tuple[dict[str, list[Entry]], list[Refusal]]:
    """Each entry to the first importer that recognises it; the others with the reason why not."""
    claimed: dict[str, list[Entry]] = {importer.name: [] for importer in importers}
    refused = list(sources.refused)
    for entry in sources.entries:
        reason = known_reason(entry)
        owner = None if reason else next((i for i in importers if i.recognises(entry)), None)
        if owner is not None:
            claimed[owner.name].append(entry)
        else:
            refused.append(Refusal(file=entry.path, reason=reason or "not a known chat export"))
    return claimed, refused


def _nothing_found(paths: Sequence[Path], sources: Sources, refused: Sequence[Refusal]) -> UserError:
    where = ", ".join(str(path) for path in paths)
    if sources.damaged:
        damaged = "; ".join(f"{refusal.file}: {refusal.reason}" for refusal in sources.damaged)
        return UserError(f"Nothing could be imported: {damaged}.", hint="Nothing was changed.")
    if not sources.entries and not refused:
        return UserError(f"{where} is empty.", hint="Give the folder, file or zip you downloaded.")
    if any(refusal.reason.startswith("HTML") for refusal in refused):
        return UserError(f"{where} is an export in HTML, which cannot be read.", hint=HTML_HINT)
    supported = "; ".join(importer.described for importer in IMPORTERS)
    reasons = "; ".join(f"{skipped.count} × {skipped.reason}" for skipped in _by_reason(refused))
    return UserError(f"No chat was found in {where} ({reasons}).", hint=f"What can be read: {supported}.")


def _as_damaged(refusal: Refusal) -> Damaged:
    return Damaged(file=refusal.file, reason=refusal.reason, position=0, messages_read=0)


def _by_reason(refused: Sequence[Refusal]) -> tuple[SkippedFiles, ...]:
    counts = Counter(refusal.reason for refusal in refused)
    return tuple(
        SkippedFiles(
            reason=reason,
            count=count,
            files=tuple(r.file for r in refused if r.reason == reason)[:_MOST_NAMED],
        )
        for reason, count in counts.most_common()
    )


class _Meter:
    """Counts bytes as entries are read. A file read twice counts once: the furthest point reached is what counts."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def track(self, entry: Entry) -> Entry:
        """Returns the same entry, which reports its progress as it is read."""
        if self._progress is None:
            return entry
        furthest = 0

        def advance(position: int) -> None:
            nonlocal furthest
            if position > furthest:
                self._done += position - furthest
                furthest = position
                self._report()

        def opened() -> BinaryIO:
            return io.BufferedReader(_Watched(entry.open(), advance), io.DEFAULT_BUFFER_SIZE * 8)

        return replace(entry, _open=opened)

    def finish(self) -> None:
        """Everything is read, even what damage cut short."""
        self._done = self._total
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


class _Watched(io.RawIOBase):
    """A stream that tells how far it was read."""

    def __init__(self, stream: BinaryIO, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._stream = stream
        self._advance = advance
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        self._advance(self._position)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
