"""Picks the few messages of a chat that may be the platform's lines, column by column.

Nearly everything in a chat is people's words. What tells a line of the platform (a call beside it, a reaction before
it, its author's name in it) can be looked for in whole columns at once; only what is left is looked at as messages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.columns import SCHEMA, messages_of
from talkalike.chats.values import Message, MessageKind

EMOJI = "\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001fbff"  # of a character class
_MESSAGES_BEFORE = 20  # among which a reaction's message is looked for
_BESIDE_MS = 60_000
_TELLING = (MessageKind.SYSTEM.value, MessageKind.CALL.value, MessageKind.POLL.value)
_MOST_LETTERS = 20_000  # of wordings looked for at once; for more, every message is looked at
_BETWEEN = "[^0-9A-Za-z]*"
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A message that may be the platform's, and what it stands beside."""

    message: Message
    beside_call: bool
    messages_before: tuple[Message, ...]  # those with reactions among the last ones


def suspects(
    batches: Iterable[pa.RecordBatch], *, names: Collection[str], wordings: Collection[Sequence[str]]
) -> Iterator[Suspect]:
    """What has words and was told by the platform, stands beside a call, holds one of the names, has an emoji after a
    reaction, or is worded like one of `wordings`: parts in small letters with anything between them. In order; some
    more may be among them.
    """
    for table, new in _windows(batches):
        yield from _suspects_in(table, new, names, wordings)


def _windows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.Table, range]]:
    """Each piece of a chat with the messages just before it, and its rows that are new; a piece's last message waits
    for the one after it.
    """
    held = SCHEMA.empty_table()  # the messages just before, and the one that waits
    waiting = 0
    for batch in batches:
        table = pa.concat_tables([held, pa.Table.from_batches([batch], SCHEMA)]).unify_dictionaries()
        yield table, range(len(held) - waiting, len(table) - 1)
        held, waiting = table.slice(max(0, len(table) - _MESSAGES_BEFORE - 1)), min(1, len(table))
    yield held, range(len(held) - waiting, len(held))


def _suspects_in(
    table: pa.Table, new: range, names: Collection[str], wordings: Collection[Sequence[str]]
) -> Iterator[Suspect]:
    kind, text = table["kind"].cast(pa.string()), table["text"]
    is_call = _flags(pc.equal(kind, MessageKind.CALL.value))
    telling = _flags(pc.is_in(kind, value_set=pa.array(_TELLING)))
    said = _flags(pc.and_(pc.equal(kind, MessageKind.TEXT.value), pc.invert(table["unsent"])))
    beside = said & _beside(is_call, table["sent_ms"].to_numpy())
    reacted = _flags(pc.greater(pc.list_value_length(table["reactions"]), 0))
    named = _matching(text, "|".join(map(_literal, names))) if names else np.zeros(len(table), dtype=bool)
    reacting = _lately(reacted)
    if reacting.any():
        reacting &= _matching(text, f"[{EMOJI}]")
    alike = _has_words(text, wordings)
    picked = np.flatnonzero((telling | (said & (beside | named | reacting | alike))) & _flags(pc.not_equal(text, "")))
    picked = picked[(picked >= new.start) & (picked < new.stop)]
    context = np.flatnonzero(reacted)
    earlier = list(messages_of(table.take(context)))
    first = np.searchsorted(context, picked - _MESSAGES_BEFORE)
    end = np.searchsorted(context, picked)
    for row, message in enumerate(messages_of(table.take(picked))):
        before = tuple(earlier[first[row] : end[row]]) if reacting[picked[row]] else ()
        yield Suspect(message=message, beside_call=bool(beside[picked[row]]), messages_before=before)


def _flags(column: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A column of truths; what is missing is none."""
    flags: np.ndarray[Any, np.dtype[np.bool_]] = column.fill_null(False).to_numpy()
    return flags


def _beside(is_call: np.ndarray[Any, Any], sent_ms: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether the message just before or after is a call's entry, and near."""
    near = np.abs(np.diff(sent_ms)) <= _BESIDE_MS
    beside = np.zeros(len(is_call), dtype=bool)
    beside[1:] |= is_call[:-1] & near
    beside[:-1] |= is_call[1:] & near
    return beside


def _lately(reacted: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether one of the messages just before has a reaction."""
    so_far = np.concatenate(([0], np.cumsum(reacted)))
    at = np.arange(len(reacted))
    lately: np.ndarray[Any, np.dtype[np.bool_]] = so_far[at] > so_far[np.maximum(at - _MESSAGES_BEFORE, 0)]
    return lately


def _has_words(text: Any, wordings: Collection[Sequence[str]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which texts have the words of one of these, in any case."""
    if not wordings:
        return np.zeros(len(text), dtype=bool)
    if sum(len(part) for parts in wordings for part in parts) > _MOST_LETTERS:
        return np.ones(len(text), dtype=bool)
    patterns = (".*".join(map(_words_of, parts)) for parts in wordings)
    return _matching(text, f"(?is:^(?:{'|'.join(patterns)})$)")


def _words_of(part: str) -> str:
    """A pattern of the words of a part; what stands around words in it counts for nothing."""
    # The small form of the Turkish İ is two characters.
    pieces = (_BETWEEN.join(map(_literal, ["", *_WORD.findall(each), ""])) for each in part.split("i\u0307"))
    return ".*".join(pieces)


def _matching(text: Any, pattern: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return _flags(pc.match_substring_regex(text, pattern))


def _literal(text: str) -> str:
    """A text as a pattern of Arrow's."""
    return "".join(f"\\x{{{ord(char):x}}}" for char in text)
