"""Makes a reply fit for Discord: nothing in it pings, disguises a link or invites, and no part is too long.

    parts = split(neutralise(text))

Discord counts a message's length in code points, as `len` does (a developer of Discord in discord-api-docs issue 1315).
What is code is read as Discord's client reads it: three backticks open a block anywhere in a line, and the next three
close it; a shorter run opens inline code that a run of the same length closes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

LIMIT = 2000  # code points in one message
MAX_PARTS = 5  # a reply with more parts than this is a file

FENCE = "```"
CLOSING = f"\n{FENCE}"
INLINE_LENGTH = 500  # longer inline code could be cut apart, and is therefore not trusted to be code
ZERO_WIDTH = "\u200b"

_LANGUAGE = re.compile(r"[a-z0-9_+\-.#]{1,20}\n", re.IGNORECASE)
_RUN = re.compile(r"`+")
_MARK = re.compile(r"\\[^0-9A-Za-z\s]|`+")
_MENTION = re.compile(r"@(?=everyone|here)|<@(?=[!&]?[0-9])", re.IGNORECASE)
_INVITE = re.compile(
    r"(discord(?:app)?|dsc)(?:[.\u3002\uff0e\uff61]|%2e)(?=(?:gg|com/+invite)(?![a-z]))", re.IGNORECASE
)
_SENTENCE = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|[。！？]")
_CLUSTER = regex.compile(r"\X")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """Code from `start` to `end` with its backticks; what is between them from `inner` to `inner_end`."""

    start: int
    inner: int
    inner_end: int
    end: int
    block: bool
    closed: bool = True
    language: str = ""

    @property
    def opening(self) -> str:
        return f"{FENCE}{self.language}\n"


def split(text: str, limit: int = LIMIT) -> list[str]:
    """The text in parts of at most `limit` code points, cut where a reader pauses; none of them is blank.

    A code block that is cut, or was never closed, is closed at the part's end and opened again, with its language, in
    the next one. A grapheme cluster (an emoji, a letter with its accents) stays whole unless it does not fit into a
    part by itself. Apart from those repeated fences and parts of nothing but white space, the parts joined are `text`.
    """
    return list(parts(text, limit))


def parts(text: str, limit: int = LIMIT) -> Iterator[str]:
    """As `split`, one part at a time, for those who need only the first few."""
    if limit < 60:
        raise ValueError(f"a limit of {limit} leaves no room for code fences")
    codes = list(_codes(text))
    position = 0
    while position < len(text):
        end = _next_cut(text, position, limit, codes)
        shown = _shown(text, position, end, codes)
        if shown.strip():
            yield shown
        position = end


def neutralise(text: str) -> str:
    """The text without anything that pings, hides an address or invites. What is done already stays as it is.

    `[a](b)` becomes `[a] (b)`, so that the address is there to read; invites lose their dot; mentions of everyone, of
    people and of roles get a character of no width. In code nothing but mentions changes, since nothing else works
    there; an unclosed block, inline code over several lines and an address whose label begins outside do not count.
    """
    pieces, position, depth = [], 0, 0
    for code in _codes(text):
        outside = text[position : code.start]
        depth = max(0, depth + outside.count("[") - outside.count("]"))
        inside = text[code.start : code.end]
        trusted = code.closed and (code.block or ("\n" not in inside and len(inside) <= INLINE_LENGTH))
        pieces.append(_without_links(outside))
        pieces.append(_without_reaching_links(inside, depth) if trusted else _without_links(inside))
        position = code.end
    pieces.append(_without_links(text[position:]))
    return _MENTION.sub(lambda match: match[0] + ZERO_WIDTH, "".join(pieces))


def _without_links(text: str) -> str:
    return _INVITE.sub(r"\1[.]", text.replace("](", "] ("))


def _without_reaching_links(code: str, depth: int) -> str:
    """Code in which no `](` ends a label that began before it: Discord reads such a link first, and the code not."""
    if "](" not in code:
        return code
    if depth:
        return code.replace("](", "] (")
    pieces = []
    for position, sign in enumerate(code):
        pieces.append(sign)
        if sign == "[":
            depth += 1
        elif sign == "]":
            depth -= 1
            if depth < 0:
                depth = 0
                if code.startswith("(", position + 1):
                    pieces.append(" ")
    return "".join(pieces)


def _codes(text: str) -> Iterator[_Code]:
    """Everything that Discord shows as code, in order, and at last a block that is still open."""
    runs: dict[int, list[int]] = {}
    for match in _RUN.finditer(text):
        runs.setdefault(match.end() - match.start(), []).append(match.start())
    position = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        if mark[0].startswith("\\"):
            continue
        found = _block(text, mark.start()) if len(mark[0]) >= 3 else None
        if found is None:
            found = _inline(mark.start(), len(mark[0]), runs)
        if found is None and len(mark[0]) >= 3:
            found = _open_block(text, mark.start())
        if found is not None:
            yield found
            position = found.end


def _block(text: str, start: int) -> _Code | None:
    """The closed block whose first fence stands at `start`."""
    language = _LANGUAGE.match(text, start + 3)
    for inner in ([language.end()] if language else []) + [start + 3]:
        first = inner
        while text.startswith("\n", first):
            first += 1
        end = text.find(FENCE, first + 1)
        if end >= 0:
            named = language[0][:-1] if language and inner == language.end() else ""
            return _Code(start=start, inner=inner, inner_end=end, end=end + 3, block=True, language=named)
    return None


def _open_block(text: str, start: int) -> _Code | None:
    """The block that opens at `start` and never closes; three backticks amid a line are only a block with a newline."""
    language = _LANGUAGE.match(text, start + 3)
    if language is None and not text.startswith("\n", start + 3) and start > 0 and text[start - 1] != "\n":
        return None
    inner = language.end() if language else start + 3
    return _Code(
        start=start, inner=inner, inner_end=len(text), end=len(text), block=True, closed=False,
        language=language[0][:-1] if language else "",
    )  # fmt: skip


def _inline(start: int, length: int, runs: dict[int, list[int]]) -> _Code | None:
    """The inline code that the run of `length` backticks at `start` opens: the longest run that finds its like."""
    for wanted in sorted((size for size in runs if size <= length), reverse=True):
        places = runs[wanted]
        after = bisect_right(places, start)
        if after < len(places):
            end = places[after]
            return _Code(start=start, inner=start + wanted, inner_end=end, end=end + wanted, block=False)
    return None


def _around(codes: list[_Code], position: int) -> _Code | None:
    """The code that a cut at `position` would cut apart."""
    index = bisect_right(codes, position, key=lambda code: code.start) - 1
    if index < 0 or not codes[index].start < position < codes[index].end:
        return None
    return codes[index]


def _shown(text: str, start: int, end: int, codes: list[_Code]) -> str:
    """The part from `start` to `end` with the fences it needs; a block with nothing in this part is not shown in it."""
    before = ""
    into = _around(codes, start)
    if into is not None and into.block:
        if into.closed and into.end <= end and not text[start : into.inner_end].strip():
            start = into.end
        else:
            before = into.opening
    out = _around(codes, end)
    if out is None and codes and not codes[-1].closed and end == len(text) > codes[-1].start:
        out = codes[-1]
    if out is None or not out.block:
        return before + text[start:end]
    if not text[max(start, out.inner) : end].strip():
        return before + text[start : out.start] if start <= out.start else ""
    return before + text[start:end] + (FENCE if text[end - 1] == "\n" else CLOSING)


def _next_cut(text: str, start: int, limit: int, codes: list[_Code]) -> int:
    """Where the part that begins at `start` ends."""
    into = _around(codes, start)
    room = limit - (len(into.opening) if into is not None and into.block else 0)
    if len(text) - start <= limit and len(_shown(text, start, len(text), codes)) <= limit:
        return len(text)
    farthest = min(start + room, len(text))
    fits = [
        cut
        for cut in _cluster_ends(text, start, farthest)
        if cut - start <= room - _closing_room(codes, cut, len(text))
    ]
    good = [cut for cut in fits if _clean(text, cut, codes)]
    if not good:
        return fits[-1] if fits else start + room - len(CLOSING)
    return _pause(text, start, good, codes)


def _cluster_ends(text: str, start: int, farthest: int) -> Iterator[int]:
    for match in _CLUSTER.finditer(text, start):
        if match.end() > farthest:
            return
        yield match.end()


def _closing_room(codes: list[_Code], cut: int, length: int) -> int:
    code = _around(codes, cut)
    if code is None and cut == length and codes and not codes[-1].closed:
        code = codes[-1]
    return len(CLOSING) if code is not None and code.block else 0


def _clean(text: str, cut: int, codes: list[_Code]) -> bool:
    """Whether a cut here leaves backticks, fences and inline code whole."""
    if 0 < cut < len(text) and text[cut - 1] == "`" == text[cut]:
        return False
    code = _around(codes, cut)
    return code is None or (code.block and code.inner <= cut <= code.inner_end)


def _pause(text: str, start: int, good: list[int], codes: list[_Code]) -> int:
    """The best of the `good` cuts: the last end of a paragraph, line, sentence or word in the part's second half."""
    half = start + (good[-1] - start) // 2
    late = [cut for cut in good if cut > half]
    whole = [cut for cut in late if _around(codes, cut) is None]  # leaves a code block whole
    sentences = {match.end() for match in _SENTENCE.finditer(text, start, good[-1] + 1)}
    pauses: tuple[tuple[list[int], Callable[[int], bool]], ...] = (
        (whole, lambda cut: text.startswith("\n\n", cut - 2)),
        (whole, lambda cut: text[cut - 1] == "\n"),
        (late, lambda cut: text[cut - 1] == "\n"),
        (whole, lambda cut: cut in sentences),
        (late, lambda cut: text[cut - 1].isspace()),
        (good, lambda cut: text[cut - 1].isspace()),
    )
    for cuts, ends in pauses:
        for cut in reversed(cuts):
            if ends(cut):
                return cut
    return good[-1]
