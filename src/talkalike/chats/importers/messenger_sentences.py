"""Tells the sentences that Messenger writes itself from a person's words.

The exports name no message type any more, so wording is what tells "Anna left the group." from Anna's words. The
sentences are in `messenger_sentences.toml`; a language that is not there is found by structure (`platform_lines`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from talkalike.chats.importers.sentence_table import NAME, WHO, Beginnings, SentenceTable
from talkalike.chats.values import MessageKind

_TABLE = Path(__file__).with_name("messenger_sentences.toml")
_LONGEST = 400
_FEW = 4
_BEGINNING = 16  # characters looked at first, blanks counted
_HEAD = 5  # the first of these, by which most texts are known to be no sentence
_SHORT = 3  # letters of a name that tell of most texts that they do not begin with it
_KINDS = {
    "media": MessageKind.MEDIA,
    "call": MessageKind.CALL,
    "poll": MessageKind.POLL,
    "system": MessageKind.SYSTEM,
}
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "(": "", ")": ""})
_END = " .!。…"
# What may not stand right after or before a name: letters of alphabets that put blanks between words.
_LETTER = r"[^\W\d_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"


def platform_sentence(text: str, sender: str, others: Iterable[str] = ()) -> MessageKind | None:
    """The kind of message if Messenger wrote this text itself (in a language we know), else None.

    `others` are the other people of the chat. MEDIA stands for "X sent an attachment.": the text is no information
    beside the attachment.
    """
    if len(text) > _LONGEST:
        return None
    others = tuple(others)
    if not _may_begin(text[:_HEAD], sender, others):
        return None
    names, beginnings = _names_of(sender, others)
    start = " ".join(text[:_BEGINNING].split())
    if not beginnings.fit(start.lower()) and not _table().begins(start):
        return None
    plain = " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())
    plain = plain.translate(_QUOTES).rstrip(_END)
    for marked in _mark_names(plain, sender, names):
        kind = _table().kind_of(marked)
        if kind:
            return None if _may_be_typed(marked) else _KINDS[kind]
    return None


def _mark_names(plain: str, sender: str, names: re.Pattern[str] | None) -> Iterable[str]:
    """The text with marks for names; a name can be a word, too ("An sent an attachment"), so not all may be one."""
    if names is None or not plain:
        return [plain] if plain else []
    own = {form.lower() for form in forms_of(sender)}

    def mark(found: re.Match[str]) -> str:
        return WHO if found[0].lower() in own else NAME

    return dict.fromkeys((names.sub(mark, plain), names.sub(mark, plain, count=1), plain))


def _may_be_typed(marked: str) -> bool:
    """Whether people may write this, too: a few words in small letters, without a name or an emoji ("missed call")."""
    few = marked.count(" ") < _FEW and not any(name in marked for name in (WHO, NAME))
    return few and marked[0].islower() and not any(unicodedata.category(char) == "So" for char in marked)


@cache
def _table() -> SentenceTable:
    return SentenceTable(_TABLE)


@lru_cache(maxsize=65536)
def _may_begin(head: str, sender: str, others: tuple[str, ...]) -> bool:
    """Whether a text may be a sentence by its first characters, of which a chat knows only so many."""
    start = " ".join(head.split()) + (" " if head[-1:].isspace() else "")
    if len(start) < len(head):  # several blanks count for one, so more has to be looked at
        return True
    return _names_of(sender, others)[1].fit(start.lower()) or _table().begins(start)


@lru_cache(maxsize=4096)
def _names_of(sender: str, others: tuple[str, ...]) -> tuple[re.Pattern[str] | None, Beginnings]:
    """A pattern for the people's names as the platform writes them, and how these begin."""
    known = frozenset(form for name in (sender, *others) for form in forms_of(name))
    return names_pattern(known, re.IGNORECASE), Beginnings(name[:_SHORT].lower() for name in known)


SENDER, OTHER = "{sender}", "{name}"  # places in a form of a sentence


def sentence_form(text: str, sender: str, others: Iterable[str]) -> str:
    """The sentence in small letters, with places for the people's names."""
    names = names_pattern(frozenset(form for name in (sender, *others) for form in forms_of(name)))
    own = forms_of(sender)
    named = names.sub(lambda found: SENDER if found[0] in own else OTHER, text) if names else text
    return " ".join(named.split()).rstrip(_END).lower()


@lru_cache(maxsize=4096)
def names_pattern(names: frozenset[str], flags: int = 0) -> re.Pattern[str] | None:
    """Finds any of these names in a text, the longest first, as words of their own; None for no names."""
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return None
    return re.compile(rf"(?<!{_LETTER})(?:{'|'.join(map(re.escape, longest_first))})(?!{_LETTER})", flags)


@lru_cache(maxsize=65536)
def forms_of(name: str) -> frozenset[str]:
    """The ways in which the platform calls somebody: by the full name, or the first one or two, or the last word."""
    words = unicodedata.normalize("NFC", name).translate(_QUOTES).split()
    if not words:
        return frozenset()
    return frozenset({" ".join(words), words[0], " ".join(words[:2]), words[-1]})
