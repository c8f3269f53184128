"""Invitation links as the site's pages show them. The store makes, checks and ends them (`store.judging.judges`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from talkalike.store.judging.judges import Group, InvitationRow
from talkalike.website.access import IMPLIED, INVITABLE, Role
from talkalike.website.pages import PAGES


def opened_by(role: Role) -> str:
    """What the role lets somebody do: every page that it opens, and no other."""
    does = [page.does for page in PAGES if not IMPLIED[role].isdisjoint(page.roles)]
    return " and ".join(filter(None, (", ".join(does[:-1]), does[-1])))


WORDS = {role: opened_by(role) for role in INVITABLE}
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


def may_chat(row: InvitationRow) -> bool:
    """Whether it lets somebody say things that are stored."""
    chat = next(page for page in PAGES if page.name == "chat")
    return not IMPLIED[Role(row.group.value)].isdisjoint(chat.roles)


def words_of(row: InvitationRow) -> str:
    """What an invitation lets somebody do."""
    return next((words for role, words in WORDS.items() if role.value == row.group.value), "look around")
