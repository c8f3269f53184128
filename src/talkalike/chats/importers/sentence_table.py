"""Reads a table of sentences with places in them, and finds the sentence that a text is.

How the table writes a sentence is explained at its top. Sentences are sorted by how they begin, so that a text is
compared with the few it can be.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WHO, NAME = "\0", "\1"  # what stands in a text for its sender's name, and for another person's
_HEAD = 5  # characters by which sentences are sorted
_NAMES = re.compile(f"[{WHO}{NAME}]")
_TOKEN = re.compile(r"\{(\w+)\}|([\[\](|)])|([^\[\](|){}]+)")
# A name is somebody's of the chat, or a few words of which none begins with a small letter.
_SMALL = "".join(char for char in map(chr, range(0x530)) if char.islower())
_CAPITAL_WORDS = rf"(?:(?-i:(?![{_SMALL}]))[^\s,]+ ?){{1,5}}"
_NUMBER = r"\d[\d.,]*"
_CURRENCY = "[$€£¥₹฿₫₱]"
_PLACES = {
    "name": f"(?:{WHO}|{NAME}|{_CAPITAL_WORDS})",
    "emoji": r"[^\w\s.,!?\"'/]+(?: [^\w\s.,!?\"'/]+)?",
    "n": _NUMBER,
    "money": f"(?:{_CURRENCY}{_NUMBER}|{_NUMBER} ?(?:{_CURRENCY}|[a-z]{{3}}))",
    "any": ".*?",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A place for a name, an emoji and so on."""

    kind: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """A place in a sentence where one of several sequences stands."""

    options: tuple[tuple[_Node, ...], ...]


_Node = str | _Place | _Choice


class Beginnings:
    """Some beginnings of texts, to find quickly whether a text has one of them."""

    def __init__(self, beginnings: Iterable[str]) -> None:
        found: dict[str, list[str]] = defaultdict(list)
        for beginning in beginnings:
            if beginning:
                found[beginning[0]].append(beginning)
        self._by_first = {first: tuple(same) for first, same in found.items()}

    def fit(self, text: str) -> bool:
        """Whether the text begins with one of them."""
        return text.startswith(self._by_first.get(text[:1], "\0"))


class SentenceTable:
    """The sentences of a table by how they begin."""

    def __init__(self, path: Path) -> None:
        self._by_head: dict[str, list[tuple[str, str]]] = defaultdict(list)
        beginnings: set[str] = set()  # of those that do not begin with a name
        for language in tomllib.loads(path.read_text(encoding="utf-8")).values():
            you = [word.lower() for word in language.pop("you")]
            titles = [title.lower() for title in language.pop("titles", ())]
            you += [f"{title} {WHO}" for title in titles]
            for kind, sentences in language.items():
                for sentence in sentences:
                    for head in self._add(_parse(sentence), kind, you):
                        beginnings.add(_NAMES.split(head)[0])
        self._beginnings = Beginnings(beginnings)

    def begins(self, text: str) -> bool:
        """Whether a text may be a sentence of the table, by how it begins; names in it count for nothing."""
        return self._beginnings.fit(text[:_HEAD].lower())

    def kind_of(self, text: str) -> str | None:
        """The kind of sentence that a text is; names in it are `WHO` and `NAME`, its letters are as written."""
        folded = text.lower()
        found: list[tuple[str, str]] = []
        for length in range(1, _HEAD + 1):
            found += self._by_head.get(folded[:length], ())
        for pattern, kind in found:
            if _compile(pattern).fullmatch(text):
                return kind
        return None

    def _add(self, nodes: Sequence[_Node], kind: str, you: Sequence[str]) -> set[str]:
        """Takes up a sentence and returns how it can begin."""
        pattern = _pattern(nodes, you)
        heads = set(_heads(nodes, you))
        if "" in heads:
            raise ValueError("a sentence must begin with words or a name")
        for head in heads:
            self._by_head[head].append((pattern, kind))
        return heads


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    """Most sentences are of languages that a chat does not speak: each is made ready once it may be met."""
    return re.compile(pattern, re.IGNORECASE)


def _parse(sentence: str) -> tuple[_Node, ...]:
    tokens = list(_TOKEN.finditer(sentence.lower()))
    if "".join(token[0] for token in tokens) != sentence.lower():
        raise ValueError(f"not a sentence of the table: {sentence}")
    options, rest = _options(tokens, closing="")
    if rest or len(options) != 1:
        raise ValueError(f"brackets do not match: {sentence}")
    return options[0]


def _options(tokens: list[re.Match[str]], closing: str) -> tuple[list[tuple[_Node, ...]], list[re.Match[str]]]:
    """The sequences up to a closing bracket, and what is left after it."""
    options: list[list[_Node]] = [[]]
    while tokens:
        place, sign, words = tokens[0].groups()
        tokens = tokens[1:]
        if place:
            options[-1].append(_Place(place))
        elif words:
            options[-1].append(words)
        elif sign == "|":
            options.append([])
        elif sign == closing:
            return [tuple(option) for option in options], tokens
        elif sign in ("(", "["):
            inner, tokens = _options(tokens, ")" if sign == "(" else "]")
            options[-1].append(_Choice(tuple(inner) if sign == "(" else (*inner, ())))
        else:
            raise ValueError("a bracket is closed that was not opened")
    if closing:
        raise ValueError(f"{closing} is missing")
    return [tuple(option) for option in options], tokens


def _pattern(nodes: Sequence[_Node], you: Sequence[str]) -> str:
    """The regular expression of a sequence."""
    parts: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(re.escape(node))
        elif isinstance(node, _Choice):
            parts.append(f"(?:{'|'.join(_pattern(option, you) for option in node.options)})")
        elif node.kind == "who":
            parts.append(f"(?:{'|'.join((WHO, *map(re.escape, you)))})")
        else:
            parts.append(_PLACES[node.kind])
    return "".join(parts)


def _heads(nodes: Sequence[_Node], you: Sequence[str], head: str = "") -> Iterator[str]:
    """Every way in which a sentence can begin, as far as sentences are sorted by it."""
    if len(head) >= _HEAD or not nodes:
        yield head[:_HEAD]
        return
    first, rest = nodes[0], nodes[1:]
    if isinstance(first, str):
        yield from _heads(rest, you, head + first)
    elif isinstance(first, _Choice):
        for option in first.options:
            yield from _heads((*option, *rest), you, head)
    elif first.kind == "who":
        for word in (WHO, *you):
            yield from _heads(rest, you, head + word)
    elif first.kind == "name" and not head:
        for word in (WHO, NAME):
            yield from _heads(rest, you, head + word)
    else:
        yield head
