"""Finds the lines that the platform wrote in a language we have no table for, by what they stand beside.

Frequency alone tells nothing: people say "ok" more often than any platform says anything. A sentence is the
platform's when it has one form with different names or emoji in the same place, and

- its emoji and its author are those of a reaction to a message just before, or
- it stands beside the entries of calls and hardly anywhere else, or
- it names its own author, in many chats by many people, which people do not do in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pyarrow as pa

from talkalike.chats.importers.messenger_sentences import OTHER, SENDER, forms_of, names_pattern, platform_sentence
from talkalike.chats.platform_suspects import EMOJI, Suspect, suspects
from talkalike.chats.values import Chats, Conversation, Message, MessageKind, Platform

MIXED_IN = frozenset({Platform.MESSENGER, Platform.INSTAGRAM})
"""Platforms whose exports do not tell their own sentences from people's words."""

KNOWN = "is one of its known sentences"
_SENDER, _NAME, _EMOJI = SENDER, OTHER, "{emoji}"
_SLOT = re.compile(r"\{(?:sender|name|emoji)\}")
_EMOJI_RUN = re.compile(f"(?:[{EMOJI}][\u200d\ufe0f]*)+")
_LONGEST = 200  # characters; the platform's sentences are short


class ChatColumns(Chats, Protocol):
    """Chats whose messages can be read as columns too."""

    def batches(self, conversation_id: str) -> Iterable[pa.RecordBatch]:
        """A conversation's messages, oldest first, piece by piece."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformLine:
    """One sentence of the platform's, with places for names and emoji; how it is known, how often, and a sample."""

    sentence: str
    why: str
    count: int
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformLines:
    """What in an archive looks like the platform's own, most frequent first."""

    lines: tuple[PlatformLine, ...] = ()
    found: frozenset[str] = frozenset()  # the sentences that were found by structure

    @property
    def count(self) -> int:
        return sum(line.count for line in self.lines)

    def sift(self, chats: Chats, *, learn: bool) -> Sifted:
        """The same chats with these lines marked as the platform's, or (`learn`) as words like any other."""
        return Sifted(chats, self.found, learn=learn)


class Sifted:
    """Chats in which each message is of the kind that it is to be learned as."""

    def __init__(self, chats: Chats, found: frozenset[str], *, learn: bool) -> None:
        self._chats = chats
        self._by_id = {chat.id: chat for chat in chats.conversations()}
        self._found = found
        self._learn = learn

    def conversations(self) -> Sequence[Conversation]:
        return tuple(self._by_id.values())

    def messages(self, conversation_id: str) -> Iterator[Message]:
        read = self._chats.messages(conversation_id)
        if conversation_id.partition(":")[0] not in MIXED_IN or not (self._learn or self._found):
            yield from read
            return
        chat = self._by_id[conversation_id]
        shapes = _Shapes(chat)
        for message in read:
            if self._learn:
                yield replace(message, kind=MessageKind.TEXT) if _told_by_wording(message, chat) else message
            elif message.kind is MessageKind.TEXT and shapes.of(message) in self._found:
                yield replace(message, kind=MessageKind.SYSTEM)
            else:
                yield message


def find_platform_lines(chats: ChatColumns) -> PlatformLines:
    """Reads all chats of platforms whose own sentences stand among people's words."""
    mixed = [chat for chat in chats.conversations() if chat.platform in MIXED_IN]
    evidence: dict[str, _Evidence] = {}
    told: dict[str, _Evidence] = {}
    for chat in mixed:
        for line in _lines_of(chat, chats.batches(chat.id)):
            if line.message.kind is not MessageKind.TEXT:
                _count(told, line, chat)
            elif line.is_evidence:
                _count(evidence, line, chat)
    likely = {shape: _Evidence() for shape, seen in evidence.items() if seen.is_telling(shape)}
    if likely:  # what was said of each without evidence counts, too
        for chat in mixed:
            for line in _lines_of(chat, chats.batches(chat.id), likely):
                if line.shape in likely and line.message.kind is MessageKind.TEXT:
                    _count(likely, line, chat)
    found = {shape: why for shape, seen in likely.items() if (why := seen.why(shape))}
    lines = [_line(shape, why, likely[shape]) for shape, why in found.items()]
    lines += [_line(shape, KNOWN, seen) for shape, seen in told.items()]
    return PlatformLines(
        lines=tuple(sorted(lines, key=lambda line: (-line.count, line.sentence))), found=frozenset(found)
    )


def placeholder_lines(forms: Mapping[str, int], samples: Mapping[str, str]) -> list[PlatformLine]:
    """Sentences that stood for something attached: how often each form was read, and a sample of it."""
    return [
        PlatformLine(sentence=form, why="stands for something attached", count=count, sample=samples[form])
        for form, count in forms.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A message, the form of its sentence, and what it stands beside."""

    message: Message
    shape: str
    reaction: str = ""  # the emoji in it that its author put on a message before
    beside_call: bool = False

    @property
    def is_evidence(self) -> bool:
        """Whether anything about it tells of the platform."""
        return bool(self.reaction) or self.beside_call or _SENDER in self.shape


@dataclass(slots=True)
class _Evidence:
    """Where a sentence of one form was seen."""

    sample: str = ""
    count: int = 0
    after_reactions: int = 0
    beside_calls: int = 0
    emoji: set[str] = field(default_factory=set)  # of the reactions it followed
    authors: set[str] = field(default_factory=set)
    chats: set[str] = field(default_factory=set)

    def why(self, shape: str) -> str:
        """How it is known that the platform writes it; "" where it is not."""
        named = _SENDER in shape or _NAME in shape
        several = len(self.authors) > 1 and len(self.chats) > 1
        if (
            self.tells_of_reactions(shape)
            and 2 * self.after_reactions >= self.count
            and (several or len(self.emoji) > 1)
        ):
            return "tells of a reaction just before"
        if self.tells_of_calls(shape) and 5 * self.beside_calls >= 4 * self.count and (several or named):
            return "stands beside calls only"
        if self.names_authors(shape):
            return "names its author in many chats"
        return ""

    def is_telling(self, shape: str) -> bool:
        """Whether the platform may write it, as far as the evidence goes without what speaks against it."""
        return self.tells_of_reactions(shape) or self.tells_of_calls(shape) or self.names_authors(shape)

    def tells_of_reactions(self, shape: str) -> bool:
        """Whether it followed reactions, and is no cry such as "haha 😂"."""
        return self.after_reactions > 1 and _words(shape) > (1 if len(self.emoji) > 1 else 3)

    def tells_of_calls(self, shape: str) -> bool:
        """Whether it stood beside calls, and is more than a word."""
        if _SENDER in shape or _NAME in shape:
            return self.beside_calls > 1 and _words(shape) > 1
        return self.beside_calls > 2 and _words(shape) > 2

    def names_authors(self, shape: str) -> bool:
        """Whether many people named themselves so."""
        many = len(self.authors) > 2 and len(self.chats) > 2
        return many and _SENDER in shape and _words(shape) > (1 if shape.startswith(_SENDER) else 2)


def _lines_of(chat: Conversation, batches: Iterable[pa.RecordBatch], forms: Collection[str] = ()) -> Iterator[_Line]:
    """What in a chat may be the platform's, or of one of these forms, in order."""
    shapes = _Shapes(chat)
    for suspect in suspects(batches, names=shapes.names, wordings=[_SLOT.split(form) for form in forms]):
        message = suspect.message
        shape = "" if message.unsent else shapes.of(message)
        if message.kind is not MessageKind.TEXT:
            yield _Line(message=message, shape=shape or message.text.strip().lower())
        elif shape:
            reaction = _reaction_before(suspect) if _EMOJI in shape else ""
            yield _Line(message=message, shape=shape, reaction=reaction, beside_call=suspect.beside_call)


def _count(seen: dict[str, _Evidence], line: _Line, chat: Conversation) -> None:
    one = seen.setdefault(line.shape, _Evidence())
    one.sample = one.sample or line.message.text.strip()
    one.count += 1
    one.beside_calls += line.beside_call
    one.authors.add(line.message.author.id)
    one.chats.add(chat.id)
    if line.reaction:
        one.after_reactions += 1
        one.emoji.add(line.reaction)


def _reaction_before(suspect: Suspect) -> str:
    """The emoji in a text that its author put on one of the messages before."""
    message = suspect.message
    emoji = {_bare(found) for found in _emoji_in(message.text)}
    for earlier in suspect.messages_before:
        for reaction in earlier.reactions:
            if reaction.actor == message.author.name and _bare(reaction.emoji) in emoji:
                return _bare(reaction.emoji)
    return ""


class _Shapes:
    """The forms of one chat's sentences."""

    def __init__(self, chat: Conversation) -> None:
        self.names = frozenset(form for person in chat.participants for form in forms_of(person.name))
        self._named = names_pattern(self.names)

    def of(self, message: Message) -> str:
        """The text with places for names and emoji; "" where nothing tells that it is no person's."""
        text = message.text
        if len(text) > _LONGEST or (" " not in text.strip() and text.isascii()):
            return ""
        own = forms_of(message.author.name)
        shape = self._named.sub(lambda found: _SENDER if found[0] in own else _NAME, text) if self._named else text
        if not shape.isascii():
            shape = _EMOJI_RUN.sub(_EMOJI, shape)
        return " ".join(shape.split()).rstrip(" .!。…").lower()


def _told_by_wording(message: Message, chat: Conversation) -> bool:
    """Whether only its words told that a message is the platform's."""
    if message.kind not in (MessageKind.SYSTEM, MessageKind.POLL) or not message.text:
        return False
    others = tuple(p.name for p in chat.participants if p != message.author)
    return platform_sentence(message.text, message.author.name, others) is message.kind


def _emoji_in(text: str) -> list[str]:
    return [] if text.isascii() else _EMOJI_RUN.findall(text)


def _bare(emoji: str) -> str:
    return emoji.replace("\ufe0f", "")


def _words(shape: str) -> int:
    """How many words a form has besides its places; where no blanks part words, two signs count as one."""
    words = re.findall(r"\w+", _SLOT.sub(" ", shape))
    return sum(1 if word.isascii() or not _without_blanks(word) else len(word) // 2 for word in words)


def _without_blanks(word: str) -> bool:
    return any("\u3040" <= char <= "\u9fff" or "\u0e00" <= char <= "\u0e7f" for char in word)


def _line(shape: str, why: str, seen: _Evidence) -> PlatformLine:
    return PlatformLine(sentence=shape, why=why, count=seen.count, sample=seen.sample)
