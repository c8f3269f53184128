"""Makes a reply fit for Discord: nothing in it pings, disguises a link or invites, and no part is too long.

    parts = split(neutralise(text))

Discord counts a message's length in code points, as `len` does (a developer of Discord in discord-api-docs issue 1315).
`talkalike.chat.markup` finds the markup of a text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

import regex

from talkalike.chat.markup import CLOSING, FENCE, SPOILER, Code, Span, around, codes, find_quote, lead, spans

LIMIT = 2000  # code points in one message
MAX_PARTS = 5  # a reply with more parts than this is a file

INLINE_LENGTH = 500  # longer inline code could be cut apart, and is therefore not trusted to be code
ZERO_WIDTH = "\u200b"

_MENTION = re.compile(r"@(?=everyone|here)|<@(?=[!&]?[0-9])", re.IGNORECASE)
_INVITE = re.compile(
    r"(discord(?:app)?|dsc)(?:[.\u3002\uff0e\uff61]|%2e)(?=(?:gg|com/+invite)(?![a-z]))", re.IGNORECASE
)
_SENTENCE = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|[。！？]")
_CLUSTER = regex.compile(r"\X")


def split(text: str, limit: int = LIMIT) -> list[str]:
    """The text in parts of at most `limit` code points, cut where a reader pauses; none of them is blank.

    A code block that is cut, or was never closed, is closed at the part's end and opened again, with its language, in
    the next one; so are spoilers and styles, and what a quoted line or a heading begins with is repeated. A grapheme
    cluster (an emoji, a letter with its accents) stays whole unless it does not fit into a part by itself. Apart from
    what is repeated, white space beside it, and parts of nothing but white space, the parts joined are `text`.
    """
    return list(parts(text, limit))


def parts(text: str, limit: int = LIMIT) -> Iterator[str]:
    """As `split`, one part at a time, for those who need only the first few."""
    if limit < 60:
        raise ValueError(f"a limit of {limit} leaves no room for code fences")
    layout = _Layout(text, limit)
    position = 0
    while position < len(text):
        end = _next_cut(layout, position, limit)
        shown = _render_part(layout, position, end)
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
    for code in codes(text):
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


class _Layout:
    """A text's markup, and what a part of it needs at its two ends so that it reads there as it does in the whole.

    What the line and the styles need has a sixth of a part at each end; beyond that only spoilers are kept.
    """

    def __init__(self, text: str, limit: int) -> None:
        self.text = text
        self.codes = list(codes(text))
        self._spans = spans(text, self.codes)
        self._starts = [span.start for span in self._spans]
        self._quote_start = find_quote(text, self.codes)
        self._room = limit // 6

    def around(self, cut: int) -> Code | None:
        """The code that a cut there would cut apart."""
        return around(self.codes, cut)

    def styles(self, cut: int) -> list[Span]:
        """The styled and hidden texts that a cut there would cut apart, the outermost first."""
        index = bisect_left(self._starts, cut) - 1
        span = self._spans[index] if index >= 0 else None
        found = []
        while span is not None:
            if span.end > cut:
                found.append(span)
            span = span.outer
        return found[::-1]

    def marks(self, cut: int) -> list[str]:
        """What closes at the cut, and opens again behind it."""
        marks = [span.mark for span in self.styles(cut)]
        while sum(map(len, marks)) > self._room and set(marks) != {SPOILER}:
            marks.remove(next(mark for mark in reversed(marks) if mark != SPOILER))
        return marks

    def opening(self, start: int) -> tuple[str, int]:
        """What the part that begins at `start` begins with, code aside; and from where its text follows."""
        marks = "".join(self.marks(start))
        line, begin = lead(self.text, start, self.codes)
        if begin > start and not marks:
            line, begin = "", start  # it stands in the part's own text
        if self._quote_start is not None and start > self._quote_start:
            line = f">>> {line}"
        return (line + marks if len(line + marks) <= self._room else marks), begin

    def closing(self, cut: int) -> str:
        """What the part that ends at `cut` ends with, code aside."""
        return "".join(reversed(self.marks(cut)))

    def closing_room(self, cut: int) -> int:
        """How long what closes at the cut is, at most."""
        code = self.around(cut)
        if code is None and cut == len(self.text) and self.codes and not self.codes[-1].closed:
            code = self.codes[-1]
        return (len(CLOSING) if code is not None and code.block else 0) + len(self.closing(cut))

    def clean(self, cut: int) -> bool:
        """Whether a cut here leaves backticks, fences, inline code and signs whole, and something on either side."""
        text = self.text
        if 0 < cut < len(text) and (text[cut - 1] == "`" == text[cut] or text[cut - 1] == "\\"):
            return False
        code = self.around(cut)
        if code is not None and not (code.block and code.inner <= cut <= code.inner_end):
            return False
        return all(span.first < cut < span.last for span in self.styles(cut))

    def whole(self, cut: int) -> bool:
        """Whether nothing is cut apart here."""
        return self.around(cut) is None and not self.styles(cut)


def _render_part(layout: _Layout, start: int, end: int) -> str:
    """The part from `start` to `end` with what it needs at its ends; empty where it has nothing to show."""
    opening, begin = layout.opening(start)
    closing = layout.closing(end)
    body = _add_fences(layout, begin, end)
    body = body.lstrip() if opening else body
    body = body.rstrip() if closing else body
    return opening + body + closing if body.strip() else ""


def _add_fences(layout: _Layout, start: int, end: int) -> str:
    """The text from `start` to `end` with the fences it needs; a block with nothing here is not shown here."""
    text, before = layout.text, ""
    into = layout.around(start)
    if into is not None and into.block:
        if into.closed and into.end <= end and not text[start : into.inner_end].strip():
            start = into.end
        else:
            before = into.opening
    out = layout.around(end)
    if out is None and layout.codes and not layout.codes[-1].closed and end == len(text) > layout.codes[-1].start:
        out = layout.codes[-1]
    if out is None or not out.block:
        return before + text[start:end]
    if not text[max(start, out.inner) : end].strip():
        return before + text[start : out.start] if start <= out.start else ""
    return before + text[start:end] + (FENCE if text[end - 1] == "\n" else CLOSING)


def _next_cut(layout: _Layout, start: int, limit: int) -> int:
    """Where the part that begins at `start` ends."""
    length = len(layout.text)
    if length - start <= limit and len(_render_part(layout, start, length)) <= limit:
        return length
    into = layout.around(start)
    room = limit - len(layout.opening(start)[0]) - (len(into.opening) if into is not None and into.block else 0)
    farthest = min(start + room, length)
    fits = [
        cut for cut in _cluster_ends(layout.text, start, farthest) if cut - start <= room - layout.closing_room(cut)
    ]
    good = [cut for cut in fits if layout.clean(cut)]
    if not good:
        return fits[-1] if fits else max(start + 1, farthest - layout.closing_room(farthest))
    return _pause(layout, start, good)


def _cluster_ends(text: str, start: int, farthest: int) -> Iterator[int]:
    for match in _CLUSTER.finditer(text, start):
        if match.end() > farthest:
            return
        yield match.end()


def _pause(layout: _Layout, start: int, good: list[int]) -> int:
    """The best of the `good` cuts: the last end of a paragraph, line, sentence or word in the part's second half."""
    text = layout.text
    half = start + (good[-1] - start) // 2
    late = [cut for cut in good if cut > half]
    whole = [cut for cut in late if layout.whole(cut)]
    sentences = {match.end() for match in _SENTENCE.finditer(text, start, good[-1] + 1)}
    pauses: tuple[tuple[list[int], Callable[[int], bool]], ...] = (
        (whole, lambda cut: text.startswith("\n\n", cut - 2)),
        (whole, lambda cut: text[cut - 1] == "\n" and not text[cut : cut + 1].isspace()),  # no item of a sub-list
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
