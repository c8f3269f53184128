"""Sorts the records of a file that holds many chats by chat, on disk: a chat is read whole, the file may be large."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from typing import Self


class Spool:
    """Records under keys, in a nameless temporary file that is gone when this is closed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._places: dict[str, array[int]] = {}
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, record: bytes) -> None:
        """Keeps a record behind those of its key."""
        self._file.write(record)
        self._places.setdefault(key, array("Q")).extend((self._end, len(record)))
        self._end += len(record)

    def names(self) -> list[str]:
        """The keys in the order in which they were first seen."""
        return list(self._places)

    def records(self, key: str) -> Iterator[bytes]:
        """The records of a key in their order."""
        places = self._places[key]
        for at in range(0, len(places), 2):
            self._file.seek(places[at])
            yield self._file.read(places[at + 1])
