"""What of a channel was answered already: asked when the bot comes back and finds messages it did not hear."""

from __future__ import annotations

from django.db.models import Max

from talkalike.store.tables import tables


def channels(limit: int) -> tuple[int, ...]:
    """The channels, threads and direct messages with replies, those with the newest ones first."""
    newest = tables.Reply.objects.filter(test=False).values("channel_id").annotate(newest=Max("id"))
    return tuple(newest.order_by("-newest").values_list("channel_id", flat=True)[:limit])


def triggers(channel_id: int, limit: int) -> tuple[tuple[int, int], ...]:
    """(message, who asked) of the newest replies in a channel, whatever became of them, newest first."""
    rows = tables.Reply.objects.filter(channel_id=channel_id).order_by("-id")
    return tuple(rows.values_list("trigger_id", "asker_id")[:limit])
