"""What one person says about one reply, all of it at once: ratings on every scale, a better answer, a flag.

Either all of a form is written or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from talkalike.store.judging import items, judgements, judges, undoing
from talkalike.store.judging.judgement_values import Scale, Type
from talkalike.store.tables import judging_tables as tables

FACE = "discord"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingForm:
    """What somebody says about a reply: ratings by scale (one without a rating is missing), a better answer, a flag."""

    ratings: Mapping[Scale, int] = field(default_factory=dict)
    correction: str = ""
    flag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormChange:
    """What is to be written. A rating of None and a blank text take back; what is not given stays as it is."""

    ratings: Mapping[Scale, int | None] = field(default_factory=dict)
    correction: str | None = None
    flag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was said before and is said now. `explain`: they judge for the first time, and agreed to nothing yet."""

    before: RatingForm
    after: RatingForm
    explain: bool = False


def read_forms(item_ids: Sequence[int], judge_id: int) -> dict[int, RatingForm]:
    """What this judge says about each of the replies."""
    held = tables.Judgement.objects.filter(item_id__in=item_ids, judge_id=judge_id, ended_at=None)
    rows = list(held.order_by("id").values_list("item_id", "type", "scale", "value", "text"))
    return {item_id: _form([row[1:] for row in rows if row[0] == item_id]) for item_id in item_ids}


def read_form(item_id: int, judge_id: int) -> RatingForm:
    """What this judge says about a reply."""
    return read_forms((item_id,), judge_id)[item_id]


def fill(item_id: int, judge_id: int, change: FormChange, *, seconds: float | None = None, face: str) -> Filled:
    """Writes a change; `seconds` were spent on all of it together. Raises RefusedError and writes nothing then."""
    with transaction.atomic():
        before = read_form(item_id, judge_id)
        changed = {scale: value for scale, value in change.ratings.items() if before.ratings.get(scale) != value}
        texts = {Type.CORRECTION: (change.correction, before.correction), Type.FLAG: (change.flag, before.flag)}
        said = {type_: text for type_, (text, known) in texts.items() if text is not None and text != known}
        how: dict[str, Any] = {"seconds": None, "face": face}
        if seconds is not None and (changed or said):
            how["seconds"] = seconds / (len(changed) + len(said))
        for scale, value in changed.items():
            if value is None:
                _withdraw(item_id, judge_id, Type.RATING, scale)
            else:
                judgements.rate(item_id, judge_id, scale, value, **how)
        for type_, text in said.items():
            if not text.strip():
                _withdraw(item_id, judge_id, type_)
            elif type_ is Type.CORRECTION:
                judgements.correct(item_id, judge_id, text, **how)
            else:
                judgements.flag(item_id, judge_id, text, **how)
        return Filled(before=before, after=read_form(item_id, judge_id))


def toggle(item_id: int, judge_id: int, scale: Scale, value: int, *, face: str) -> Filled:
    """Rates the reply on one scale; the same value again takes it back. Raises RefusedError."""
    with transaction.atomic():
        same = read_form(item_id, judge_id).ratings.get(scale) == value
        return fill(item_id, judge_id, FormChange(ratings={scale: None if same else value}), face=face)


# ------------------------------------------------------------------------------------------------------------- Discord
def form_of(reply_id: int, user_id: int, *, speaker: str) -> RatingForm:
    """What this Discord user says about the reply. Raises RefusedError where it cannot be judged."""
    return read_form(items.of_reply(reply_id, speaker=speaker), judges.of_discord(user_id).id)


def press_thumb(reply_id: int, user_id: int, value: int, *, speaker: str) -> Filled:
    """Rates how much the reply sounds like its speaker; the same value again takes it back. Raises RefusedError."""
    with transaction.atomic():
        explain, item_id, judge_id = _of_discord(reply_id, user_id, speaker)
        filled = toggle(item_id, judge_id, Scale.SOUNDS_LIKE_ME, value, face=FACE)
        return Filled(before=filled.before, after=filled.after, explain=explain)


def fill_form(reply_id: int, user_id: int, change: FormChange, *, speaker: str, seconds: float | None = None) -> Filled:
    """As `fill`, for a Discord user and a reply there."""
    with transaction.atomic():
        explain, item_id, judge_id = _of_discord(reply_id, user_id, speaker)
        filled = fill(item_id, judge_id, change, seconds=seconds, face=FACE)
        changed = filled.before != filled.after
        return Filled(before=filled.before, after=filled.after, explain=explain and changed)


def _of_discord(reply_id: int, user_id: int, speaker: str) -> tuple[bool, int, int]:
    """Whether what is kept is to be explained to them; the item and the judge."""
    judge = judges.of_discord(user_id)
    return judges.is_new(judge), items.of_reply(reply_id, speaker=speaker), judge.id


def _form(rows: Sequence[tuple[str, str, int | None, str]]) -> RatingForm:
    texts = {type_: text for type_, _, _, text in rows}
    return RatingForm(
        ratings={Scale(scale): value for _, scale, value, _ in rows if value is not None},
        correction=texts.get(Type.CORRECTION.value, ""),
        flag=texts.get(Type.FLAG.value, ""),
    )


def _withdraw(item_id: int, judge_id: int, type_: Type, scale: Scale | None = None) -> None:
    for row in judgements.of_item(item_id, judge_id):
        if row.type is type_ and row.scale is scale:
            undoing.withdraw(row.id, judge_id)
