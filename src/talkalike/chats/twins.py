"""Which stored conversation a newly read one belongs to, when two exports of one platform tell of the same chat.

Messenger cut its chats in two: the classic export has the older messages, the end-to-end encrypted one the newer.
They are joined when the people (and a group's title) are the same and nothing else could be meant; otherwise they stay
apart, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from talkalike.chats.archive import Summary
from talkalike.chats.importers.protocol import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The id to store a draft under, and a sentence for the report if it was kept apart from a possible twin."""

    conversation_id: str
    note: str = ""


def placement(draft: Draft, origin: str, stored: Mapping[str, Summary]) -> Placement:
    """Where a fully read draft of format `origin` goes."""
    conversation = draft.conversation()
    if conversation.id in stored:
        return Placement(conversation_id=conversation.id)
    for id_, summary in stored.items():
        if conversation.id in summary.aliases:
            return Placement(conversation_id=id_)
    key = draft.twin_key()
    candidates = [s for s in stored.values() if s.conversation.platform == conversation.platform]
    same = [s for s in candidates if key and s.twin_key == key]
    free = [s for s in same if origin not in s.origins]
    if not free:
        return Placement(conversation_id=conversation.id)
    if len(same) == 1 and draft.alone:
        return Placement(conversation_id=free[0].conversation.id)
    note = f"{conversation.title}: more than one chat has exactly these people, so the two exports were kept apart."
    return Placement(conversation_id=conversation.id, note=note)
