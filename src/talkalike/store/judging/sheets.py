"""What one person on Discord says about one reply, all of it at once: a thumb, or a form with every scale.

Either all of a form is written or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import transaction

from talkalike.store.judging import items, judgements, judges
from talkalike.store.judging.judgement_values import Scale, Type

FACE = "discord"
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What somebody says about a reply: ratings by scale (a scale without one is missing), and a better answer."""

    ratings: Mapping[Scale, int] = field(default_factory=dict)
    correction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was said before and is said now. `first`: it is their first judgement; `consent`: it may be learned from."""

    before: Sheet
    after: Sheet
    first: bool
    consent: bool


def sheet(reply_id: int, user_id: int, *, speaker: str) -> Sheet:
    """What this Discord user says about the reply. Raises RefusedError where it cannot be judged."""
    return _read(items.of_reply(reply_id, speaker=speaker), judges.of_discord(user_id).id)


def thumb(reply_id: int, user_id: int, value: int, *, speaker: str) -> Filled:
    """Rates how much the reply sounds like its speaker; the same value again takes it back. Raises RefusedError."""
    with transaction.atomic():
        said = sheet(reply_id, user_id, speaker=speaker).ratings.get(Scale.SOUNDS_LIKE_ME)
        rating = None if said == value else value
        return fill(reply_id, user_id, {Scale.SOUNDS_LIKE_ME: rating}, speaker=speaker)


def fill(
    reply_id: int,
    user_id: int,
    ratings: Mapping[Scale, int | None],
    correction: str | None = None,
    *,
    speaker: str,
    seconds: float | None = None,
) -> Filled:
    """Writes what is given. A rating of None and a blank correction take back; no correction leaves it as it is.

    `seconds` were spent on all of it together. Raises RefusedError and writes nothing then.
    """
    with transaction.atomic():
        judge = judges.of_discord(user_id)
        item_id = items.of_reply(reply_id, speaker=speaker)
        first = judgements.count_since(judge.id, _EVER) == 0
        before = _read(item_id, judge.id)
        changed = {scale: value for scale, value in ratings.items() if before.ratings.get(scale) != value}
        corrects = correction is not None and correction != before.correction
        each = seconds / (len(changed) + corrects) if seconds is not None and (changed or corrects) else None
        for scale, value in changed.items():
            if value is None:
                _withdraw(item_id, judge.id, Type.RATING, scale)
            else:
                judgements.rate(item_id, judge.id, scale, value, seconds=each, face=FACE)
        if corrects and correction is not None and correction.strip():
            judgements.correct(item_id, judge.id, correction, seconds=each, face=FACE)
        elif corrects:
            _withdraw(item_id, judge.id, Type.CORRECTION, None)
        after = _read(item_id, judge.id)
        return Filled(before=before, after=after, first=first and before != after, consent=judge.consent)


def _read(item_id: int, judge_id: int) -> Sheet:
    rows = judgements.of_item(item_id, judge_id)
    return Sheet(
        ratings={row.scale: row.value for row in rows if row.scale is not None and row.value is not None},
        correction=next((row.text for row in rows if row.type is Type.CORRECTION), ""),
    )


def _withdraw(item_id: int, judge_id: int, type_: Type, scale: Scale | None) -> None:
    for row in judgements.of_item(item_id, judge_id):
        if row.type is type_ and row.scale is scale:
            judgements.withdraw(row.id, judge_id)
