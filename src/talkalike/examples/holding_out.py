"""What is held out of training: the newest part, which must have something in it that training texts do not say too.

The split is made session by session while conversations are read (`windows`). Here is what can only be seen once all
are there: what is said in both parts, and whether anything is left to measure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from talkalike.chats.duplicates import MIN_WORDS, NearDuplicates
from talkalike.examples.dataset import Document
from talkalike.examples.reactions import emoji_of
from talkalike.examples.render import Rendered
from talkalike.examples.windows import heldout_cut


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDocument:
    """A document, which session (by a number) it is from, and its tokens, as long as it is what was rendered."""

    document: Document
    session: int
    rendered: Rendered | None = None

    @property
    def learned(self) -> list[bool]:
        """Which turns are learned, reactions aside."""
        turns = zip(self.document.turns, self.document.learn, strict=True)
        return [learn and emoji_of(turn.text) is None for turn, learn in turns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The two parts. `repeats`: how many held-out messages are no longer learned, as training texts say them too."""

    train: list[SessionDocument]
    heldout: list[SessionDocument]
    repeats: int = 0


def hold_out(train: Sequence[SessionDocument], heldout: Sequence[SessionDocument], share: float) -> Split:
    """The parts as they are if the held-out one has something to measure; else a larger, newest part of everything.

    A text with another number in it was said before, too, unless nothing else is left to measure. Nothing is held out
    where that does not help: all that is new was said before, or it is a single message.
    """
    pieces = sorted([*train, *heldout], key=lambda piece: piece.document.sent_ms[-1])
    most = _learned(pieces) // 2
    for with_numbers in (False, True):
        parts = _without_repeats(train, heldout, with_numbers=with_numbers)
        wanted = min(most, math.ceil(share * _learned(pieces)))
        while not _learned(parts.heldout) and wanted:
            parts = _without_repeats(*_newest(pieces, wanted, most), with_numbers=with_numbers)
            wanted = min(most, 2 * wanted) if wanted < most else 0
        if _learned(parts.heldout):
            return parts
    return Split(train=pieces, heldout=[])


def _newest(
    pieces: Sequence[SessionDocument], wanted: int, most: int
) -> tuple[list[SessionDocument], list[SessionDocument]]:
    """Older and newer pieces, the newer with `wanted` to `most` learned messages; one piece may be cut for that."""
    older, newer, held = list(pieces), list[SessionDocument](), 0
    while older and held < wanted:
        last = older.pop()
        if held + sum(last.learned) <= most:
            newer.insert(0, last)
            held += sum(last.learned)
            continue
        cut = heldout_cut(last.learned, last.document.sent_ms, wanted=wanted - held, most=most - held)
        if cut is None:
            older.append(last)
            break
        before, after = _cut(last.document, cut)
        older.append(replace(last, document=before, rendered=None))
        newer.insert(0, replace(last, document=after, rendered=None))
        break
    return older, newer


def _cut(document: Document, index: int) -> tuple[Document, Document]:
    before = replace(
        document,
        turns=document.turns[:index],
        learn=document.learn[:index],
        sent_ms=document.sent_ms[:index],
        ended=False,
        next_speaker=document.turns[index].speaker,
    )
    after = replace(
        document, turns=document.turns[index:], learn=document.learn[index:], sent_ms=document.sent_ms[index:]
    )
    return before, after


def _without_repeats(
    train: Sequence[SessionDocument], heldout: Sequence[SessionDocument], *, with_numbers: bool
) -> Split:
    known = NearDuplicates()
    for piece in train:
        for turn in piece.document.turns:
            if len(turn.text.split()) >= MIN_WORDS:
                known.add(turn.text)
    kept: list[SessionDocument] = []
    repeats = 0
    for piece in heldout:
        document = piece.document
        learn = tuple(
            learn and not (len(turn.text.split()) >= MIN_WORDS and known.count(turn.text, with_numbers=with_numbers))
            for learn, turn in zip(document.learn, document.turns, strict=True)
        )
        repeats += sum(document.learn) - sum(learn)
        if learn != document.learn:
            piece = replace(piece, document=replace(document, learn=learn), rendered=None)
        kept.append(piece)
    return Split(train=list(train), heldout=kept, repeats=repeats)


def _learned(pieces: Sequence[SessionDocument]) -> int:
    return sum(sum(piece.learned) for piece in pieces)
