"""What people and servers used each day, for the budgets. A day is a UTC day."""

from __future__ import annotations

from datetime import date

from django.db.models import F, Q, Sum

from talkalike.chat.options import Used
from talkalike.store.tables import tables


def on_website(judge_id: int) -> int:
    """The user under whom a visitor's talk on the website counts: a number below 0, which nobody has on Discord."""
    return -judge_id


def spend(user_id: int, server_id: int | None, *, replies: int, tokens: int, day: date) -> None:
    """Adds to what the person used on that server (None: in direct messages) that day."""
    account = tables.Usage.objects.filter(day=day, server_id=server_id or 0, user_id=user_id)
    added = {"replies": F("replies") + replies, "tokens": F("tokens") + tokens}  # by the database: two at once count
    if not account.update(**added):
        _, made = account.get_or_create(
            day=day, server_id=server_id or 0, user_id=user_id, defaults={"replies": replies, "tokens": tokens}
        )
        if not made:
            account.update(**added)


def read_used(user_id: int, server_id: int | None, day: date) -> Used:
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
