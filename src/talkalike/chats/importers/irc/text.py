"""The lines of a log as text: UTF-8 where a line is that, the log's code page where it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from talkalike.chats.importers.codepages import decode_line
from talkalike.chats.importers.protocol import Findings
from talkalike.chats.importers.text_lines import BYTE_ORDER_MARK, raw_lines, wide_encoding
from talkalike.chats.sources import Entry

NOT_DECIDED = "latin_1"
"""Stands for the code page in the first reading: it can decode anything, and keeps ASCII what it is."""

_CUT = "\ufffd"
_SAMPLE_BYTES = 16 * 1024
_FORMATTING = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?"  # mIRC's colours, by number
    r"|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?"  # and by what they are made of
    r"|\x1b(?:\[[0-9;:?]*[ -/]*[@-~])?"  # a terminal's, as WeeChat writes them
    r"|[\x02\x0f\x11\x16\x1d-\x1f]"
)
# irssi's own codes: a style, one of 256 colours, any colour, or a foreground and a background. Lines end in a reset.
_IRSSI_FORMATTING = re.compile(r"\x04(?:[a-i]|[.\-,+*)].|#.{4}|[/-?][/-?]|(?=\x04)|$)", re.DOTALL)


def plain(line: str) -> str:
    """A line without colours and other formatting."""
    if line.isprintable():
        return line
    if "\x04g" in line or "\x04/" in line:
        line = _IRSSI_FORMATTING.sub("", line)
    return _FORMATTING.sub("", line)


def lines_of(
    entry: Entry, encoding: str, findings: Findings | None = None, foreign: bytearray | None = None
) -> Iterator[str]:
    """The file's lines, split at line feeds only (other separators occur inside messages), without formatting.

    Damage is reported to `findings`, once somebody keeps them; lines that are not UTF-8 are added to `foreign`.
    """
    for raw in raw_lines(entry, encoding, findings):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = _not_utf8(raw, error, encoding)
            if line[-1:] == _CUT:
                if findings is not None:
                    findings.replaced_characters += 1
            elif foreign is not None and len(foreign) < _SAMPLE_BYTES:
                foreign += raw + b"\n"
        yield line if line.isprintable() else plain(line)


def first_lines(entry: Entry, encoding: str, most: int) -> list[str]:
    """Lines that say something from the beginning of a file, cheaply."""
    head = entry.head()
    if wide := wide_encoding(head, encoding):
        head = head[: len(head) // 4 * 4].decode(wide, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    raw = [line.rstrip(b"\r").removeprefix(BYTE_ORDER_MARK) for line in head.split(b"\n")[:most]]
    raw = raw[: max(1, len(raw) - 1)]  # the last one may be cut
    return [line for line in (plain(_as_text(part, encoding)) for part in raw) if line.strip()]


def is_text(entry: Entry, encoding: str) -> bool:
    """Whether a file can be a text at all."""
    head = entry.head(4096)
    return bool(head) and (b"\0" not in head or wide_encoding(head, encoding) is not None)


def _as_text(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(raw, error, encoding)


def _not_utf8(raw: bytes, error: UnicodeDecodeError, encoding: str) -> str:
    """A line in its code page, or one that IRC cut at 512 bytes in the middle of a letter."""
    if error.reason == "unexpected end of data" and not raw[: error.start].isascii():
        return raw[: error.start].decode("utf-8") + _CUT
    return decode_line(raw, encoding)
