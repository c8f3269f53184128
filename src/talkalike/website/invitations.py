"""Invitation links as the site's pages show them. The store makes, checks and ends them (`store.judging.judges`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from talkalike.store.judging.judges import Group, InvitationRow
from talkalike.website.access import INVITABLE, Role

WORDS = {
    Role.GUESSER: "guess which reply is the real one",
    Role.JUDGE: "judge replies, and guess which one is real",
    Role.VIEWER: "see what people think",
}
"""What an invitation may let somebody do. Nobody is made an owner by a link."""

OFFERED = tuple(role for role in INVITABLE if role.value in {group.value for group in Group})
MAX_DAYS = 365
MAX_USES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation in words. `holds`: whether it lets anybody in."""

    row: InvitationRow
    words: str
    state: str
    holds: bool


def shown(row: InvitationRow, now: datetime) -> Invited:
    """For the list."""
    if row.revoked:
        state = "revoked"
    elif row.expires_at <= now:
        state = "expired"
    else:
        state = "used up" if row.used >= row.uses else "open"
    return Invited(row=row, words=words_of(row), state=state, holds=state == "open")


def words_of(row: InvitationRow) -> str:
    """What an invitation lets somebody do."""
    return next((words for role, words in WORDS.items() if role.value == row.group.value), "look around")
