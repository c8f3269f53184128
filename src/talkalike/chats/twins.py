"""Which stored conversation a newly read one is: what its people and its messages say, never a file's name alone.

Messenger cut its chats in two: the classic export has the older messages, the end-to-end encrypted one the newer.
They are joined when the people (and a group's title) are the same and nothing else could be meant; otherwise they stay
apart, which loses nothing. The encrypted export numbers its threads anew in every download, so there the same people
are one chat unless the two tell of the same days and share no message.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from talkalike.chats.archive import Archive, Summary
from talkalike.chats.columns import with_column
from talkalike.chats.importers.messenger_people import may_be_one
from talkalike.chats.importers.messenger_text import is_deleted_account
from talkalike.chats.importers.protocol import Draft
from talkalike.chats.merging import TOLERANCE_MS
from talkalike.chats.values import Conversation, Platform, Speaker

_LISTS_ITS_PEOPLE = frozenset({Platform.MESSENGER, Platform.INSTAGRAM})
_NAMED_BY_A_FILE = frozenset({Platform.WHATSAPP, Platform.SIGNAL, Platform.IMESSAGE, Platform.TABLE})
"""Their chats have a title and no id, and two chats may have one title: what was said tells them apart."""

_WITHOUT_THREAD_IDS = frozenset({"messenger-e2ee"})
_MIXED = (
    "{}: an earlier version mixed other chats into this one. To part them, delete the workspace's folder chats and "
    "import everything again."
)
_SAME_SHARE = 0.5  # of the messages of the days that both tell of
_FEW_SHARED = 0.2  # two chats share greetings and nothing else
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The id to store a draft under, and a sentence for the report if it was kept apart from a possible twin.

    `alias` is the id by which the export knows the conversation, if it is stored under another one.
    """

    conversation_id: str
    alias: str = ""
    note: str = ""


def placement(draft: Draft, table: pa.Table, *, origin: str, archive: Archive) -> Placement:
    """Where a fully read draft of format `origin`, with its messages in `table`, goes."""
    own = draft.conversation()
    stored = archive.summaries()
    free_id = own.id
    for id_ in (own.id, f"{own.id}~{_fingerprint(own)}", f"{own.id}~{_first_words(table)}"):
        known = next((s for s in stored.values() if id_ in (s.conversation.id, *s.aliases)), None)
        if known is None:
            free_id = id_
            break
        if own.platform in _NAMED_BY_A_FILE and _says_something_else(archive, known, table):
            continue
        if _may_be(known, own):
            return Placement(conversation_id=known.conversation.id)
        if tell_the_same(archive, known, table):
            mixed = known.conversation.is_group and not own.is_group
            return Placement(conversation_id=known.conversation.id, note=_MIXED.format(own.title) if mixed else "")
    key = draft.twin_key()
    if not key and origin not in _WITHOUT_THREAD_IDS:
        return Placement(conversation_id=free_id)
    alike = [s for s in stored.values() if s.conversation.platform == own.platform and _alike(s, own, key)]
    verdicts = [tell_the_same(archive, summary, table) for summary in alike]
    if True in verdicts:
        return _joined(alike[verdicts.index(True)], own)
    free = [
        summary
        for summary, verdict in zip(alike, verdicts, strict=True)
        if key and (origin not in summary.origins or (origin in _WITHOUT_THREAD_IDS and verdict is None))
    ]
    if free and len(alike) == 1 and draft.alone:
        return _joined(free[0], own)
    note = f"{own.title}: more than one chat has exactly these people, so the two exports were kept apart."
    return Placement(conversation_id=free_id, note=note if free else "")


def tell_the_same(archive: Archive, summary: Summary, table: pa.Table) -> bool | None:
    """Whether a stored conversation and a table tell of the same messages; None if that cannot be told.

    Only the stretch of time that both tell of is compared, as an export may begin late or end early.
    """
    first = max(summary.first_ms, table["sent_ms"][0].as_py()) - TOLERANCE_MS
    last = min(summary.last_ms, table["sent_ms"][-1].as_py()) + TOLERANCE_MS
    if first > last:
        return None
    one, two = (_messages_of(messages, first, last) for messages in (archive.table(summary.conversation.id), table))
    fewer, more = sorted((one, two), key=len)
    if not fewer:
        return None
    near = {(name, text, second + shift) for name, text, second in more for shift in (-1, 0, 1)}
    shared = sum(message in near for message in fewer)
    return shared >= _SAME_SHARE * len(fewer) if shared or len(fewer) > 1 else None


def _says_something_else(archive: Archive, summary: Summary, table: pa.Table) -> bool:
    """Whether a stored chat and a table cover the same days and share hardly a message, whatever their clocks say."""
    first = max(summary.first_ms, table["sent_ms"][0].as_py())
    last = min(summary.last_ms, table["sent_ms"][-1].as_py())
    if first > last:
        return False
    one, two = (
        _messages_of(t, first - _DAY_MS, last + _DAY_MS) for t in (archive.table(summary.conversation.id), table)
    )
    fewer, more = sorted(({(name, text) for name, text, _ in told} for told in (one, two)), key=len)
    shared = len(fewer & more)
    return len(fewer) > 1 and shared < _FEW_SHARED * len(fewer)


def with_deleted_accounts(
    conversation: Conversation, table: pa.Table, known: Summary | None
) -> tuple[Conversation, pa.Table]:
    """The conversation and its messages with each deleted account as somebody of this conversation alone."""
    there = {p.name: p.id for p in known.conversation.participants} if known else {}
    ids = {
        person.id: there.get(person.name, f"{conversation.id}/{person.name}")
        for person in conversation.participants
        if conversation.platform in _LISTS_ITS_PEOPLE and is_deleted_account(person.name)
    }
    if not ids:
        return conversation, table
    people = tuple(Speaker(id=ids.get(p.id, p.id), name=p.name) for p in conversation.participants)
    authors = [ids.get(id_, id_) for id_ in table["author_id"].to_pylist()]
    return replace(conversation, participants=people), with_column(table, "author_id", authors)


def _joined(summary: Summary, own: Conversation) -> Placement:
    return Placement(conversation_id=summary.conversation.id, alias=own.id)


def _may_be(known: Summary, own: Conversation) -> bool:
    if own.platform not in _LISTS_ITS_PEOPLE:
        return True
    return known.conversation.is_group == own.is_group and may_be_one(_names(known.conversation), _names(own))


def _alike(summary: Summary, own: Conversation, key: str) -> bool:
    """Whether the two have the same people: by their key, or where names do not tell people apart, by their names."""
    return summary.twin_key == key if key else Counter(_names(summary.conversation)) == Counter(_names(own))


def _names(conversation: Conversation) -> list[str]:
    return [person.name for person in conversation.participants]


def _fingerprint(own: Conversation) -> str:
    return hashlib.blake2b("\n".join(sorted(_names(own))).encode(), digest_size=6).hexdigest()


def _first_words(table: pa.Table) -> str:
    """A name for a chat whose title another one has, which it keeps when it is exported again."""
    told = f"{table['sent_ms'][0]} {table['author_name'][0]} {table['text'][0]}"
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


def _messages_of(table: pa.Table, first_ms: int, last_ms: int) -> set[tuple[str, str, int]]:
    """The author, text and second of each message of a stretch of time."""
    inside = pc.and_(pc.greater_equal(table["sent_ms"], first_ms), pc.less_equal(table["sent_ms"], last_ms))
    columns = table.select(["author_name", "text", "sent_ms"]).filter(inside)
    return {(name, text, sent // 1000) for name, text, sent in zip(*(c.to_pylist() for c in columns), strict=True)}
