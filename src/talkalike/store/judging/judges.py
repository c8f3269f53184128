"""Those who judge: pseudonyms, consent, being blocked, and invitations for people without an account."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from talkalike.store import people, storable
from talkalike.store.judging.judgement_values import Kind
from talkalike.store.rows import read_row
from talkalike.store.tables import judging_tables as tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

MAX_PSEUDONYM = 120


class Group(StrEnum):
    """What a judge may do on the website."""

    OWNER = "owner"
    JUDGE = "judge"
    VIEWER = "viewer"
    GUESSER = "guesser"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRow:
    """Somebody who judges. `pseudonym` is random; `user_id` is Discord's, `account_id` the website's, guests have none.

    `consent`: their judgements may be exported and learned from.
    """

    id: int
    pseudonym: str
    kind: Kind
    group: Group
    user_id: int | None
    account_id: int | None
    consent: bool
    blocked: bool
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRow:
    """A link that lets `uses` people in until `expires_at`; it cannot be shown again."""

    id: int
    group: Group
    note: str
    uses: int
    used: int
    made_at: datetime
    expires_at: datetime
    revoked: bool


# -------------------------------------------------------------------------------------------------------------- judges
def of_discord(user_id: int) -> JudgeRow:
    """The judge who is this Discord user; made when first asked for. Consent is what they said for `people.consent`."""
    agreed = people.consent(user_id)
    return _known_or_new({"consent_at": agreed.since if agreed.training else None}, user_id=user_id)


def of_account(account_id: int, *, group: Group = Group.JUDGE) -> JudgeRow:
    """The judge who is this account of the website; `group` is used when it is made."""
    return _known_or_new({"group": group.value}, account_id=account_id)


def known_account(account_id: int) -> JudgeRow | None:
    """The judge who is this account; None where `of_account` has yet to make them."""
    row = tables.Judge.objects.filter(account_id=account_id).first()
    return row_of(row) if row else None


def of_ai(name: str) -> JudgeRow:
    """A model or rule that judges. Its name is its pseudonym, and what it says is counted apart."""
    pseudonym = f"ai:{storable.text(name)}"[:MAX_PSEUDONYM]
    columns = _columns(kind=Kind.AI.value, consent_at=timezone.now(), pseudonym=pseudonym)
    row, _ = tables.Judge.objects.get_or_create(pseudonym=pseudonym, defaults=columns)
    return row_of(row)


def guest(*, group: Group = Group.JUDGE, invitation_id: int | None = None) -> JudgeRow:
    """A new judge without an account. The face has to remember the id, in a signed cookie for example."""
    return row_of(tables.Judge.objects.create(**_columns(group=group.value, invitation_id=invitation_id)))


def by_id(judge_id: int) -> JudgeRow | None:
    """The judge, or None if there is none, or no longer."""
    row = tables.Judge.objects.filter(id=judge_id).first()
    return row_of(row) if row else None


def is_new(judge: JudgeRow) -> bool:
    """Whether they have judged nothing yet, and agreed to nothing: then it is explained to them what is kept."""
    return not judge.consent and not tables.Judgement.objects.filter(judge_id=judge.id).exists()


def set_consent(judge_id: int, agreed: bool) -> bool:
    """Notes whether this judge's judgements may be exported; False if there is no such judge."""
    row = tables.Judge.objects.filter(id=judge_id).first()
    if row is not None and row.user_id is not None:
        people.set_consent(row.user_id, training=agreed)  # one answer, wherever it is asked
        return True
    return _update(judge_id, consent_at=timezone.now() if agreed else None)


def set_blocked(judge_id: int, blocked: bool) -> bool:
    """Shuts the judge out, or lets them in again. What they said stays; False if there is no such judge."""
    return _update(judge_id, blocked_at=timezone.now() if blocked else None)


def set_group(judge_id: int, group: Group) -> bool:
    """Puts the judge into a group; False if there is no such judge."""
    return _update(judge_id, group=group.value)


# --------------------------------------------------------------------------------------------------------- invitations
def invite(
    group: Group, *, by: int | None, uses: int = 1, days: float = 7, note: str = ""
) -> tuple[str, InvitationRow]:
    """Makes an invitation; the first value is the secret for its link, which is kept nowhere.

    `by` is the inviting judge. Raises ValueError for an invitation that could never be used.
    """
    if uses < 1 or days <= 0:
        raise ValueError("an invitation is for at least one person and lasts for some time")
    token = secrets.token_urlsafe(32)
    now = timezone.now()
    row = tables.Invitation.objects.create(
        digest=_digest(token),
        group=group.value,
        note=storable.text(note),
        by=by,
        uses=uses,
        made_at=now,
        expires_at=now + timedelta(days=days),
    )
    return token, _invitation(row)


def invitation(token: str, *, now: datetime | None = None) -> InvitationRow | None:
    """The invitation, if it can still be used; None for one that is forged, expired, revoked or used up."""
    row = _usable(token, now).first()
    return _invitation(row) if row else None


def redeem(token: str, *, account_id: int | None = None, now: datetime | None = None) -> JudgeRow | None:
    """Uses the invitation once and returns the new judge (or the account's, moved into the group); None as above."""
    with transaction.atomic():
        usable = _usable(token, now)
        if usable.update(used=F("used") + 1) == 0:
            return None
        row = tables.Invitation.objects.get(digest=_digest(token))
        if account_id is None:
            return guest(group=Group(row.group), invitation_id=row.pk)
        known = of_account(account_id, group=Group(row.group))
        if known.group is not Group.OWNER:
            set_group(known.id, Group(row.group))
        return by_id(known.id)


def revoke(invitation_id: int) -> bool:
    """Ends an invitation; False if it was over. Those who came with it stay."""
    return tables.Invitation.objects.filter(id=invitation_id, revoked_at=None).update(revoked_at=timezone.now()) > 0


def all_invitations() -> tuple[InvitationRow, ...]:
    """Every invitation, from the newest to the oldest."""
    return tuple(_invitation(row) for row in tables.Invitation.objects.order_by("-id"))


# -------------------------------------------------------------------------------------------------------------- inside
def _known_or_new(columns: dict[str, Any], **identity: int) -> JudgeRow:
    row, _ = tables.Judge.objects.get_or_create(**identity, defaults=_columns(**columns))
    return row_of(row)


def _columns(**columns: Any) -> dict[str, Any]:
    """The columns of a new judge."""
    usual = {"kind": Kind.HUMAN.value, "group": Group.JUDGE.value, "made_at": timezone.now()}
    return {"pseudonym": f"judge-{secrets.token_hex(6)}", **usual, **columns}


def _update(judge_id: int, **columns: Any) -> bool:
    return tables.Judge.objects.filter(id=judge_id).update(**columns) > 0


def row_of(row: models.Judge) -> JudgeRow:
    """A plain value of a row of the table."""
    return read_row(
        JudgeRow,
        row,
        kind=Kind(row.kind),
        group=Group(row.group),
        consent=row.consent_at is not None,
        blocked=row.blocked_at is not None,
    )


def _digest(token: str) -> str:
    # A token has 256 random bits: nobody guesses one, so a quick hash keeps it as safe as a slow one would.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _usable(token: str, now: datetime | None) -> Any:
    return tables.Invitation.objects.filter(
        digest=_digest(token), revoked_at=None, expires_at__gt=now or timezone.now(), used__lt=F("uses")
    )


def _invitation(row: models.Invitation) -> InvitationRow:
    return read_row(InvitationRow, row, group=Group(row.group), revoked=row.revoked_at is not None)
