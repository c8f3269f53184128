"""What a text has of Discord's markup that a cut must not break: code, spoilers and styles, quotes and headings.

Read as Discord's client reads it: three backticks open a block anywhere in a line, and the next three close it; a
shorter run opens inline code that a run of the same length closes. Outside code, `||`, `**`, `__`, `~~`, `*` and `_` go
from a sign to the next like it, over lines too; a sign without its like is shown as it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = "```"
CLOSING = f"\n{FENCE}"
SPOILER = "||"

_LANGUAGE = re.compile(r"[a-z0-9_+\-.#]{1,20}\n", re.IGNORECASE)
_RUN = re.compile(r"`+")
_MARK = re.compile(r"\\[^0-9A-Za-z\s]|`+")
_SIGN = re.compile(r"\\[^0-9A-Za-z\s]|\|\||\*+|_+|~~")
_SIGNS = frozenset({SPOILER, "~~", "*", "**", "***", "_", "__", "___"})
_QUOTE = re.compile(r"^>>> ", re.MULTILINE)
_REPEATED = re.compile(r"(?:> )?(?:#{1,3} |-# )?")  # what a line begins with, and its rest has to begin with again
_LEAD = re.compile(r"(?:> )?(?:#{1,3} |-# |[-*] |\d{1,3}\. )?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Styled or hidden text from `start` to `end` with its signs (`mark`, at both ends). `outer` is the span around it.

    What is neither sign nor white space begins at `first` and ends before `last`.
    """

    start: int
    end: int
    mark: str
    first: int
    last: int
    outer: Span | None


def spans(text: str, code: Sequence[Code]) -> list[Span]:
    """Every span outside code, by where it starts."""
    found: list[Span] = []
    _pair(text, _signs(text, code), None, found)
    return found


def cover_open_spoiler(text: str) -> str:
    """A text whose end is still to come, so that a spoiler that is open in it hides what there is of it already."""
    code = list(codes(text))
    paired = {place for span in spans(text, code) for place in (span.start, span.end - len(span.mark))}
    opened = [start for start, sign in _signs(text, code) if sign == SPOILER and start not in paired]
    if not opened:
        return text
    if not text[opened[-1] + len(SPOILER) :].strip():
        return text[: opened[-1]]
    return text + (CLOSING if code and not code[-1].closed else "") + SPOILER


def lead(text: str, start: int, code: Sequence[Code]) -> tuple[str, int]:
    """What the line begins with that is cut or begins at `start` (a quote, a heading), for the part that begins there;
    and where the part's own text starts."""
    if around(code, start) is not None:
        return "", start
    line = text.rfind("\n", 0, start) + 1
    if line == start:
        found = _LEAD.match(text, start)
        return (found[0], found.end()) if found else ("", start)
    found = _REPEATED.match(text, line)
    return (found[0] if found and found.end() <= start else "", start)


def find_quote(text: str, code: Sequence[Code]) -> int | None:
    """Where a quote begins that lasts to the end of the message."""
    return next((match.start() for match in _QUOTE.finditer(text) if around(code, match.start()) is None), None)


def codes(text: str) -> Iterator[Code]:
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


def _block(text: str, start: int) -> Code | None:
    """The closed block whose first fence stands at `start`."""
    language = _LANGUAGE.match(text, start + 3)
    for inner in ([language.end()] if language else []) + [start + 3]:
        first = inner
        while text.startswith("\n", first):
            first += 1
        end = text.find(FENCE, first + 1)
        if end >= 0:
            named = language[0][:-1] if language and inner == language.end() else ""
            return Code(start=start, inner=inner, inner_end=end, end=end + 3, block=True, language=named)
    return None


def _open_block(text: str, start: int) -> Code | None:
    """The block that opens at `start` and never closes; three backticks amid a line are only a block with a newline."""
    language = _LANGUAGE.match(text, start + 3)
    if language is None and not text.startswith("\n", start + 3) and start > 0 and text[start - 1] != "\n":
        return None
    inner = language.end() if language else start + 3
    return Code(
        start=start, inner=inner, inner_end=len(text), end=len(text), block=True, closed=False,
        language=language[0][:-1] if language else "",
    )  # fmt: skip


def _inline(start: int, length: int, runs: dict[int, list[int]]) -> Code | None:
    """The inline code that the run of `length` backticks at `start` opens: the longest run that finds its like."""
    for wanted in sorted((size for size in runs if size <= length), reverse=True):
        places = runs[wanted]
        after = bisect_right(places, start)
        if after < len(places):
            end = places[after]
            return Code(start=start, inner=start + wanted, inner_end=end, end=end + wanted, block=False)
    return None


def around(code: Sequence[Code], position: int) -> Code | None:
    """The code that a cut at `position` would cut apart."""
    index = bisect_right(code, position, key=lambda one: one.start) - 1
    if index < 0 or not code[index].start < position < code[index].end:
        return None
    return code[index]


def _signs(text: str, code: Sequence[Code]) -> list[tuple[int, str]]:
    """The signs outside code that may open or close a span, with their places."""
    found = []
    for match in _SIGN.finditer(text):
        index = bisect_right(code, match.start(), key=lambda one: one.start) - 1
        if match[0] in _SIGNS and not (index >= 0 and match.start() < code[index].end):
            found.append((match.start(), match[0]))
    return found


def _pair(text: str, signs: list[tuple[int, str]], outer: Span | None, found: list[Span]) -> None:
    """Adds the spans that the signs make, each before those inside it."""
    alone: set[str] = set()  # has no like any more
    position = 0
    while position < len(signs):
        start, sign = signs[position]
        position += 1
        if sign in alone or not _opens(text, start, sign):
            continue
        closing = _closing(text, signs, position)
        if closing is None:
            alone.add(sign)
            continue
        inner = text[start + len(sign) : signs[closing][0]]
        first = start + len(sign) + len(inner) - len(inner.lstrip())
        last = start + len(sign) + len(inner.rstrip())
        end = signs[closing][0] + len(sign)
        span = Span(start=start, end=end, mark=sign, first=first, last=last, outer=outer)
        found.append(span)
        _pair(text, signs[position:closing], span, found)
        position = closing + 1


def _closing(text: str, signs: list[tuple[int, str]], after: int) -> int | None:
    """Which of the signs from `after` on closes the one before it."""
    start, sign = signs[after - 1]
    for index in range(after, len(signs)):
        place, other = signs[index]
        if other == sign and _closes(text, place, sign) and place > start + len(sign):
            return index
    return None


def _opens(text: str, start: int, sign: str) -> bool:
    after = text[start + len(sign) : start + len(sign) + 1]
    if sign == "_":
        return not text[max(0, start - 1) : start].isalnum() and not after.isspace()
    return sign != "*" or not after.isspace()


def _closes(text: str, start: int, sign: str) -> bool:
    if sign == "_":
        return not text[start + 1 : start + 2].isalnum()
    return sign != "*" or not text[start - 1].isspace()
