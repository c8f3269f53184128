"""Reads `{"header": ..., "messages": [ ... ]}` one message at a time, in memory that does not grow with the file.

A file may also be the list itself, or hold many such objects (`JsonThread.threads`). Python's own decoder works on a
window of text that is refilled as it is used up. Whatever lies before a damage is handed out first; the damage is then
described in `damage`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO

from talkalike.chats.sources import READ_ERRORS

WINDOW = 256 * 1024
LONGEST_ITEM = 32 * 1024 * 1024
"""A single message longer than this (in characters) counts as damage: no chat writes one, a broken quote does."""

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BLANKS = re.compile(r"[ \t\r\n]*")
_SEPARATORS = re.compile(r"[ \t\r\n,]*")
_decode = json.JSONDecoder().raw_decode


class _DamageError(Exception):
    """Internal: the JSON cannot be read on from here."""


@dataclass(frozen=True, slots=True)
class JsonPart:
    """One of a file's threads. `header` is complete once `items` is exhausted; "" names the list it stood in."""

    header: dict[str, object]
    items: Iterator[object]

    def finish(self) -> None:
        """Reads what nobody asked for, so that the next thread can be found."""
        for _ in self.items:
            pass


class JsonThread:
    """One pass over a thread's file.

    `items()` yields the elements of the array `array` in file order; every other top-level field lands in `header`,
    which is complete once `items()` is exhausted (exports write the title after the messages). With no `array` the file
    itself is the list. Afterwards `damage` is a sentence or None, `position` the character it was met at, `count` the
    elements handed out.
    Undecodable bytes appear as lone surrogates, for the caller to replace and count.
    """

    def __init__(self, stream: BinaryIO, *, array: str = "messages", window: int = WINDOW) -> None:
        self.header: dict[str, object] = {}
        self.damage: str | None = None
        self.count = 0
        self._stream = stream
        self._array = array
        self._window = window
        self._decoder: codecs.IncrementalDecoder | None = None  # chosen by the first bytes
        self._text = ""
        self._at = 0
        self._before = 0  # characters already let go
        self._ended = False

    @property
    def position(self) -> int:
        """How many characters were read so far."""
        return self._before + self._at

    def items(self) -> Iterator[object]:
        """The array's elements. Never raises for bad content: see `damage`."""
        try:
            yield from self._walk()
        except _DamageError as error:
            self.damage = str(error)
        except READ_ERRORS as error:
            self.damage = f"its bytes cannot be read ({error})"

    def threads(self, lists: Collection[str]) -> Iterator[JsonPart]:
        """The file's threads: itself, or those in the lists at paths such as "chats.list".

        Each is to be read to its end before the next is taken; never raises, as `items`.
        """
        try:
            yield from self._threads(lists)
        except _DamageError as error:
            self.damage = str(error)
        except READ_ERRORS as error:
            self.damage = f"its bytes cannot be read ({error})"

    def _threads(self, lists: Collection[str]) -> Iterator[JsonPart]:
        self._begin()
        for key in self._keys():
            opening = self._peek()
            if key == self._array and opening == "[":
                part = JsonPart(self.header, self._part_items(self._elements()))
                yield part
                part.finish()
            elif opening == "{" and any(path.startswith(f"{key}.") for path in lists):
                self._at += 1
                for inner in self._keys():
                    if f"{key}.{inner}" in lists and self._peek() == "[":
                        yield from self._listed(inner)
                    else:
                        self._value()
            else:
                self.header[key] = self._value()

    def _listed(self, name: str) -> Iterator[JsonPart]:
        self._at += 1
        while (char := self._peek()) != "]":
            if char == ",":
                self._at += 1
            elif char == "{":
                self._at += 1
                header: dict[str, object] = {"": name}
                items = self._part_items(self._members(header))
                first = list(islice(items, 1))  # what stands before the messages is known from the beginning
                part = JsonPart(header, chain(first, items))
                yield part
                part.finish()
            else:
                self._value()
        self._at += 1

    def _part_items(self, items: Iterator[object]) -> Iterator[object]:
        """The elements up to a damage, which then ends the whole file."""
        try:
            yield from items
        except _DamageError as error:
            self.damage = str(error)
        except READ_ERRORS as error:
            self.damage = f"its bytes cannot be read ({error})"

    def _walk(self) -> Iterator[object]:
        if not self._array and self._peek() == "[":
            yield from self._elements()
            return
        self._begin()
        yield from self._members(self.header)

    def _begin(self) -> None:
        if self._peek() != "{":
            raise _DamageError("the file is empty" if self._ended and not self._text else "it is not a JSON object")
        self._at += 1

    def _members(self, header: dict[str, object]) -> Iterator[object]:
        for key in self._keys():
            if key == self._array and self._peek() == "[":
                yield from self._elements()
            else:
                header[key] = self._value()

    def _keys(self) -> Iterator[str]:
        """An object's keys; its value is to be read before the next is taken."""
        while (char := self._peek()) != "}":
            if self.damage is not None:
                return
            if char == ",":
                self._at += 1
                continue
            key = self._value()
            if not isinstance(key, str) or self._peek() != ":":
                raise _DamageError(self._told())
            self._at += 1
            yield key
        self._at += 1

    def _elements(self) -> Iterator[object]:
        self._at += 1
        while True:
            # The fast path: one regex and one decode per message, no method calls.
            text = self._text
            at = _SEPARATORS.match(text, self._at).end()  # type: ignore[union-attr]  # the pattern matches ""
            if text[at : at + 1] == "{":
                try:
                    item, self._at = _decode(text, at)
                except (ValueError, RecursionError):
                    self._at = at
                    item = self._value()
                self.count += 1
                yield item
                continue
            self._at = at
            if at >= len(text) and self._refill():
                continue
            if self._peek() == "]":
                self._at += 1
                return
            item = self._value()
            self.count += 1
            yield item

    def _peek(self) -> str:
        """The next character that is not blank, not consumed; "" at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches ""
            if self._at < len(self._text) or not self._refill():
                return self._text[self._at : self._at + 1]

    def _value(self) -> object:
        self._peek()
        step = self._window
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError as error:
                raise _DamageError("it is nested too deeply to be a chat") from error
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > LONGEST_ITEM or not self._refill(step):
                    raise _DamageError(self._told()) from error
                step *= 2
                continue
            except ValueError as error:  # a number of thousands of digits
                raise _DamageError("its JSON is broken") from error
            # A number cut by the window's edge reads as a shorter number: look further before trusting it.
            if end == len(self._text) and self._refill(step):
                continue
            self._at = end
            return value

    def _refill(self, size: int | None = None) -> bool:
        """Let go of what is used up and read on. False at the end of the file."""
        if self._ended:
            return False
        data = self._stream.read(size or self._window)
        self._ended = not data
        if self._decoder is None:
            encoding = "utf-16" if data[:2] in _WIDE_MARKS else "utf-8-sig"
            errors = "replace" if encoding == "utf-16" else "surrogateescape"
            self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        more = self._decoder.decode(data, final=not data)
        self._before += self._at
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more) or (not self._ended and self._refill(size))

    def _told(self) -> str:
        return "it ends in the middle" if self._ended and self._cut_off() else "its JSON is broken"

    def _cut_off(self) -> bool:
        """Whether the rest is the beginning of a value (a truncated file) rather than something malformed."""
        try:
            _decode(self._text, self._at)
        except json.JSONDecodeError as error:
            return error.pos >= len(self._text) - 1 or error.msg.startswith("Unterminated string")
        return True
