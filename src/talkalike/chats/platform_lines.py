"""Finds the lines that the platform wrote in a language we have no table for, by what they stand beside.

Frequency alone tells nothing: people say "ok" more often than any platform says anything. A sentence is the
platform's when it has one form with different names or emoji in the same place, and

- its emoji and its author are those of a reaction to a message just before, or
- it stands beside the entries of calls and hardly anywhere else, or
- it names its own author, in many chats by many people, which people do not do in the same words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from talkalike.chats.importers.messenger_sentences import forms_of, names_pattern, platform_sentence
from talkalike.chats.values import Conversation, Message, MessageKind, Platform

KNOWN = "is one of its known sentences"
_SENDER, _NAME, _EMOJI = "{sender}", "{name}", "{emoji}"
_SLOT = re.compile(r"\{(?:sender|name|emoji)\}")
_EMOJI_RUN = re.compile("(?:[\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001fbff][\u200d\ufe0f]*)+")
_LONGEST = 200  # characters; the platform's sentences are short
_MESSAGES_BEFORE = 20  # among which a reaction's message is looked for
_BESIDE_MS = 60_000
_TELLING = (MessageKind.SYSTEM, MessageKind.CALL, MessageKind.POLL)


class Chats(Protocol):
    """What is needed of an archive."""

    def conversations(self) -> Sequence[Conversation]:
        """Every conversation."""
        ...

    def messages(self, conversation_id: str) -> Iterable[Message]:
        """A conversation's messages, oldest first."""
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
        """How many messages these are."""
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
        """Every conversation."""
        return tuple(self._by_id.values())

    def messages(self, conversation_id: str) -> Iterator[Message]:
        """A conversation's messages, oldest first."""
        read = self._chats.messages(conversation_id)
        if not conversation_id.startswith(f"{Platform.MESSENGER}:") or not (self._learn or self._found):
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


def find_platform_lines(chats: Chats) -> PlatformLines:
    """Reads all chats of platforms whose own sentences stand among people's words."""
    mixed = [chat for chat in chats.conversations() if chat.platform is Platform.MESSENGER]
    evidence: dict[str, _Evidence] = {}
    told: dict[str, _Evidence] = {}
    for chat in mixed:
        for line in _lines_of(chat, chats.messages(chat.id)):
            if line.message.kind is not MessageKind.TEXT:
                _count(told, line, chat)
            elif line.is_evidence or line.shape in evidence:
                _count(evidence, line, chat)
    suspects = {shape: _Evidence() for shape, seen in evidence.items() if seen.why(shape)}
    if suspects:  # what was said of each before there was evidence counts, too
        for chat in mixed:
            for line in _lines_of(chat, chats.messages(chat.id)):
                if line.shape in suspects and line.message.kind is MessageKind.TEXT:
                    _count(suspects, line, chat)
    found = {shape: why for shape, seen in suspects.items() if (why := seen.why(shape))}
    lines = [_line(shape, why, suspects[shape]) for shape, why in found.items()]
    lines += [_line(shape, KNOWN, seen) for shape, seen in told.items()]
    return PlatformLines(
        lines=tuple(sorted(lines, key=lambda line: (-line.count, line.sentence))), found=frozenset(found)
    )


def placeholder_lines(sentences: Mapping[str, int]) -> list[PlatformLine]:
    """Sentences that stood for something attached, as they were read and how often."""
    return [
        PlatformLine(sentence=sentence, why="stands for something attached", count=count, sample=sentence)
        for sentence, count in sentences.items()
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
        words = _words(shape)
        named = _SENDER in shape or _NAME in shape
        several = len(self.authors) > 1 and len(self.chats) > 1
        reacting = self.after_reactions > 1 and 2 * self.after_reactions >= self.count
        if reacting and words > 1 and (len(self.emoji) > 1 or (several and words > 3)):
            return "tells of a reaction just before"
        calling = self.beside_calls > 1 and 5 * self.beside_calls >= 4 * self.count
        if calling and ((named and words > 1) or (several and words > 2 and self.beside_calls > 2)):
            return "stands beside calls only"
        many = len(self.authors) > 2 and len(self.chats) > 2
        if many and _SENDER in shape and words > (1 if shape.startswith(_SENDER) else 2):
            return "names its author in many chats"
        return ""


def _lines_of(chat: Conversation, messages: Iterable[Message]) -> Iterator[_Line]:
    """What in a chat may be the platform's, in order."""
    shapes = _Shapes(chat)
    before: deque[Message] = deque(maxlen=_MESSAGES_BEFORE)
    waiting: _Line | None = None  # whether it stands beside a call is only known from the next message
    for message in messages:
        is_call = message.kind is MessageKind.CALL
        if waiting is not None:
            if is_call and not waiting.beside_call and _near(waiting.message, message):
                waiting = replace(waiting, beside_call=True)
            yield waiting
            waiting = None
        shape = shapes.of(message) if message.text and not message.unsent else ""
        if message.kind in _TELLING and message.text:
            yield _Line(message=message, shape=shape or message.text.strip().lower())
        elif message.kind is MessageKind.TEXT and shape:
            after_call = bool(before) and before[-1].kind is MessageKind.CALL and _near(before[-1], message)
            reaction = _reaction_before(message, before) if _EMOJI in shape else ""
            waiting = _Line(message=message, shape=shape, reaction=reaction, beside_call=after_call)
        before.append(message)
    if waiting is not None:
        yield waiting


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


def _near(one: Message, other: Message) -> bool:
    return abs(other.sent_ms - one.sent_ms) <= _BESIDE_MS


def _reaction_before(message: Message, before: Iterable[Message]) -> str:
    """The emoji in a text that its author put on one of the messages before."""
    emoji = {_bare(found) for found in _emoji_in(message.text)}
    for earlier in before:
        for reaction in earlier.reactions:
            if reaction.actor == message.author.name and _bare(reaction.emoji) in emoji:
                return _bare(reaction.emoji)
    return ""


class _Shapes:
    """The forms of one chat's sentences."""

    def __init__(self, chat: Conversation) -> None:
        names = frozenset(form for person in chat.participants for form in forms_of(person.name))
        self._names = names_pattern(names)

    def of(self, message: Message) -> str:
        """The text with places for names and emoji; "" where nothing tells that it is no person's."""
        text = message.text
        if len(text) > _LONGEST or (" " not in text.strip() and text.isascii()):
            return ""
        own = forms_of(message.author.name)
        shape = self._names.sub(lambda found: _SENDER if found[0] in own else _NAME, text) if self._names else text
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
    """The runs of emoji in a text."""
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
