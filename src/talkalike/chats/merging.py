"""Puts a newly read telling of a conversation together with what is already stored: order, identity, no doubles.

A message's identity is what every export of it shares: the conversation, the author's name, the time, the text, and
which of several identical ones it is. Two formats may round the time differently, so across formats a second's
difference is forgiven.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.columns import SCHEMA, batches, with_column
from talkalike.chats.importers.protocol import Part
from talkalike.chats.other_clocks import match_other_clocks
from talkalike.chats.read_anew import match_read_anew, update_from_reread

TOLERANCE_MS = 1000
"""How far apart two formats may put the same message."""

_PART, _POSITION = "part", "position"
_ORDER = [("sent_ms", "ascending"), (_PART, "ascending"), (_POSITION, "ascending")]
_ID_BATCH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """What became of the messages given: new ones, ones already stored, and stored ones that learnt something."""

    added: int
    already_there: int
    updated: int = 0  # counted in `already_there` too: a newer export knew more reactions, or that it was unsent


def collect(parts: Iterable[Part], *, origin: str) -> pa.Table:
    """All parts as one table in time order, with two columns more: the part, and the place in its telling."""
    found: list[pa.RecordBatch] = []
    schema = SCHEMA.append(pa.field(_PART, pa.int32())).append(pa.field(_POSITION, pa.int64()))
    for number, part in enumerate(parts):
        start = 0
        for batch in batches(part.messages, origin=origin):
            end = start + len(batch)
            places = range(-start, -end, -1) if part.newest_first else range(start, end)
            extra = [pa.array([number] * len(batch), pa.int32()), pa.array(places, pa.int64())]
            whole = pa.record_batch([*batch.columns, *extra], schema=schema)
            found.append(whole.take(pc.sort_indices(whole, sort_keys=_ORDER)))
            start = end
    # Exports are in order or in reverse: then putting whole batches in order is enough, and nothing is copied.
    found.sort(key=lambda batch: _key(batch, 0))
    in_order = all(_key(one, len(one) - 1) <= _key(two, 0) for one, two in pairwise(found))
    table = pa.Table.from_batches(found, schema=schema).unify_dictionaries()
    del found
    return table if in_order else table.take(pc.sort_indices(table, sort_keys=_ORDER))


def _key(batch: pa.RecordBatch, row: int) -> tuple[int, ...]:
    return tuple(batch[name][row].as_py() for name, _ in _ORDER)


def with_ids(table: pa.Table, conversation_id: str) -> pa.Table:
    """A collected table with every message's id, each id once (the first telling's), in the archive's columns."""
    start = hashlib.blake2b(f"{conversation_id}\n".encode(), digest_size=12)
    ids: list[pa.Array] = []
    keep: list[pa.Array] = []
    seen: dict[tuple[int, str], int] = {}
    told: set[str] = set()
    now = None
    columns = table.select(["id", "sent_ms", "author_name", "text", _PART])
    for batch in columns.to_batches(_ID_BATCH):
        new_ids, kept = [], []
        for native, sent_ms, name, text, part in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            if sent_ms != now:
                now = sent_ms
                seen.clear()
                told.clear()
            id_ = native
            if not id_:
                key = f"{sent_ms} {len(name)} {name}{text}"
                which = seen[part, key] = seen.get((part, key), -1) + 1
                digest = start.copy()
                digest.update(f"{which} {key}".encode())
                id_ = digest.hexdigest()
            new_ids.append(id_)
            kept.append(id_ not in told)
            told.add(id_)
        ids.append(pa.array(new_ids, pa.string()))
        keep.append(pa.array(kept, pa.bool_()))
    table = table.set_column(0, "id", pa.chunked_array(ids, pa.string())).select(SCHEMA.names)
    mask = pa.chunked_array(keep, pa.bool_())
    if pc.all(mask).as_py() is not False:
        return table
    # What another telling of the same message knows besides (a reaction) is kept.
    told_first, _ = merge(table.filter(mask), table.filter(pc.invert(mask)))
    return told_first


def merge(stored: pa.Table, incoming: pa.Table) -> tuple[pa.Table, MergeReport]:
    """`stored` with the rows of `incoming` it lacks, each at its place; both in time order, with ids.

    Among messages of one time the stored order stands, and a new message comes after the one it followed in its own
    telling (times may be as coarse as a minute).
    """
    if not len(stored):
        return incoming, MergeReport(added=len(incoming), already_there=0)
    same = pc.index_in(incoming["id"], value_set=stored["id"]).to_pylist()
    _match_taken_back(stored, incoming, same)
    match_read_anew(stored, incoming, same)
    _match_other_formats(stored, incoming, same)
    incoming = match_other_clocks(stored, incoming, same)
    stored, updated = _learn(stored, incoming, same)
    added = same.count(None)
    report = MergeReport(added=added, already_there=len(same) - added, updated=updated)
    if not added:
        return stored, report
    places = _places(incoming["sent_ms"].to_pylist(), same, after_all=2 * len(stored) + 1)
    new = incoming.filter(pc.is_null(pa.array(same, pa.int64())))
    new = new.append_column("place", pa.array(places, pa.int64()))
    old = stored.append_column("place", pa.array(range(0, 2 * len(stored), 2), pa.int64()))
    both = pa.concat_tables([old, new]).unify_dictionaries()
    order = pc.sort_indices(both, sort_keys=[("sent_ms", "ascending"), ("place", "ascending")])
    return both.take(order).select(SCHEMA.names), report


def _match_other_formats(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> None:
    """Fill `same` with the stored twins that another format brought: same author and text, at most a second apart."""
    origins = set(pc.unique(stored["origin"]).to_pylist())
    mine = incoming["origin"][0].as_py() if len(incoming) else ""
    if not origins - {mine} or None not in same:
        return
    taken = {index for index in same if index is not None}
    candidates: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    rows = _rows(stored, "origin", "author_name", "text", "sent_ms")
    for index, (origin, name, text, sent_ms) in enumerate(rows):
        if origin != mine and index not in taken:
            candidates[name, text].append((sent_ms, index))
    for row, (name, text, sent_ms) in enumerate(_rows(incoming, "author_name", "text", "sent_ms")):
        if same[row] is None:
            # Both sides are in time order and each stored message is used once, so the first that fits is right.
            waiting = candidates.get((name, text), [])
            while waiting and waiting[0][0] < sent_ms - TOLERANCE_MS:
                waiting.pop(0)
            if waiting and waiting[0][0] <= sent_ms + TOLERANCE_MS:
                same[row] = waiting.pop(0)[1]


def _match_taken_back(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> None:
    """Fill `same` where one side tells of a message and the other that it was taken back: their texts differ."""
    if None not in same or not (pc.any(stored["unsent"]).as_py() or pc.any(incoming["unsent"]).as_py()):
        return
    taken = {index for index in same if index is not None}
    candidates: dict[tuple[str, int], list[tuple[bool, int]]] = defaultdict(list)
    for index, (name, sent_ms, unsent) in enumerate(_rows(stored, "author_name", "sent_ms", "unsent")):
        if index not in taken:
            candidates[name, sent_ms].append((unsent, index))
    for row, (name, sent_ms, unsent) in enumerate(_rows(incoming, "author_name", "sent_ms", "unsent")):
        waiting = candidates.get((name, sent_ms)) if same[row] is None else None
        for candidate in waiting or ():
            if unsent or candidate[0]:
                same[row] = candidate[1]
                candidates[name, sent_ms].remove(candidate)
                break


def _learn(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> tuple[pa.Table, int]:
    """Stored rows take over reactions they lack, that one was taken back (its words go), and how it is read now."""
    learnt: set[int] = set()
    if pc.any(pc.is_valid(incoming["reactions"])).as_py():
        reactions = stored["reactions"].to_pylist()
        for index, more in zip(same, incoming["reactions"].to_pylist(), strict=True):
            if index is not None and (missing := [r for r in more or () if r not in (reactions[index] or ())]):
                reactions[index] = [*(reactions[index] or ()), *missing]
                learnt.add(index)
        if learnt:
            stored = with_column(stored, "reactions", reactions)
    if pc.any(incoming["unsent"]).as_py():
        unsent, texts = stored["unsent"].to_pylist(), stored["text"].to_pylist()
        for index, taken_back in zip(same, incoming["unsent"].to_pylist(), strict=True):
            if index is not None and taken_back and not unsent[index]:
                unsent[index], texts[index] = True, ""
                learnt.add(index)
        stored = with_column(with_column(stored, "unsent", unsent), "text", texts)
    if pc.any(incoming["edited"]).as_py():
        stored, edited = _learn_edits(stored, incoming, same)
        learnt |= edited
    stored, anew = update_from_reread(stored, incoming, same)
    return stored, len(learnt | anew)


def _learn_edits(stored: pa.Table, incoming: pa.Table, same: list[int | None]) -> tuple[pa.Table, set[int]]:
    """Stored rows read as their authors changed them since. One that was taken back stays without words."""
    learnt: set[int] = set()
    edited, texts, gone = (stored[name].to_pylist() for name in ("edited", "text", "unsent"))
    for index, (changed, text) in zip(same, _rows(incoming, "edited", "text"), strict=True):
        if index is not None and changed and not gone[index] and (texts[index] != text or not edited[index]):
            edited[index], texts[index] = True, text
            learnt.add(index)
    return with_column(with_column(stored, "edited", edited), "text", texts), learnt


def _rows(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _places(times: list[int], same: list[int | None], *, after_all: int) -> list[int]:
    """For each incoming row without a twin: where it goes among the stored rows of its time (row i has place 2 i)."""
    places: list[int] = []
    start = 0
    while start < len(times):
        end = start
        while end < len(times) and times[end] == times[start]:
            end += 1
        known = [index for index in same[start:end] if index is not None]
        place = 2 * known[0] - 1 if known else after_all
        for index in same[start:end]:
            if index is None:
                places.append(place)
            else:
                place = 2 * index + 1
        start = end
    return places
