"""What becomes of a message that is too long: the same for training, for measuring and for serving.

Somebody's message that is only read loses its middle, so that what it begins and ends with (a greeting, a question) can
be seen. One that is learned is cut into several, so that no word of it is lost. A budget's half is the most that one
message gets: a long question leaves room for its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from talkalike.examples.render import Turn

MARK = " […] "
WORD_SEARCH = 30  # characters within which a cut is moved to the edge of a word

_FEWEST = 8  # tokens of a piece, whatever the limit: a long name leaves room for few

CountTokens = Callable[[tuple[Turn, ...]], list[int]]

# Where a text is cut apart: the first of these that is found in the second half of what fits.
_EDGES = tuple(map(re.compile, (r"\n\s*\n\s*", r"\n\s*", r"[.!?…。！？]+[\"'”’)\]]*\s+", r"\s+")))


def shorten(turn: Turn, limit: int, count_tokens: CountTokens) -> Turn:
    """The turn with the middle of its text left out, so that it costs at most `limit` tokens where that can be.

    Work is bounded by the limit, not by the length of the text.
    """
    text = turn.text
    kept = _most_that_fits(len(text), limit, lambda kept: _cost(turn, _ends(text, kept), count_tokens) <= limit)
    return Turn(turn.speaker, _ends(text, kept) if kept else "")


def split_turn(turn: Turn, limit: int, count_tokens: CountTokens) -> list[str]:
    """The turn's text in pieces of at most about `limit` tokens, cut where paragraphs, lines or sentences end."""
    pieces: list[str] = []
    rest = turn.text.strip()
    limit = max(limit, _cost(turn, "", count_tokens) + _FEWEST)
    while rest and _cost(turn, rest, count_tokens) > limit:
        fits = _most_that_fits(len(rest), limit, lambda kept: _cost(turn, rest[:kept], count_tokens) <= limit)  # noqa: B023
        stop = _edge(rest, max(1, fits))
        while stop > 1 and _cost(turn, rest[:stop].strip(), count_tokens) > limit:
            stop -= 1  # less text can be more tokens
        pieces.append(rest[:stop].strip())
        rest = rest[stop:].strip()
    return [*pieces, rest] if rest else pieces


def newest_that_fit(turns: tuple[Turn, ...], budget: int, count_tokens: CountTokens) -> tuple[Turn, ...]:
    """The newest turns that cost at most `budget` tokens together.

    The first that does not fit is shortened, where that leaves it half of the budget.
    """
    kept: list[Turn] = []
    room = budget
    for turn, cost in zip(reversed(turns), reversed(count_tokens(turns)), strict=True):
        if cost > room:
            if room >= budget // 2 and (short := shorten(turn, budget // 2, count_tokens)).text:
                kept.append(short)
            break
        kept.append(turn)
        room -= cost
    return tuple(reversed(kept))


def _cost(turn: Turn, text: str, count_tokens: CountTokens) -> int:
    return count_tokens((Turn(turn.speaker, text),))[0]


def _ends(text: str, kept: int) -> str:
    """About so many characters of the text, half from its beginning and half from its end, in whole words."""
    head, tail = text[: kept - kept // 2], text[len(text) - kept // 2 :]
    space = max(head.rfind(blank, max(0, len(head) - WORD_SEARCH)) for blank in " \n\t")
    if space >= len(head) // 3 and not text[len(head)].isspace():
        head = head[:space]
    found = [place for blank in " \n\t" if (place := tail.find(blank, 0, WORD_SEARCH)) >= 0]
    if found and min(found) <= 2 * len(tail) // 3 and not text[len(text) - len(tail) - 1].isspace():
        tail = tail[min(found) :]
    return head.rstrip() + MARK + tail.lstrip()


def _edge(text: str, stop: int) -> int:
    for edge in _EDGES:
        ends = [found.end() for found in edge.finditer(text, stop // 2, stop)]
        if ends:
            return ends[-1]
    return stop


def _most_that_fits(length: int, guess: int, fits: Callable[[int], bool]) -> int:
    """The largest number below `length` that fits, found from a guess; 0 where none does."""
    low, high = 0, max(1, guess)
    while high < length and fits(high):
        low, high = high, high * 2
    high = min(high, length)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
