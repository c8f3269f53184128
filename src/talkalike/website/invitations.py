"""Invitation links: a random token whose digest is kept, with an end, a number of uses, and one role."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from talkalike.errors import UserError
from talkalike.website.access import Role
from talkalike.website.models import Invitation

WORDS = {
    Role.GUESSER: "guess which reply is the real one",
    Role.JUDGE: "judge replies",
    Role.VIEWER: "see what people think",
}
"""What an invitation may let somebody do. Nobody is made an owner by a link."""

LONGEST = timedelta(days=365)
MOST_USES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation as people see it. `state` is in words; `holds`: whether it lets anybody in or keeps them in."""

    number: int
    role: Role
    note: str
    made_by: str
    expires_at: datetime
    uses: int
    used: int
    holds: bool
    state: str

    @property
    def words(self) -> str:
        """What it lets somebody do."""
        return WORDS[self.role]


def invite(role: Role, *, by: str, now: datetime, lasts: timedelta, uses: int, note: str = "") -> str:
    """Makes an invitation and returns its token, which is kept nowhere. Raises UserError."""
    if role not in WORDS:
        raise UserError("A link cannot make somebody an owner.", hint="Make an account for them in the admin.")
    if not timedelta(0) < lasts <= LONGEST:
        raise UserError("An invitation lasts between a moment and a year.")
    if not 1 <= uses <= MOST_USES:
        raise UserError(f"An invitation is for 1 to {MOST_USES:,} people.")
    token = secrets.token_urlsafe(32)
    Invitation.objects.create(
        digest=_digest(token),
        role=role.value,
        note=note[:200],
        made_by=by,
        made_at=now,
        expires_at=now + lasts,
        uses=uses,
    )
    return token


def all_invitations(now: datetime) -> tuple[Invited, ...]:
    """Those made so far, the newest first; 200 at most."""
    return tuple(_shown(row, now) for row in Invitation.objects.order_by("-id")[:200])


def invitation_of(token: str, now: datetime) -> Invited | None:
    """The invitation of a token; None for one that we did not make. It may not hold any more."""
    row = Invitation.objects.filter(digest=_digest(token)).first()
    return _shown(row, now) if row else None


def use(token: str, now: datetime) -> Invited | None:
    """Takes one of its uses; None where none is left, or it does not hold. Two people never share the last one."""
    free = Invitation.objects.filter(digest=_digest(token), revoked_at=None, expires_at__gt=now, used__lt=F("uses"))
    return invitation_of(token, now) if free.update(used=F("used") + 1) else None


def revoke_invitation(number: int, now: datetime) -> bool:
    """Ends an invitation, and the visits that came with it. Whether there was one to end."""
    return bool(Invitation.objects.filter(id=number, revoked_at=None).update(revoked_at=now))


def _shown(row: Invitation, now: datetime) -> Invited:
    if row.revoked_at:
        state, holds = "revoked", False
    elif row.expires_at <= now:
        state, holds = "expired", False
    else:
        state, holds = ("used up" if row.used >= row.uses else "open"), True
    return Invited(
        number=row.pk,
        role=Role(row.role),
        note=row.note,
        made_by=row.made_by,
        expires_at=row.expires_at,
        uses=row.uses,
        used=row.used,
        holds=holds,
        state=state,
    )


def _digest(token: str) -> str:
    # 256 random bits need neither salt nor a slow hash.
    return hashlib.sha256(token.encode()).hexdigest()
