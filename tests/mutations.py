"""Exports with something wrong in them: bytes turned, lost, doubled or swapped, and JSON values of another kind."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Mapping

from format_writers import WRITERS, Said
from talkalike.chats.importers import importers_for
from talkalike.chats.importers.protocol import Choices, Findings
from talkalike.chats.merging import collect
from talkalike.chats.sources import Entry

_SAID: list[Said] = [
    ("Anna Nová", 1_600_000_000, "first: with a colon"),
    ("Ben", 1_600_000_060, "two\nlines  "),
    ("Anna Nová", 1_600_086_400, 'emoji 😂 and <tags> & "quotes"'),
    ("You", 1_600_086_401, "I am You"),
    ("🤓", 1_601_000_000, "\u200fשלום"),
    ("Ben", 1_601_000_000, "https://example.com/a?b=c"),
]
_PIECES = (b"", b"\0", b"\xff\xfe", b"\n", b'"', b"{", b"]", b"\xed\xa0\x80", b"\\ud800", b"null", b"-1e999", b"9" * 40)
_VALUES = (b"null", b"true", b"-5", b"1e400", b'""', b"[]", b"{}", b"[[[[]]]]", b'"\\udfff"', b"99999999999999999999")
_VALUE = re.compile(rb'(?<=: )(?:"[^"]*"|-?\d+|\[[^\[\]]*\]|\{[^{}]*\}|null|true|false)')


def exports() -> dict[str, dict[str, bytes]]:
    """A small export of each format, by the format's name."""
    return {name: write(_SAID) for name, write in WRITERS.items()}


def mutated(files: Mapping[str, bytes], chance: random.Random) -> dict[str, bytes]:
    """The files, one of them with one to four things wrong."""
    changed = dict(files)
    name = chance.choice(sorted(changed))
    content = changed[name]
    for _ in range(chance.randrange(1, 5)):
        content = _mutate(content, chance)
    changed[name] = content
    return changed


def _mutate(content: bytes, chance: random.Random) -> bytes:
    at, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    kind = chance.randrange(7)
    if kind == 0:
        return content[:at] + chance.choice(_PIECES) + content[at:]
    if kind == 1:
        return content[:at] + content[min(end, at + 40) :]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:end] + content[at:end] + content[end:]
    if kind == 4:
        return content[:at] + bytes(chance.randrange(256) for _ in range(min(8, end - at))) + content[at + 8 :]
    if kind == 5:
        lines = content.split(b"\n")
        chance.shuffle(lines)
        return b"\n".join(lines)
    found = list(_VALUE.finditer(content))
    if not found:
        return content
    value = chance.choice(found)
    return content[: value.start()] + chance.choice(_VALUES) + content[value.end() :]


def read(files: Mapping[str, bytes]) -> tuple[int, Findings, int]:
    """Reads files without an archive: how many messages, what was not read, and how many files nobody took."""
    importers = importers_for(Choices())
    entries = [
        Entry(
            path=path, size=len(content), container="export", root="", _open=lambda content=content: io.BytesIO(content)
        )
        for path, content in files.items()
    ]
    findings = Findings()
    claimed = {entry.path: next((i.name for i in importers if i.recognises(entry)), "") for entry in entries}
    messages = 0
    for importer in importers:
        own = [entry for entry in entries if claimed[entry.path] == importer.name]
        for draft in importer.drafts(own, findings) if own else ():
            messages += len(collect(draft.parts(), origin=importer.name))
            draft.conversation()
    return messages, findings, sum(not name for name in claimed.values())
