"""Where an export's bytes come from: a folder, a single file or a zip, all seen as a list of entries.

A folder may hold zips, as a folder of downloads does; they are read as if they had been named themselves. Nothing is
ever extracted: an entry is a name, a size and a way to open a stream. Names that climb out of the export, links that
point outside it and encrypted zip entries are refused and reported, not followed.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from talkalike.errors import UserError

READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What reading an entry may raise when its bytes are damaged or the disk fails."""

HEAD_BYTES = 64 * 1024
_ZIP_ENCRYPTED = 0x1
_BOMB_BYTES = 64 * 1024 * 1024  # smaller entries may be packed as well as they like
_BOMB_RATIO = 200  # no chat packs better: text to a tenth, the same line a million times to a hundredth
_MOST_UNPACKED = 64 * 1024**3  # of one zip
_OF_A_CHAT = frozenset({"messages", "files", "media"})
"""Folders of an export; a zip inside one was sent by somebody and is no part of an export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an export. `path` is its posix path inside the export; `container` names the folder or zip.

    `root` is where that folder or zip lies: two containers may have one name.
    """

    path: str
    size: int
    container: str
    root: str = ""
    modified: date | None = None  # the day it was last changed, by the computer's or the zip's account
    _open: Callable[[], BinaryIO] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Name of the folder it lies in; the container's name at the top of the export."""
        return PurePosixPath(self.path).parent.name or self.container

    def open(self) -> BinaryIO:
        """A fresh stream over its bytes, from the beginning. May raise any of `READ_ERRORS`."""
        return self._open()

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Its first `size` bytes; empty when they cannot be read (reading it properly reports why)."""
        try:
            with self.open() as stream:
                return stream.read(size)
        except READ_ERRORS:
            return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A file that is not read, and why."""

    file: str
    reason: str


class Sources:
    """The entries of several folders, files and zips. A context manager: zips stay open until it ends.

    Parts of one export given together simply add their entries. A path that does not exist is a `UserError`; a zip
    that cannot be opened is listed in `damaged` so that the other paths are still read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.entries: list[Entry] = []
        self.refused: list[Refusal] = []
        self.damaged: list[Refusal] = []
        self._stack = ExitStack()
        self._zips: set[Path] = set()  # those read already: a folder may be named beside a zip in it
        for path in dict.fromkeys(Path(p) for p in paths):
            try:
                self._add(path)
            except PermissionError as error:
                self._stack.close()
                raise UserError(
                    f"{path} cannot be read: permission denied.", hint="Allow reading it and import again."
                ) from error
            except BaseException:
                self._stack.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _add(self, path: Path) -> None:
        if path.is_dir():
            self.entries.extend(self._folder(path))
        elif not path.exists():
            raise UserError(f"There is no file or folder {path}.", hint="Check the path; quote it if it has spaces.")
        elif path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            self.entries.extend(self._zip(path))
        elif path.is_file():
            # The parent's name matters (a Messenger thread is named by its folder), so it becomes the container.
            container = _label(path.resolve().parent.name) or "export"
            self.entries.append(_file_entry(path, name=path.name, container=container, root=path.resolve().parent))
        else:
            raise UserError(f"{path} is neither a file nor a folder.", hint="Give the export's folder, file or zip.")

    def _folder(self, root: Path) -> Iterator[Entry]:
        top = root.resolve()
        for folder, subfolders, names in os.walk(top, onerror=_raise):
            subfolders.sort()
            for name in sorted(subfolders):
                if (Path(folder) / name).is_symlink():
                    self._refuse_link(Path(folder, name), top)
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_symlink() and not path.resolve().is_relative_to(top):
                    self._refuse_link(path, top)
                elif path.suffix.lower() == ".zip" and _OF_A_CHAT.isdisjoint(path.relative_to(top).parts[:-1]):
                    yield from self._zip(path)
                elif path.is_file():
                    yield _file_entry(
                        path, name=path.relative_to(top).as_posix(), container=_label(top.name) or "export", root=top
                    )
                elif path.exists():
                    name = _label(path.relative_to(top).as_posix())
                    self.refused.append(Refusal(file=name, reason="a device file, not read"))

    def _refuse_link(self, path: Path, top: Path) -> None:
        self.refused.append(Refusal(file=_label(path.relative_to(top).as_posix()), reason="a link, not followed"))

    def _zip(self, path: Path) -> Iterator[Entry]:
        if path.resolve() in self._zips:
            return
        self._zips.add(path.resolve())
        if not zipfile.is_zipfile(path):
            reason = "not a complete zip (its table of contents is missing): download it again"
            self.damaged.append(Refusal(file=str(path), reason=reason))
            return
        try:
            archive = self._stack.enter_context(zipfile.ZipFile(path))
        except (*READ_ERRORS, ValueError, struct.error) as error:
            reason = f"the zip cannot be opened ({error}): download it again"
            self.damaged.append(Refusal(file=str(path), reason=reason))
            return
        unpacked = 0
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = info.filename.replace("\\", "/")
            reason = _refused(info, name)
            unpacked += 0 if reason else info.file_size
            if unpacked > _MOST_UNPACKED:
                reason = f"the zip unpacks to more than {_MOST_UNPACKED // 1024**3} GB: unpack what you need of it"
            if reason:
                self.refused.append(Refusal(file=_storable_name(info.filename), reason=reason))
            else:
                yield _zip_entry(archive, info, name=name, container=_label(path.stem), root=path.resolve())


def _refused(info: zipfile.ZipInfo, name: str) -> str:
    """Why an entry of a zip is not read; "" where it is."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
        return "its path leads out of the zip"
    if info.flag_bits & _ZIP_ENCRYPTED:
        return "encrypted with a password: unpack it, then import the folder"
    if kind == stat.S_IFLNK:
        return "a link, not followed"
    if kind not in (0, stat.S_IFREG):
        return "a device file, not read"
    if info.file_size > max(_BOMB_BYTES, _BOMB_RATIO * max(1, info.compress_size)):
        packed, whole = max(1, info.compress_size // 1024), info.file_size // 1024**2
        return f"a zip bomb, not read: {packed:,} KB that would unpack to {whole:,} MB"
    return ""


def _storable_name(name: str) -> str:
    """A zip may name its files in bytes that are no Unicode."""
    return name.encode("utf-8", "replace").decode()


def _raise(error: OSError) -> None:
    raise error


def _label(name: str) -> str:
    """A name on disk need not be valid Unicode; as a label it has to be storable."""
    return os.fsencode(name).decode("utf-8", errors="replace")


def _file_entry(path: Path, *, name: str, container: str, root: Path) -> Entry:
    facts = path.stat()
    return Entry(
        path=_label(name),
        size=facts.st_size,
        container=container,
        root=_label(str(root)),
        modified=date.fromtimestamp(facts.st_mtime),
        _open=lambda: path.open("rb"),
    )


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, name: str, container: str, root: Path) -> Entry:
    def opened() -> BinaryIO:
        return archive.open(info)  # type: ignore[return-value]  # ZipExtFile reads like a BinaryIO

    try:
        modified = date(*info.date_time[:3])
    except ValueError:  # a zip can name a day that does not exist
        modified = None
    return Entry(
        path=name,
        size=info.file_size,
        container=container,
        root=_label(str(root)),
        modified=modified,
        _open=opened,
    )
