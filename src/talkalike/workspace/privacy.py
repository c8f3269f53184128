"""A workspace is its owner's alone: what the program makes, no other account of the computer can open.

One mask for the whole process, before anything is made, does it for every writer, ours and the libraries', and for
every child process: folders are made 0700 and files 0600.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OTHERS = 0o077


@contextmanager
def owner_only() -> Iterator[None]:
    """What is made meanwhile is for this account alone, whatever mask the program was started with."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(path: Path) -> bool:
    """Takes every right of other accounts away; False where that is not ours to do, or the drive cannot."""
    with suppress(OSError):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
    return not _is_open(path)


def close_folder(root: Path) -> None:
    """Closes the workspace's own folder, and so the way to all that is in it.

    A folder that everybody shares (as /tmp) or that is somebody else's is left as it is.
    """
    with suppress(OSError):
        about = root.stat()
        if about.st_uid == os.geteuid() and not about.st_mode & stat.S_ISVTX and about.st_mode & OTHERS:
            close_to_others(root)


def open_to_others(root: Path) -> list[Path]:
    """Files and folders of this account, from `root` down, that others have rights to. Links are not followed."""
    found = [root] if _is_open(root) else []
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        found += [path for name in (*folders, *files) if _is_open(path := here / name)]
    return found


def _is_open(path: Path) -> bool:
    try:
        about = path.lstat()
    except OSError:  # gone meanwhile
        return False
    return not stat.S_ISLNK(about.st_mode) and about.st_uid == os.geteuid() and bool(about.st_mode & OTHERS)
