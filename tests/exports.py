"""Writes small chat exports as the platforms do, for the import tests."""

from __future__ import annotations

import json
from pathlib import Path

from talkalike.chats.archive import Archive
from talkalike.chats.importing import ImportReport, import_paths
from talkalike.chats.values import Message

NOON = 1_700_000_000_000


def doubled(value):
    """The value with each string's UTF-8 bytes written as characters, as Facebook writes them."""
    if isinstance(value, str):
        return value.encode("utf-8").decode("latin-1")
    if isinstance(value, list):
        return [doubled(item) for item in value]
    if isinstance(value, dict):
        return {key: doubled(item) for key, item in value.items()}
    return value


def said(sender, text, at=0, **fields):
    """A classic message `at` milliseconds past noon; no text for None."""
    content = {} if text is None else {"content": text}
    return {"sender_name": sender, "timestamp_ms": NOON + at, **content, **fields}


def thread(messages, *, people=("Anna Nová", "Ben Říha"), title="Ben Říha", slug="benriha_1", **fields):
    """A classic thread file's content; `messages` oldest first."""
    return {
        "participants": [{"name": name} for name in people],
        "messages": list(messages)[::-1],
        "title": title,
        "is_still_participant": True,
        "thread_path": f"inbox/{slug}",
        **fields,
    }


def write_thread(root: Path, content, *, number=1, section="inbox", top="your_facebook_activity", bom=False) -> Path:
    """A classic thread's file below `root`, double-encoded."""
    slug = content["thread_path"].rpartition("/")[2]
    path = root / top / "messages" / section / slug / f"message_{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(doubled(content), indent=2), encoding="utf-8-sig" if bom else "utf-8")
    return path


def encrypted(messages, *, people=("Anna Nová", "Ben Říha"), title="Ben Říha"):
    """An end-to-end encrypted thread's content from `(sender, text, ms past noon)` or whole messages."""
    made = [
        m
        if isinstance(m, dict)
        else {"senderName": m[0], "text": m[1], "timestamp": NOON + m[2], "isUnsent": False, "type": "text"}
        for m in messages
    ]
    return {"participants": list(people), "threadName": title, "messages": made}


def write_encrypted(root: Path, content, name="Ben Riha_1") -> Path:
    """An end-to-end encrypted thread's file."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def imported(*paths: Path, archive: Archive, **options) -> ImportReport:
    """Import and hand back the report."""
    return import_paths(paths, archive=archive, **options)


def stored(archive: Archive) -> dict[str, list[Message]]:
    """Everything in the archive, as somebody opening it anew sees it."""
    fresh = Archive(archive.root)
    return {c.id: list(fresh.messages(c.id)) for c in fresh.conversations()}


def texts(archive: Archive, conversation_id: str) -> list[str]:
    """The texts of one conversation in order."""
    return [message.text for message in Archive(archive.root).messages(conversation_id)]
