"""What is kept about people and servers: what they agreed to, what there is, and deleting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Length
from django.utils import timezone

from talkalike.store.changes import changing
from talkalike.store.judging import erasing
from talkalike.store.rows import read_row
from talkalike.store.seeing import sent, tasks
from talkalike.store.seen_texts import FORGOTTEN
from talkalike.store.tables import judging_tables, seeing_tables, tables

IGNORED = 0  # the level that shuts somebody out; deleting one's data is no way around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody agreed to. `training`: their texts may be learned from; `seen`: the double may read them.

    `since` is None for those who said nothing.
    """

    training: bool = False
    seen: bool = True
    since: datetime | None = None


def consent(user_id: int) -> Consent:
    """What the person agreed to."""
    row = tables.Person.objects.filter(user_id=user_id).first()
    return read_row(Consent, row) if row else Consent()


@changing
def set_consent(user_id: int, *, training: bool | None = None, seen: bool | None = None) -> Consent:
    """Changes what is given and leaves the rest; returns what holds now."""
    given = {key: value for key, value in (("training", training), ("seen", seen)) if value is not None}
    with transaction.atomic():
        tables.Person.objects.update_or_create(user_id=user_id, defaults={**given, "since": timezone.now()})
        if training is not None:  # it is about what they judge, too
            judge = judging_tables.Judge.objects.filter(user_id=user_id)
            judge.update(consent_at=timezone.now() if training else None)
    return consent(user_id)


def hidden() -> frozenset[int]:
    """Those who do not want to be seen by the double."""
    return frozenset(tables.Person.objects.filter(seen=False).values_list("user_id", flat=True))


def count_about(user_id: int) -> dict[str, int]:
    """How much of each kind is kept about a person; texts also in characters."""
    own = _of(user_id)
    posted = tables.SentMessage.objects.filter(reply__asker_id=user_id)
    return {
        "messages": own["messages"].count(),
        "message_characters": own["messages"].aggregate(sum=Sum(Length("text"), default=0))["sum"],
        "replies": own["replies"].count(),
        "reply_characters": posted.aggregate(sum=Sum(Length("text"), default=0))["sum"],
        "usage_days": own["usage"].count(),
        "rules": own["rules"].count(),
        "consent": own["consent"].count(),
        "changes_made": sum(rows.count() for rows in _made_by(user_id)),
        **erasing.count_about(user_id),
        **tasks.count_about(user_id),
        **sent.count_about(user_id),
    }


def export_about(user_id: int) -> dict[str, Any]:
    """Everything kept about a person, ready for JSON; ids are strings, as JSON's numbers are too short for them."""
    own = _of(user_id)
    said = consent(user_id)
    return {
        "user_id": str(user_id),
        "consent": {"training": said.training, "seen": said.seen, "since": said.since and said.since.isoformat()},
        "messages": [
            {
                "id": str(row.message_id),
                "channel_id": str(row.channel_id),
                "name": row.speaker,
                "text": row.text,
                "last_seen": row.seen_at.isoformat(),
            }
            for row in own["messages"].order_by("id")
        ],
        "replies": [
            {
                "answer_to": str(row.trigger_id),
                "channel_id": str(row.channel_id),
                "server_id": str(row.server_id) if row.server_id else None,
                "at": row.began_at.isoformat(),
                "state": row.state,
                "model": row.model,
                "texts": [message.text for message in row.messages.order_by("index")],
            }
            for row in own["replies"].order_by("id").prefetch_related("messages")
        ],
        "usage": [
            {"day": row.day.isoformat(), "server_id": str(row.server_id), "replies": row.replies, "tokens": row.tokens}
            for row in own["usage"].order_by("day")
        ],
        "rules": [
            {"server_id": str(row.server_id), "kind": row.kind, "value": row.value, "at": row.at.isoformat()}
            for row in own["rules"].order_by("id")
        ],
        "judging": erasing.export_about(user_id),
        "task_examples": tasks.export_about(user_id),
        "pictures": sent.export_about(user_id),
    }


@changing
def forget_user(user_id: int) -> dict[str, int]:
    """Deletes what is kept about a person; returns how much of each kind went.

    Their texts go from everywhere with what was seen in their pictures, their direct messages with both sides, what
    they judged and guessed, their tasks and the examples they gave to others' tasks. Replies given to them on servers
    stay, and changes they made to settings and rules stay in force, no longer with their id. Two things outlive it, or
    deleting would undo them: that they do not want to be seen, and that somebody shut them out.
    """
    with transaction.atomic():
        judged = erasing.forget_user(user_id)  # first: it takes the locks that judging takes first
        own = _of(user_id)
        private = own["replies"].filter(server_id=0)
        channels = set(private.values_list("channel_id", flat=True))
        in_private = Q(channel_id__in=channels, server_id=0)
        gone = {
            **judged,
            **tasks.forget_user(user_id),
            **sent.forget_user(user_id, sorted(channels)),
            "messages": _delete(tables.SeenText.objects.filter(Q(author_id=user_id) | in_private)),
            "private_replies": _delete(private),
            "replies": own["replies"].update(asker_id=0, trigger_id=-F("id")),
            "settings": _delete(tables.ScopedOption.objects.filter(scope_id__in=channels, server_id=0)),
            "marks": _delete(tables.ContextMark.objects.filter(in_private)),
            "rules": _delete(own["rules"].exclude(kind="level", value=IGNORED)),
            "consent": _delete(own["consent"].filter(seen=True)),
        }
        own["consent"].update(training=False)
        gone["usage_days"] = _forget_usage(user_id)
        gone["changes_made"] = sum(rows.update(by=0) for rows in _made_by(user_id))
        tables.PermissionChange.objects.filter(subject="user", subject_id=user_id).update(subject_id=0)
        return gone


@changing
def forget_server(server_id: int) -> dict[str, int]:
    """Deletes everything that is kept of a server (the bot left it); returns how much of each kind went."""
    with transaction.atomic():
        return {
            **erasing.forget_server(server_id),
            **tasks.forget_server(server_id),
            **sent.forget_server(server_id),
            "messages": _delete(tables.SeenText.objects.filter(server_id=server_id)),
            "replies": _delete(tables.Reply.objects.filter(server_id=server_id)),
            "settings": _delete(tables.ScopedOption.objects.filter(server_id=server_id)),
            "marks": _delete(tables.ContextMark.objects.filter(server_id=server_id)),
            "rules": _delete(tables.PermissionRule.objects.filter(server_id=server_id)),
            "rule_changes": _delete(tables.PermissionChange.objects.filter(server_id=server_id)),
            "usage_days": _delete(tables.Usage.objects.filter(server_id=server_id)),
            "test_runs": _delete(tables.TestRun.objects.filter(server_id=server_id)),
            "schedules": _delete(tables.TestSchedule.objects.filter(server_id=server_id)),
            "servers": _delete(tables.Server.objects.filter(id=server_id)),
        }


def expire(now: datetime, days_of: Callable[[int | None], int]) -> int:
    """Deletes replies and texts older than their server allows; returns how many replies and texts went.

    `days_of` gives a server's days (None: direct messages). Scores of old test runs and replies that are being written
    stay; so does the mark that a message was forgotten.
    """
    known = [
        tables.Reply.objects.values_list("server_id", flat=True),
        tables.SeenText.objects.values_list("server_id", flat=True),
        tables.Usage.objects.values_list("server_id", flat=True),
        tables.TestRun.objects.values_list("server_id", flat=True),
    ]
    gone = 0
    for server_id in sorted({server_id for ids in known for server_id in ids.distinct()} | sent.servers()):
        before = now - timedelta(days=days_of(server_id or None))
        with transaction.atomic():
            ended = tables.Reply.objects.filter(server_id=server_id, began_at__lt=before).exclude(ended_at=None)
            texts = tables.SeenText.objects.filter(server_id=server_id, seen_at__lt=before).exclude(digest=FORGOTTEN)
            gone += _delete(ended) + _delete(texts) + sent.expire(server_id, before)
            tables.Usage.objects.filter(server_id=server_id, day__lt=before.date()).delete()
            tables.TestRun.objects.filter(server_id=server_id, began_at__lt=before).update(results=[])
    return gone


def _of(user_id: int) -> dict[str, QuerySet[Any]]:
    """What is about this person, by kind."""
    return {
        "messages": tables.SeenText.objects.filter(author_id=user_id),
        "replies": tables.Reply.objects.filter(asker_id=user_id),
        "usage": tables.Usage.objects.filter(user_id=user_id),
        "rules": tables.PermissionRule.objects.filter(subject="user", subject_id=user_id),
        "consent": tables.Person.objects.filter(user_id=user_id),
    }


def _made_by(user_id: int) -> list[QuerySet[Any]]:
    """What this person changed and was asked to note who did."""
    makers = (
        tables.PermissionRule,
        tables.PermissionChange,
        tables.ScopedOption,
        tables.ContextMark,
        tables.TestRun,
        tables.TestSchedule,
        seeing_tables.TaskVersion,
    )
    return [model.objects.filter(by=user_id) for model in makers]


def _forget_usage(user_id: int) -> int:
    """Moves what the person used to nobody, where it still counts for the server's budget."""
    rows = list(tables.Usage.objects.select_for_update().filter(user_id=user_id))
    for row in rows:
        nobody, _ = tables.Usage.objects.get_or_create(day=row.day, server_id=row.server_id, user_id=0)
        tables.Usage.objects.filter(pk=nobody.pk).update(
            replies=F("replies") + row.replies, tokens=F("tokens") + row.tokens
        )
        row.delete()
    return len(rows)


def _delete(rows: QuerySet[Any]) -> int:
    """Deletes and counts these rows, without those that go along with them."""
    table = rows.model._meta.label
    return rows.delete()[1].get(table, 0)
