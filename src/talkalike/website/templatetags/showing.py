"""Filters of every template: a time, a day, and sentences that name a command."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.dateformat import format as formatted
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from talkalike.website import zones

register = template.Library()
_COMMAND = re.compile(r"`([^`]+)`")


@register.filter
def when(moment: datetime | None) -> str:
    """A time to the minute."""
    return _time(moment, "j M Y, H:i", "minute") if moment else "–"


@register.filter
def day(moment: datetime | str | None) -> str:
    """The day of a time, which may be given in ISO 8601; anything else as it is."""
    if isinstance(moment, str):
        try:
            return day(datetime.fromisoformat(moment))
        except ValueError:
            return moment or "–"
    return _time(moment, "j M Y", "day") if moment else "–"


@register.filter
def commands(words: object) -> SafeString:
    """A sentence with `commands` in it, as HTML: what stands between backticks is to be typed."""
    return mark_safe(_COMMAND.sub(r"<code>\1</code>", conditional_escape(str(words))))


def _time(moment: datetime, form: str, exact: str) -> SafeString:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    words = formatted(timezone.localtime(moment), form) + ("" if zones.is_known() else " UTC")
    return format_html('<time datetime="{}" data-exact="{}">{}</time>', moment.isoformat(), exact, words)
