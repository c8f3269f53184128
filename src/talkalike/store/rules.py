"""The rules of who may what, and the history of their changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.store.changes import changing
from talkalike.store.tables import tables

if TYPE_CHECKING:
    from talkalike.store.models import PermissionChange, PermissionRule


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """A change somebody made. `rule` as it was set, or as it was when removed; `previous` is what it replaced."""

    rule: Rule
    removed: bool
    previous: Level | Access | None
    by: int
    at: datetime


def all_rules() -> tuple[Rule, ...]:
    """Every rule there is, in the order of their making."""
    return tuple(_rule(row) for row in tables.PermissionRule.objects.order_by("id"))


def rules_of(server_id: int | None) -> tuple[Rule, ...]:
    """The bot-wide rules and those of that server; with None, the bot-wide ones only (direct messages)."""
    rows = tables.PermissionRule.objects.filter(server_id__in={0, server_id or 0}).order_by("id")
    return tuple(_rule(row) for row in rows)


@changing
def put(rule: Rule, *, by: int) -> None:
    """Sets the rule; one for the same subject (its level or its access) is replaced."""
    with transaction.atomic():
        row = tables.PermissionRule.objects.select_for_update().filter(**_key(rule)).first()
        value = _value(rule)
        _record(rule, previous=row.value if row else None, value=value, by=by)
        tables.PermissionRule.objects.update_or_create(
            **_key(rule), defaults={"value": value, "by": by, "at": timezone.now()}
        )


@changing
def remove(rule: Rule, *, by: int) -> bool:
    """Removes the rule for that subject (its level or its access, whatever value it has); False if there was none."""
    with transaction.atomic():
        row = tables.PermissionRule.objects.select_for_update().filter(**_key(rule)).first()
        if row is None:
            return False
        _record(rule, previous=row.value, value=None, by=by)
        row.delete()
        return True


def history(server_id: int | None, limit: int = 50) -> tuple[RuleChange, ...]:
    """The last changes to that server's rules (None: to the bot-wide ones), newest first."""
    rows = tables.PermissionChange.objects.filter(server_id=server_id or 0).order_by("-id")[:limit]
    return tuple(_change(row) for row in rows)


def _key(rule: Rule) -> dict[str, Any]:
    return {
        "server_id": rule.server_id or 0,
        "subject": rule.subject.value,
        "subject_id": rule.subject_id,
        "kind": "access" if rule.level is None else "level",
    }


def _value(rule: Rule) -> int:
    value = rule.access if rule.level is None else rule.level
    if value is None:
        raise ValueError("a rule has a level or an access")
    return int(value)


def _record(rule: Rule, *, previous: int | None, value: int | None, by: int) -> None:
    tables.PermissionChange.objects.create(**_key(rule), previous=previous, value=value, by=by, at=timezone.now())


def _rule(row: PermissionRule) -> Rule:
    return _rule_of(row, row.value)


def _rule_of(row: PermissionRule | PermissionChange, value: int) -> Rule:
    is_level = row.kind == "level"
    return Rule(
        server_id=row.server_id or None,
        subject=Subject(row.subject),
        subject_id=row.subject_id,
        level=Level(value) if is_level else None,
        access=None if is_level else Access(value),
    )


def _change(row: PermissionChange) -> RuleChange:
    kind: type[Level] | type[Access] = Level if row.kind == "level" else Access
    removed = row.value is None
    return RuleChange(
        rule=_rule_of(row, (row.previous or 0) if row.value is None else row.value),
        removed=removed,
        previous=None if row.previous is None else kind(row.previous),
        by=row.by,
        at=row.at,
    )
