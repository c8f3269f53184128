"""Writes small IRC logs, and reads back what an import made of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from exports import imported, stored
from talkalike.chats.archive import Archive
from talkalike.chats.importing import ImportReport


def write_logs(root: Path, logs: Mapping[str, str | bytes]) -> Path:
    """The logs by their paths below `root`."""
    for name, lines in logs.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    return root


def import_logs(archive: Archive, logs: Mapping[str, str | bytes], **options) -> ImportReport:
    """Import logs that are written beside the archive."""
    return imported(write_logs(archive.root.parent / "export", logs), archive=archive, **options)


def told(archive: Archive, conversation: str | None = None) -> list[str]:
    """`2020-03-02 10:00:00 text bob: hello` for each message of the only conversation, or of the one named."""
    found = stored(archive)
    (messages,) = [found[conversation]] if conversation else found.values()
    return [
        f"{datetime.fromtimestamp(m.sent_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} {m.kind.value} {m.author.name}: {m.text}"
        for m in messages
    ]


def spoken(archive: Archive, conversation: str | None = None) -> list[str]:
    """The same without what the clients wrote."""
    return [line for line in told(archive, conversation) if line.split()[2] != "system"]
