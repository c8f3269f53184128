"""Finds texts that were said before, also with a typo, another number or other punctuation.

Texts of fewer than six words count as repeated only when they are the same: everybody says "yes, me too" again.
Longer ones are compared by their words and pairs of neighbouring words, of which the 24 with the lowest hashes stand
for the whole (a bottom-k sketch, so the Jaccard similarity is exact up to about 12 words and an estimate above).
Which texts to compare with is looked up by the four lowest hashes of word triples: changing one word touches three
triples, so such a copy is always met.
"""

from __future__ import annotations

import re
from array import array
from hashlib import blake2b
from operator import xor

MIN_WORDS = 6  # shorter texts are compared as a whole
SIMILAR = 0.55  # Jaccard similarity of words and word pairs; one changed word in six gives 0.57
_SKETCH = 24
_KEYS = 4
_BUCKET = 16  # texts remembered for one word triple; "how do i" says little about a text
_VOCABULARY = 200_000
_HASH_RANGE = 1 << 64

# Scripts without spaces between words (kana, Chinese, Thai) are compared by characters.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+")

_NUMBER = re.compile(r"\d+")


# Lowest hashes of words and word pairs; lowest hashes of word triples. Both ascending.
_Sketch = tuple[list[int], list[int]]


class _Hashes(dict[str, tuple[int, int, int]]):
    """Three independent 64-bit hashes of a word, the same in every run (Python's own hash is not)."""

    def __missing__(self, word: str) -> tuple[int, int, int]:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=24).digest()
        hashes = (
            int.from_bytes(digest[:8], "little"),
            int.from_bytes(digest[8:16], "little"),
            int.from_bytes(digest[16:], "little"),
        )
        if len(self) >= _VOCABULARY:
            self.clear()
        self[word] = hashes
        return hashes


_HASHES = _Hashes()


class NearDuplicates:
    """A growing memory of texts. Not for several threads; about 250 bytes for a text of six words or more."""

    def __init__(self) -> None:
        self._exact: dict[int, int] = {}  # hash of the text -> how often it was added
        self._sketches: list[array[int]] = []
        self._figures = array("q")  # of each of these texts a hash of the numbers in it, 0 where there are none
        self._buckets: dict[int, list[int]] = {}  # hash of a word triple -> numbers of the texts that have it
        self._latest: tuple[str, _Sketch | None] = ("", None)  # asking about a text and adding it costs one sketch

    def count(self, text: str, *, with_numbers: bool = False) -> int:
        """How many of the added texts are this one, or nearly like it.

        `with_numbers`: texts that both have numbers in them, and other ones, are not alike ("9 km" and "10 km").
        """
        exact = self._exact.get(_same(text), 0)
        found = self._sketch(text) if self._sketches else None
        if found is None:
            return exact
        sketch, keys = found
        candidates: set[int] = set()
        for key in keys:
            candidates.update(self._buckets.get(key, ()))
        lowest = set(sketch)
        if with_numbers and (own := _figures(text)):
            candidates = {number for number in candidates if self._figures[number] in (0, own)}
        near = sum(_similar(lowest, self._sketches[number]) for number in candidates)
        return max(exact, near)

    def add(self, text: str) -> None:
        same = _same(text)
        self._exact[same] = self._exact.get(same, 0) + 1
        found = self._sketch(text)
        if found is None:
            return
        sketch, keys = found
        number = len(self._sketches)
        self._sketches.append(array("Q", sketch))
        self._figures.append(_figures(text))
        for key in keys:
            bucket = self._buckets.setdefault(key, [])
            bucket.append(number)
            if len(bucket) > _BUCKET:
                del bucket[0]  # copies come close together: forget the oldest

    def _sketch(self, text: str) -> _Sketch | None:
        if text is not self._latest[0]:
            words = _WORD.findall(text.casefold())
            self._latest = text, _sketch(words) if len(words) >= MIN_WORDS else None
        return self._latest[1]


def _sketch(words: list[str]) -> _Sketch:
    # Column by column through C loops: this is what a long text costs.
    first, second, third = zip(*map(_HASHES.__getitem__, words), strict=True)
    pairs = list(map(xor, first, second[1:]))
    triples = map(xor, pairs, third[2:])
    return _lowest({*first, *pairs}, _SKETCH), _lowest(set(triples), _KEYS)


def _lowest(hashes: set[int], count: int) -> list[int]:
    """The `count` lowest, ascending. Hashes are uniform, so nearly all of a long text's need no sorting."""
    if len(hashes) > 8 * count:
        limit = _HASH_RANGE * 3 * count // len(hashes)  # three times as many as needed are expected below
        few = [value for value in hashes if value < limit]
        if len(few) >= count:
            return sorted(few)[:count]
    return sorted(hashes)[:count]


def _figures(text: str) -> int:
    found = _NUMBER.findall(text)
    return hash(tuple(found)) if found else 0


def _same(text: str) -> int:
    return hash(" ".join(text.casefold().split()))


def _similar(sketch: set[int], other: array[int]) -> bool:
    """Whether the Jaccard similarity of the two full sets, estimated from the lowest hashes, reaches SIMILAR."""
    longer = max(len(sketch), len(other))
    if len(other) < SIMILAR * longer or len(sketch) < SIMILAR * longer:
        return False
    common = sketch.intersection(other)
    if len(common) < SIMILAR * longer:
        return False
    lowest = sorted(sketch.union(other))
    if longer == _SKETCH:
        del lowest[_SKETCH:]  # what lies above may be missing in the other sketch only because it was cut off
    return len(common.intersection(lowest)) >= SIMILAR * len(lowest)
