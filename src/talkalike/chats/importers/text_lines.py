"""Text files line by line, whatever they were saved as: for every format that is plain text.

Lines end at line feeds only: other separators (U+2028, U+0085) occur inside messages.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from talkalike.chats.importers import codepages
from talkalike.chats.importers.protocol import Damaged, Findings
from talkalike.chats.sources import READ_ERRORS, Entry

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 1024 * 1024  # bytes; a longer one is no chat and is read in pieces
_WIDE = {b"\xff\xfe": "utf_16", b"\xfe\xff": "utf_16"}
_SAMPLE_BYTES = 16 * 1024


def raw_lines(entry: Entry, encoding: str = "utf_8", findings: Findings | None = None) -> Iterator[bytes]:
    """The file's lines as UTF-8 or in their code page, split at line feeds only. Damage goes to `findings`."""
    count = position = 0
    try:
        with io.BufferedReader(entry.open()) as stream:  # type: ignore[type-var]  # any stream of bytes will do
            wide = wide_encoding(stream.peek(2), encoding)
            for raw in _recode(stream, wide) if wide else iter(lambda: stream.readline(_LONGEST_LINE), b""):
                count += 1
                position += len(raw)
                raw = raw.rstrip(b"\r\n")
                yield raw[3:] if raw.startswith(BYTE_ORDER_MARK) else raw
    except READ_ERRORS as error:
        if findings is not None:
            reason = f"its bytes cannot be read ({error})"
            findings.damaged.append(Damaged(file=entry.path, reason=reason, position=position, messages_read=count))


def wide_encoding(head: bytes, encoding: str) -> str | None:
    """The encoding of a file whose letters take two bytes or more: by its byte order mark, or by order."""
    return _WIDE.get(head[:2]) or (encoding if encoding.startswith(("utf_16", "utf_32")) else None)


def _recode(stream: BinaryIO, wide: str) -> Iterator[bytes]:
    """The lines of such a file, as UTF-8."""
    with io.TextIOWrapper(stream, encoding=wide, errors="replace", newline="\n") as text:
        while line := text.readline(_LONGEST_LINE):
            yield line.encode("utf-8", "replace")


def decide_encoding(entry: Entry, asked: str | None, findings: Findings) -> str:
    """The encoding of a file's lines that are not UTF-8: the one asked for, or guessed by their letters and told of."""
    foreign = bytearray()
    for raw in raw_lines(entry, asked or "utf_8"):
        if not raw.isascii() and not _is_utf8(raw):
            foreign += raw + b"\n"
            if asked is not None or len(foreign) >= _SAMPLE_BYTES:
                break
    if not foreign or asked is not None:
        return asked or "utf_8"
    encoding = codepages.guess(bytes(foreign)).encoding
    findings.notes.append(
        f"{entry.path} has lines that are not UTF-8; these were read as {encoding}, judged by their letters. "
        "If letters look wrong, import again with --encoding and the right name."
    )
    return encoding


def text_lines(entry: Entry, encoding: str, findings: Findings | None = None) -> Iterator[str]:
    """The lines as they were written; those that are not UTF-8 in `encoding` (see `decide_encoding`)."""
    for raw in raw_lines(entry, encoding, findings):
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            yield raw.decode("utf-8", "replace") if encoding == "utf_8" else codepages.decode_line(raw, encoding)


def first_text_lines(entry: Entry, most: int = 40) -> list[str]:
    """The first lines that say something, cheaply; those of a file that is no text are none."""
    head = entry.head()
    wide = wide_encoding(head, "")
    if wide is None and b"\0" in head:
        return []
    if wide:
        text = head[: len(head) // 2 * 2].decode(wide, "replace")
    else:
        text = head.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
    return [line.rstrip("\r") for line in text.split("\n")[: most * 2] if line.strip()][:most]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
