"""Reads back what an import made of exports, in short: for the tests of all formats but Messenger's and IRC's."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from exports import imported, stored
from talkalike.chats.archive import Archive
from talkalike.chats.importers.protocol import Choices
from talkalike.chats.importing import ImportReport
from talkalike.chats.values import Message


def write_files(root: Path, files: Mapping[str, object]) -> Path:
    """Texts, bytes or what becomes JSON, by their paths below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(content))
    return root


def zip_files(path: Path, files: Mapping[str, object]) -> Path:
    """The same in a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, as_bytes(content))
    return path


def as_bytes(content: object) -> bytes:
    """A file's content."""
    if isinstance(content, bytes):
        return content
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
    return text.encode()


def import_files(
    archive: Archive,
    files: Mapping[str, object],
    *,
    as_format: str = "auto",
    **choices: str,
) -> ImportReport:
    """Imports files that are written beside the archive, each time into a folder of its own."""
    number = len(list(archive.root.parent.glob("export*")))
    root = write_files(archive.root.parent / f"export{number}", files)
    return imported(root, archive=archive, format=as_format, choices=Choices(**choices))


def told(archive: Archive, conversation: str | None = None) -> list[str]:
    """`2020-03-02 10:00:00 text bob: hello` for each message of the only conversation, or of the one named."""
    return [
        f"{datetime.fromtimestamp(m.sent_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} {m.kind.value} {m.author.name}: {m.text}"
        for m in messages(archive, conversation)
    ]


def messages(archive: Archive, conversation: str | None = None) -> list[Message]:
    """Those of the only conversation, or of the one named."""
    found = stored(archive)
    (only,) = [found[conversation]] if conversation else found.values()
    return only


def said_in(archive: Archive, conversation: str | None = None) -> list[tuple[str, str]]:
    """Who said what, in order, without what the platform wrote."""
    return [(m.author.name, m.text) for m in messages(archive, conversation) if m.kind.value in ("text", "action")]


def noted(message: Message) -> dict[str, object]:
    """What is remarkable about a message beside its words."""
    marks = {name: True for name in ("unsent", "edited", "forwarded", "is_bot") if getattr(message, name)}
    reactions = [(r.actor, r.emoji) for r in message.reactions]
    attached = [(a.kind.value, a.uri) for a in message.attachments]
    told = {"reply_to": message.reply_to, "reactions": reactions, "attached": attached}
    return {**{key: value for key, value in told.items() if value}, **marks}
