"""What people and servers used each day, for the budgets. A day is a UTC day."""

from __future__ import annotations

from datetime import date

from django.db.models import F, Q, Sum

from talkalike.chat.limits import Used
from talkalike.store.tables import tables


def spend(user_id: int, server_id: int | None, *, replies: int, tokens: int, day: date) -> None:
    """Adds to what the person used on that server (None: in direct messages) that day."""
    row, made = tables.Usage.objects.get_or_create(
        day=day, server_id=server_id or 0, user_id=user_id, defaults={"replies": replies, "tokens": tokens}
    )
    if not made:  # added by the database: two at once both count
        tables.Usage.objects.filter(pk=row.pk).update(replies=F("replies") + replies, tokens=F("tokens") + tokens)


def used(user_id: int, server_id: int | None, day: date) -> Used:
    """What the person used there, and what everybody together used there. In direct messages the latter is 0."""
    own = Q(user_id=user_id)
    sums = tables.Usage.objects.filter(day=day, server_id=server_id or 0).aggregate(
        replies_user=Sum("replies", filter=own, default=0),
        tokens_user=Sum("tokens", filter=own, default=0),
        replies_server=Sum("replies", default=0),
        tokens_server=Sum("tokens", default=0),
    )
    if server_id is None:
        sums |= {"replies_server": 0, "tokens_server": 0}
    return Used(**sums)
