"""One way to write what must survive, and to read small JSON files that may be missing or damaged."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LARGEST = 4 << 20  # bytes of a file that is read as a whole


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to be filled, which takes its place when the block ends without an error.

    Whoever reads sees the old file or the whole new one, also after a crash of the computer: the file and its folder
    are synced. Readable by its owner only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to be filled, which takes its place when the block ends without an error.

    An older folder is moved aside first, so that a crash in between leaves one of the two whole.
    """
    mark = f"{os.getpid()}.{secrets.token_hex(4)}"
    scratch, old = (folder.with_name(f".{folder.name}.{mark}.{end}") for end in ("tmp", "old"))
    scratch.mkdir(parents=True, mode=0o700)
    try:
        yield scratch
        for file in scratch.rglob("*"):
            sync(file)
        if folder.exists():
            folder.rename(old)
        scratch.rename(folder)
    finally:
        for left in (scratch, old) if folder.exists() else (scratch,):
            shutil.rmtree(left, ignore_errors=True)
    sync(folder.parent)


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file by this text, in one step that survives a crash."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replaces the file by these values, in one step that survives a crash."""
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def plain(value: object) -> Any:
    """Any of our values as what JSON has; numbers that are none become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def sync(path: Path) -> None:
    """Waits until the file, or the folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file; None where there is none, or nothing that can be read."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text_of(values: Mapping[str, Any], key: str) -> str:
    """A text; "" where there is none."""
    found = values.get(key)
    return found if isinstance(found, str) else ""


def mapping_of(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; an empty one where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def time_of(values: Mapping[str, Any], key: str) -> datetime.datetime | None:
    """A time as ISO 8601 writes it, in UTC where it names no zone; None where there is none."""
    try:
        found = datetime.datetime.fromisoformat(text_of(values, key))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def now() -> str:
    """The time, as files have it: ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def texts_of(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts; other things in it are left out."""
    found = values.get(key)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def number_of(values: Mapping[str, Any], key: str) -> float | None:
    """A finite number; None where there is none."""
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not -1e300 < found < 1e300:
        return None
    return float(found)
