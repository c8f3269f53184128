"""Messages that this program reads otherwise than the version that stored them.

Texts whose encoding was left broken are mended now, and sentences of the platform's that were taken for words are
told from them. An export that is imported again neither doubles such a message nor leaves it as it was.
"""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.columns import with_column
from talkalike.chats.importers.messenger_text import TextRepair
from talkalike.chats.values import Platform


def match_read_anew(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> None:
    """Fill `same` with the stored rows that are the same messages under another text."""
    if None not in same or not _is_ours(incoming):
        return
    taken = {index for index in same if index is not None}
    times = pc.filter(incoming["sent_ms"], pc.is_null(pa.array(same, pa.int64())))
    same_format = pc.equal(_words(stored, "origin"), incoming["origin"][0].as_py())
    same_time = pc.is_in(stored["sent_ms"], value_set=times.combine_chunks())
    at = pc.indices_nonzero(pc.and_(same_time, same_format))
    repair = TextRepair()
    candidates: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for index, name, sent_ms, text in zip(at.to_pylist(), *_lists(stored.take(at)), strict=True):
        if index not in taken:
            candidates[repair(name), sent_ms].append((repair(text), index))
    for row, (name, sent_ms, text) in enumerate(zip(*_lists(incoming), strict=True)):
        waiting = candidates.get((name, sent_ms), []) if same[row] is None else []
        alike = [one for one in waiting if one[0] == text]
        found = next(iter(alike or [one for one in waiting if not one[0] or not text]), None)
        if found is not None:
            same[row] = found[1]
            waiting.remove(found)


def update_from_reread(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> tuple[pa.Table, set[int]]:
    """Stored rows take over the text and the kind where the same format's file is read differently now."""
    if not _is_ours(incoming):
        return stored, set()
    twins = pa.array(same, pa.int64())
    new = incoming.filter(pc.is_valid(twins))
    old = stored.take(twins.drop_null())
    differs = pc.or_(pc.not_equal(old["text"], new["text"]), pc.not_equal(_words(old, "kind"), _words(new, "kind")))
    taken_back = pc.or_(old["unsent"], new["unsent"])
    one_format = pc.equal(_words(old, "origin"), _words(new, "origin"))
    changed = pc.and_(pc.and_(differs, one_format), pc.invert(taken_back))
    rows = twins.drop_null().filter(changed.combine_chunks()).to_pylist()
    for name in ("text", "kind") if rows else ():
        values = stored[name].to_pylist()
        for row, value in zip(rows, new[name].filter(changed).to_pylist(), strict=True):
            values[row] = value
        stored = with_column(stored, name, values)
    return stored, set(rows)


def _words(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column of repeated strings as plain strings, which can be compared."""
    return table[name].cast(pa.string())


def _is_ours(incoming: pa.Table) -> bool:
    """Whether these are of a format that is read otherwise now, with times that tell messages apart."""
    return len(incoming) > 0 and str(incoming["origin"][0].as_py()).startswith(Platform.MESSENGER)


def _lists(table: pa.Table) -> list[list[object]]:
    return [table[name].to_pylist() for name in ("author_name", "sent_ms", "text")]
