"""Saved beginnings of conversations, by which a model goes on after a restart without reading everything anew.

They hold what people said, as tokens. A file is found by a hash of the conversation's name, under each model that
answered there: whoever deletes a conversation deletes them here, too. A mark stays behind for a while, so that a
process that is just about to write such a file does not bring it back. What nobody used for a week goes by itself.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST_KEPT = 7 * 86_400.0  # seconds since the last use
_MARKS = "forgotten"
_EVERYTHING = "everything"
_MARK_KEPT = 3_600.0
_GRACE = 900.0  # seconds that a prompt may have waited for its turn when its conversation was forgotten
_WRITING = 60.0  # seconds after which a file that was not finished is nobody's any more
_END = ".safetensors"


@dataclass(frozen=True, slots=True)
class SavedPrefixes:
    """The folder of all of them, and how many bytes they may have together. 0: nothing is saved."""

    root: Path
    max_bytes: int

    def folder(self, model: str, identity: str) -> Path:
        """The folder for the model of this identity. What was saved by an earlier one of the same name goes."""
        folder = self.root / model / identity
        for other in (self.root / model).glob("*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        self.trim()
        return folder

    def make(self, folder: Path) -> None:
        """Makes a folder that `folder` named. Raises OSError where the disk is full, or nothing may be written."""
        for made in (self.root, folder.parent, folder):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)

    def trim(self) -> None:
        """Deletes what was not used for long, and what is too much, that used longest ago first."""
        total = 0
        for used, size, file in sorted(_sizes(self.root), reverse=True):
            total += size
            if total > self.max_bytes or used < time.time() - LONGEST_KEPT:
                with suppress(OSError):
                    file.unlink()
        for left in self.root.glob("*/*/.*.tmp"):  # of a process that was killed while it wrote
            with suppress(OSError):
                if left.stat().st_mtime < time.time() - _WRITING:
                    left.unlink()


def prefix_file(folder: Path, conversation: str) -> Path:
    """Where a model keeps the beginning of this conversation."""
    return folder / f"{_name(conversation)}{_END}"


def forget_conversations(root: Path, conversations: Iterable[str]) -> int:
    """Deletes what is saved of these conversations; returns how many files went."""
    if not root.is_dir():
        return 0
    gone = 0
    for name in map(_name, conversations):
        _mark(root, name)
        for file in root.glob(f"*/*/{name}{_END}"):
            file.unlink(missing_ok=True)
            gone += 1
    return gone


def forget_every_conversation(root: Path) -> int:
    """Deletes all that is saved: where a person is forgotten, who may have spoken anywhere."""
    if not root.is_dir():
        return 0
    _mark(root, _EVERYTHING)
    files = list(root.glob(f"*/*/*{_END}"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def was_forgotten(root: Path, conversation: str, since: float) -> bool:
    """Whether the conversation was forgotten after this time, or shortly before it."""
    for name in (_name(conversation), _EVERYTHING):
        with suppress(OSError):
            if (root / _MARKS / name).stat().st_mtime > since - _GRACE:
                return True
    return False


def _name(conversation: str) -> str:
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _mark(root: Path, name: str) -> None:
    """Best effort: on a full disk nothing can be marked, but then nobody can bring a file back either."""
    marks = root / _MARKS
    with suppress(OSError):
        marks.mkdir(exist_ok=True, mode=0o700)
        (marks / name).touch(mode=0o600)
    for mark in marks.glob("*"):
        with suppress(OSError):
            if mark.stat().st_mtime < time.time() - _MARK_KEPT:
                mark.unlink()


def _sizes(root: Path) -> Iterator[tuple[float, int, Path]]:
    for file in root.glob(f"*/*/*{_END}"):
        with suppress(OSError):
            about = file.stat()
            yield about.st_mtime, about.st_size, file
