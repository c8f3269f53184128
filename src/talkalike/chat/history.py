"""A history that somebody else keeps (Discord does) as items for the model: each message once, with its reason.

Nothing here knows Discord's library. Whatever people write stays inside their own turn; their names cannot be mistaken
for the double's, for each other's, or for a role that a model obeys.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from talkalike.chat.context import ContextItem, Seen
from talkalike.chat.permissions import Decision
from talkalike.chat.shared_pictures import SharedPicture, fit_words, picture_line
from talkalike.examples.fitting import CountTokens
from talkalike.examples.picture_words import neutral
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn, speaker_name

PERSONA = "persona"  # the id of the item that holds the persona
SYSTEM = "system"
ROLES = (SYSTEM, "assistant", "user", "tool", "developer")  # speakers that instructed models take orders from
THREAD = "thread"  # the speaker of a thread's title: nobody's name, and no role
BEFORE_RESET = "before the last reset"
NEWER = "newer than the message being answered"
LONGEST_NAME = 64
LONGEST_QUOTE = 300
JOINER = "\u200d"  # holds emoji together; no other invisible sign is needed in a name
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by their category, but nothing is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment. `text`: what is inlined, capped already; `note`: what was cut, or why it could not be read.

    `picture`: what is known of it where it is one.
    """

    name: str
    content_type: str
    size: int
    text: str = ""
    note: str = ""
    picture: SharedPicture | None = None
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryMessage:
    """A message as the service keeps it, with mentions, channels and links resolved into words.

    `seen` is the decision whether its author is shown to the model. `quoted`: what it replies to, where that message
    is not in the history. `marker`: it was left by a reset. `system`: the platform wrote it. `test`: a test posted it.
    `alias`: the name an author with several of them said it under. `notes`: what of it could not be read, in words.
    `heading`: no message, but a line about the place, such as a
    thread's title: it comes first, under its own name, and outlives resets; its id is below 0.
    """

    id: int
    author_id: int
    author: str
    text: str
    at: datetime
    seen: Decision
    double: bool = False
    reply_to: int | None = None
    quoted: str = ""
    forwarded: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    marker: bool = False
    system: bool = False
    test: bool = False
    alias: str = ""
    notes: tuple[str, ...] = ()
    heading: bool = False

    @property
    def key(self) -> str:
        """The message id as the id of its item."""
        return self.author if self.heading else str(self.id)

    @property
    def speaker_id(self) -> int:
        """Who speaks, as `speaker_names` tells people apart: each alias by itself, and younger than every account."""
        if not self.alias:
            return self.author_id
        digest = hashlib.sha256(f"{self.author_id} {self.alias}".encode()).digest()
        return (1 << 64) + int.from_bytes(digest[:8])


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Messages that people took out by hand, and those they pinned."""

    dropped: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()


def is_side_talk(text: str, sign: str) -> bool:
    """True for a message that begins with the sign and then says something: `!like this`, but not `!!!`."""
    if not sign or not text.startswith(sign):
        return False
    return text[len(sign) :].lstrip()[:1].isalnum()


def items(
    history: Sequence[HistoryMessage],
    *,
    marks: Marks,
    side_talk: str = "!",
    persona: str = "",
    trigger: int | None = None,
    double: str = "",
) -> list[ContextItem]:
    """Every message of `history` (oldest first) as an item, with the reason why the model may not see it, if any.

    `trigger` is the message to be answered: what came later is out. `double` is the name the double speaks under; empty
    leaves it the name its messages have. A `persona` comes first, as a pinned turn of the speaker "system", then the
    headings, pinned too. The text of an author who is not to be seen is not handed on at all.
    """
    names = speaker_names(history, double=double)
    reasons = _reasons(history, marks=marks, side_talk=side_talk, trigger=trigger)
    # What a reply to it may quote: nothing, where the model sees it anyway or somebody is protected.
    quotable = {
        said.id: f"{names[said.speaker_id, said.double]}: {said.text}" if reasons[said.id] == BEFORE_RESET else ""
        for said in history
        if not said.heading
    }
    persona = neutral(persona.strip())
    found = [ContextItem(id=PERSONA, turn=Turn(SYSTEM, persona), pinned=True)] if persona else []
    for said in history:
        reason = reasons[said.id]
        text = _text(said, quotable) if said.double or said.seen.allowed else ""
        found.append(
            ContextItem(
                id=said.key,
                turn=Turn(said.author if said.heading else names[said.speaker_id, said.double], text),
                barred=reason if reason or text.strip() else "empty",
                pinned=said.heading or said.id in marks.pinned,
            )
        )
    return found


def with_short_pictures(history: Sequence[HistoryMessage], count_tokens: CountTokens) -> list[HistoryMessage]:
    """The history with so many words of each picture as its line may cost for this model."""
    return [
        replace(said, files=tuple(_with_short_picture(file, count_tokens) for file in said.files))
        if any(file.picture for file in said.files)
        else said
        for said in history
    ]


def speaker_names(history: Sequence[HistoryMessage], *, double: str = "") -> Mapping[tuple[int, bool], str]:
    """The name each author speaks under, by (speaker id, whether it is the double).

    Two authors who look the same are told apart by a number; the one with the older account keeps the plain name.
    """
    names: dict[tuple[int, bool], str] = {}
    taken = {_look(role) for role in (*ROLES, THREAD)}
    history = [said for said in history if not said.heading]
    for said in reversed(history):  # whoever renamed themselves is called by their newest name
        if said.double and (said.speaker_id, True) not in names:
            names[said.speaker_id, True] = speaker_name(neutral(_clean(double or said.author)))
    taken |= {_look(name) for name in names.values()} | ({_look(double)} if double else set())
    newest = {said.speaker_id: said.author for said in history if not said.double}
    for author_id, author in sorted(newest.items()):
        plain = name = speaker_name(neutral(_clean(author)[:LONGEST_NAME]))
        number = 1
        while _look(name) in taken:
            number += 1
            name = f"{plain} ({number})"
        taken.add(_look(name))
        names[author_id, False] = name
    return names


class ChannelTalk:
    """One reply's view of a channel, for the pipeline. What the double says is kept by the service, not here."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the protocol's word
        double: str,
        items: Sequence[ContextItem],
        lock: asyncio.Lock | None = None,
        seen: Seen | None = None,
    ) -> None:
        self.id = id
        self.double = double
        self.lock = lock or asyncio.Lock()
        self.seen = seen  # of the last reply in this channel, so that the prompt begins at the same place again
        self._items = list(items)
        self._number = 0

    @property
    def prompt_start(self) -> str | None:
        """The id of the oldest unpinned message of the last prompt."""
        return self.seen.start if self.seen else None

    def items(self) -> list[ContextItem]:
        """The history as it was handed in."""
        return list(self._items)

    def say(self, speaker: str, text: str) -> str:
        """Counts the messages of this reply; the number is the id, from 1."""
        del speaker, text
        self._number += 1
        return str(self._number)


def _reasons(history: Sequence[HistoryMessage], *, marks: Marks, side_talk: str, trigger: int | None) -> dict[int, str]:
    """Why each message is out; empty where it is in. The reason that protects somebody comes before all others."""
    begin = max(
        (position for position, said in enumerate(history) if said.marker and (trigger is None or said.id <= trigger)),
        default=0,
    )
    reasons: dict[int, str] = {}
    for position, said in enumerate(history):
        if not said.double and not said.seen.allowed:
            reason = said.seen.explanation or "its author may not be read"
        elif said.id in marks.dropped:
            reason = "dropped by hand"
        elif said.marker:
            reason = "a reset marker"
        elif said.system:
            reason = "a system message"
        elif said.test:
            reason = "posted by a test"
        elif not said.double and is_side_talk(said.text, side_talk):
            reason = f"side talk ({side_talk})"
        elif trigger is not None and said.id > trigger:
            reason = NEWER
        elif position < begin and not said.heading:
            reason = BEFORE_RESET
        else:
            reason = ""
        reasons[said.id] = reason
    return reasons


def _text(said: HistoryMessage, quotable: Mapping[int, str]) -> str:
    """One turn's text. The author's own words come last: what has to be cut is cut from the front."""
    quoted = said.quoted if said.reply_to is None else quotable.get(said.reply_to, said.quoted)
    parts = [f"> {_shorten(quoted)}"] if quoted.strip() else []
    parts += [f"Forwarded: {text.strip()}" for text in said.forwarded if text.strip()]
    pictures = [line for file in said.files if file.picture and (line := _picture(file.picture, file.name))]
    parts += [_file(file) for file in said.files if file.picture is None]
    parts += [f"[{note}]" for note in said.notes]
    if said.text.strip():
        parts.append(said.text)
    # All together, so that no two parts become a picture's line, or a reaction, where they meet.
    written = neutral(plain("\n".join(parts)))
    return "\n".join([*pictures, written] if written else pictures)


def _picture(picture: SharedPicture, name: str) -> str:
    return plain(picture_line(picture, name=neutral(_file_name(name))))


def _with_short_picture(file: File, count_tokens: CountTokens) -> File:
    return replace(file, picture=fit_words(file.picture, count_tokens)) if file.picture else file


def _file(file: File) -> str:
    name = _file_name(file.name)
    note = f" ({' '.join(file.note.split())})" if file.note.strip() else ""
    if not file.text:
        return f"[file: {name}]{note}"
    longest = max((len(run) for run in re.findall("`+", file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"[file: {name}]{note}\n{fence}\n{file.text.rstrip()}\n{fence}"


def _file_name(name: str) -> str:
    return " ".join(_clean(name).translate(str.maketrans("", "", "[]`")).split()) or "file"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1].rstrip() + "…"


@lru_cache(maxsize=2_000)
def _clean(name: str) -> str:
    """Without what nobody sees: controls, zero-width signs, blank letters, marks that turn the writing direction."""
    seen = [sign for sign in name if sign == JOINER or sign.isspace() or not _is_invisible(sign)]
    return "".join(seen) if any(sign != JOINER for sign in seen) else ""


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs") or sign in BLANK_LETTERS


@lru_cache(maxsize=2_000)
def _look(name: str) -> str:
    """What two names have in common that look the same: compatibility forms, case, spaces and invisible signs aside."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _clean(name)).casefold())
    return "".join(
        sign for sign in folded if not (sign.isspace() or _is_invisible(sign) or "\ufe00" <= sign <= "\ufe0f")
    )
