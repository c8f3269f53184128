"""Who speaks in an archive, how much and since when; which of them its owner may be; and whom a typed name means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches

from talkalike.chats.values import Conversation, Message, MessageKind, Speaker
from talkalike.errors import UserError

_SHOWN = 8  # candidates named in an error
_NEARLY_ALL = 0.9  # an owner left a few of their groups, or a thread lost its participants


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """What one person said in words. Photos, calls, unsent and bots' messages do not count."""

    person: Speaker
    conversations: int  # in which the person takes part
    messages: int
    words: int
    first_ms: int | None  # None: never said a word
    last_ms: int | None
    share: float  # of everybody's messages, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerGuess:
    """Whose export this seems to be, and why; `person` is None where it cannot be told."""

    person: Speaker | None
    reason: str


@dataclass(slots=True)
class _Count:
    person: Speaker
    conversations: int = 0
    messages: int = 0
    words: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def row(self, total: int) -> PersonRow:
        counted = {counted.name: getattr(self, counted.name) for counted in fields(self)}
        return PersonRow(**counted, share=self.messages / total if total else 0.0)


def people(conversations: Iterable[tuple[Conversation, Iterable[Message]]]) -> list[PersonRow]:
    """Everybody who takes part, most messages first. Messages are counted as they pass, none is held."""
    counts: dict[str, _Count] = {}
    for conversation, messages in conversations:
        present = {person.id for person in conversation.participants}
        for person in conversation.participants:
            counts.setdefault(person.id, _Count(person))
        for message in messages:
            if not _has_words(message):
                continue
            author = message.author
            count = counts.get(author.id)
            if count is None:
                count = counts[author.id] = _Count(author)
            present.add(author.id)
            count.messages += 1
            count.words += len(message.text.split())
            count.first_ms = message.sent_ms if count.first_ms is None else min(count.first_ms, message.sent_ms)
            count.last_ms = message.sent_ms if count.last_ms is None else max(count.last_ms, message.sent_ms)
        for identity in present:
            counts[identity].conversations += 1
    total = sum(count.messages for count in counts.values())
    return _talkative([count.row(total) for count in counts.values()])


def suggest_owner(conversations: Iterable[Conversation]) -> OwnerGuess:
    """Exports do not say whose they are: the one person who takes part in (nearly) all conversations is proposed.

    Where there are several platforms, the one with the most conversations decides.
    """
    by_platform: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        by_platform.setdefault(conversation.platform, []).append(conversation)
    chats = max(by_platform.values(), key=len, default=[])
    if len(chats) < 2:
        how_many = "only one conversation" if chats else "no conversation"
        return OwnerGuess(person=None, reason=f"there is {how_many}, so nobody stands out")
    taking_part = Counter(person.id for chat in chats for person in set(chat.participants))
    persons = {person.id: person for chat in chats for person in chat.participants}
    ranked = taking_part.most_common(2)
    if not ranked or ranked[0][1] < _NEARLY_ALL * len(chats):
        return OwnerGuess(person=None, reason=f"nobody takes part in nearly all of the {len(chats)} conversations")
    top = ranked[0][1]
    rivals = sorted(persons[identity].name for identity, count in taking_part.items() if count == top)
    if len(rivals) > 1:
        names = ", ".join(rivals[:_SHOWN])
        return OwnerGuess(person=None, reason=f"several take part in {top} of {len(chats)} conversations: {names}")
    return OwnerGuess(
        person=persons[ranked[0][0]], reason=f"takes part in {top} of {len(chats)} conversations, nobody else does"
    )


def find_person(rows: Sequence[PersonRow], wanted: str) -> Speaker:
    """Whom a typed name means: an id, a name, a name in other case, or the only name that starts with or contains it.

    Raises UserError with candidates, most talkative first, when nobody or several match, and when the person never
    wrote any words.
    """
    by_id = [row for row in rows if row.person.id == wanted]
    found = by_id or _matches(rows, wanted)
    if not found:
        raise _nobody(rows, wanted)
    if len(found) > 1:
        raise _several(found, wanted)
    row = found[0]
    if not row.messages:
        speaking = [other for other in rows if other.messages]
        raise UserError(
            f"{row.person.name} takes part but never wrote any words, so there is nothing to learn from.",
            hint=f"Choose one of: {_listing(speaking)}." if speaking else "Import a chat in which people write.",
        )
    return row.person


def _matches(rows: Sequence[PersonRow], wanted: str) -> list[PersonRow]:
    folded = wanted.strip().casefold()
    if not folded:
        return []
    same = [row for row in rows if row.person.name == wanted]
    folded_same = [row for row in rows if row.person.name.casefold() == folded or row.person.id.casefold() == folded]
    starts = [row for row in rows if row.person.name.casefold().startswith(folded)]
    contains = [row for row in rows if folded in row.person.name.casefold()]
    return same or folded_same or starts or contains


def _nobody(rows: Sequence[PersonRow], wanted: str) -> UserError:
    speaking = [row for row in _talkative(rows) if row.messages]
    if not speaking:
        return UserError(f"Nobody is called {wanted!r}: no messages are imported.", hint="Import a chat first.")
    names = {row.person.name.casefold(): row for row in reversed(speaking)}
    close = get_close_matches(wanted.strip().casefold(), names, n=_SHOWN, cutoff=0.6)
    if close:
        return UserError(f"Nobody is called {wanted!r}.", hint=f"Did you mean: {_listing([names[n] for n in close])}?")
    return UserError(f"Nobody is called {wanted!r}.", hint=f"Those who write most: {_listing(speaking)}.")


def _several(found: Sequence[PersonRow], wanted: str) -> UserError:
    if len({row.person.name for row in found}) == 1:
        return UserError(
            f"{len(found)} people are called {found[0].person.name!r}.",
            hint=f"Use the id instead of the name: {_listing(found, ids=True)}.",
        )
    return UserError(f"{wanted!r} fits {len(found)} people.", hint=f"Write one of these in full: {_listing(found)}.")


def _talkative(rows: Sequence[PersonRow]) -> list[PersonRow]:
    return sorted(rows, key=lambda row: (-row.messages, -row.words, row.person.id))


def _listing(rows: Sequence[PersonRow], *, ids: bool = False) -> str:
    """At most eight people with the size of what they wrote; two of the same name are told apart by their ids."""
    shown = _talkative(rows)[:_SHOWN]
    names = Counter(row.person.name for row in shown)
    parts = [
        f"{row.person.id if ids or names[row.person.name] > 1 else row.person.name} "
        f"({row.messages:,} message{'' if row.messages == 1 else 's'})"
        for row in shown
    ]
    more = len(rows) - len(shown)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _has_words(message: Message) -> bool:
    return (
        message.kind in (MessageKind.TEXT, MessageKind.ACTION)
        and not message.unsent
        and not message.forwarded
        and not message.is_bot
        and bool(message.text.strip())
    )
