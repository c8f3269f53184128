"""What WhatsApp writes itself, in every language we know: media that was left out, deleted and edited messages, calls.

The words are in `whatsapp_words.toml`. On an iPhone such texts begin with a mark of direction (U+200E) that nobody
types, so there they are known in any language.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from talkalike.chats.importers.attachments import kind_of_file, kind_of_message
from talkalike.chats.values import Attachment, AttachmentKind, MessageKind

MARK_SIGNS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
MARK = "\u200e"
_TABLE = Path(__file__).with_name("whatsapp_words.toml")
_LONGEST = 160
_KINDS = {
    "media": AttachmentKind.FILE,
    "photo": AttachmentKind.PHOTO,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "gif": AttachmentKind.GIF,
    "sticker": AttachmentKind.STICKER,
    "file": AttachmentKind.FILE,
}
_END = " .!"
_PLACE = re.compile(r"^[^\W\d_]{3,14}: (https://(?:maps\.google\.com|foursquare\.com)/\S+)$")
_ATTACHED_FIRST = re.compile(r"^<[^<>:]{3,24}\s?: ?(?P<name>[^<>/\\]+\.\w{2,5})>$")
_MARKED_EDIT = re.compile(r" ?\u200e<[^<>\n]{5,80}>$")
_COPY = re.compile(r" ?\(\d+\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a message's text turned out to be."""

    kind: MessageKind
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    unsent: bool = False
    edited: bool = False


@cache
def _table() -> dict[str, list[str]]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


@cache
def _meanings() -> dict[str, str]:
    """Each whole text without {x}, folded, and the list it stands in."""
    lists = (*_KINDS, "deleted", "call")
    return {_fold(text): name for name in lists for text in _table()[name] if "{x}" not in text}


@cache
def _beginnings(name: str) -> tuple[str, ...]:
    return tuple(_fold(text.partition("{x}")[0]) for text in _table()[name] if "{x}" in text)


@cache
def _attached_last() -> re.Pattern[str]:
    words = "|".join(map(re.escape, _table()["attached"]))
    return re.compile(rf"^(?P<name>[^/\\\n]+\.\w{{2,5}}) \((?:{words})\)$", re.IGNORECASE)


@cache
def half_days() -> dict[str, bool]:
    """The words for the halves of a day, folded and without blanks: whether it is the second half."""
    table = _table()
    halves = {word.replace(" ", ""): False for word in table["am"]}
    halves.update({word.replace(" ", ""): True for word in table["pm"]})
    return halves


def system_words() -> list[str]:
    """By which a line is known for the platform's own although it has a colon."""
    return _table()["system"]


def title_of(name: str) -> str:
    """The chat's name in the name of a file, a folder or a zip; "" where that is not one of WhatsApp's."""
    stem = _COPY.sub("", name.removesuffix(".txt").strip())
    for beginning in _table()["names"]:
        for form in (beginning, beginning.replace(" ", "_")):
            if stem.casefold().startswith(form.casefold()):
                return stem[len(form) :].strip()
    return ""


def meaning_of(body: str, *, marks_tell: bool) -> Body:
    """What a message is. `marks_tell`: a mark of direction at its beginning says that the platform wrote it."""
    marked = marks_tell and body.startswith(MARK)
    first, _, rest = body.partition("\n")
    plain = first.strip(MARK_SIGNS + " ")
    if len(plain) <= _LONGEST:
        if not rest and (found := _whole(plain)):
            return found
        name = _ATTACHED_FIRST.match(plain) if marked else _attached_last().match(plain)
        if name:
            attachments = (Attachment(kind=kind_of_file(name["name"]), uri=name["name"].strip(MARK_SIGNS)),)
            return Body(kind=kind_of_message(rest, attachments), text=rest, attachments=attachments)
        if rest and plain.upper() in _table()["poll"]:
            return Body(kind=MessageKind.POLL, text=body)
    if marked:
        return Body(kind=MessageKind.SYSTEM, text=body)
    text = _without_edit(body)
    return Body(kind=MessageKind.TEXT, text=text, edited=text is not body)


def _whole(plain: str) -> Body | None:
    folded = _fold(plain)
    meaning = _meanings().get(folded)
    if meaning in _KINDS:
        attachments = (Attachment(kind=_KINDS[meaning], uri=""),)
        return Body(kind=kind_of_message("", attachments), attachments=attachments)
    if meaning == "deleted" or folded.startswith(_beginnings("deleted")):
        return Body(kind=MessageKind.TEXT, unsent=True)
    if meaning == "call":
        return Body(kind=MessageKind.CALL, text=plain)
    if found := _PLACE.match(plain):
        link = Attachment(kind=AttachmentKind.LINK, uri=found[1])
        return Body(kind=MessageKind.SHARE, attachments=(link,))
    return None


def _without_edit(body: str) -> str:
    if not body.endswith(">"):
        return body
    if found := _MARKED_EDIT.search(body):
        return body[: found.start()]
    for sentence in _table()["edited"]:
        if body.endswith(sentence):
            return body.removesuffix(sentence).rstrip(MARK_SIGNS + " ")
    return body


def _fold(text: str) -> str:
    return text.strip(MARK_SIGNS + " ").rstrip(_END).casefold()
