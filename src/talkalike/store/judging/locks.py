"""Rows that a transaction is about to change, locked in the order that all keep: the judge, then the pair or the item.

Each raises RefusedError where the row is not there, or nothing may be said about it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from talkalike.store.judging.judgement_values import Given, Reason, RefusedError
from talkalike.store.tables import judging_tables as tables
from talkalike.store.tables import tables as reply_tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

DISCORD = "discord"  # the origin of replies whose texts are kept with the reply
GONE = "This pair is not there any more, or it was not given to you. Nothing was stored; what you said before is kept."


def lock_judge(judge_id: int) -> models.Judge:
    """The judge, who is not blocked: what one judge does happens one after another."""
    row = tables.Judge.objects.select_for_update(no_key=True).filter(id=judge_id).first()
    if row is None:
        raise RefusedError(Reason.UNKNOWN, "You are not known as a judge here.", hint="Open the judging page again.")
    if row.blocked_at is not None:
        raise RefusedError(Reason.BLOCKED, "You were shut out of judging.", hint="Ask the owner of the double.")
    return row


def lock_item(item_id: int, *, vanished: bool = False) -> models.Item:
    """The item; `vanished`: also where its text is gone."""
    item = tables.Item.objects.select_for_update(of=("self",), no_key=True).filter(id=item_id).first()
    if item is None:
        raise unknown_error("reply")
    if not vanished:
        _require_text(item)
    return item


def lock_pair(pair_id: int, *, vanished: bool = False) -> models.Pair:
    """The pair, of a batch that is open; `vanished`: also where a text is gone."""
    rows = tables.Pair.objects.select_for_update(of=("self",), no_key=True).select_related("a", "b", "batch")
    pair = rows.filter(id=pair_id).first()
    if pair is None:
        raise unknown_error("pair", hint="Go on with the next one.")
    _require_judgeable(pair, vanished=vanished)
    return pair


def lock_given(given: Given, judge_id: int) -> models.Assignment:
    """The judge and a pair that they were shown."""
    judge = lock_judge(judge_id)
    rows = tables.Assignment.objects.filter(
        pair_id=given.pair_id, judge_id=judge_id, round=int(given.repeat), batch_id=given.batch_id
    )
    rows = rows.select_for_update(of=("pair",), no_key=True).select_related("pair__a", "pair__b", "pair__batch")
    found: models.Assignment | None = rows.first()
    if found is None:
        raise RefusedError(Reason.UNKNOWN, GONE)
    _require_judgeable(found.pair)
    found.judge = judge
    return found


def lock_assigned(pair_id: int, judge_id: int, *, repeat: bool) -> models.Assignment:
    """The judge and a pair, in the order in which they see or saw it. Refused for a repetition nobody asked for."""
    judge, pair = lock_judge(judge_id), lock_pair(pair_id)
    found: models.Assignment | None = tables.Assignment.objects.filter(
        pair=pair, judge=judge, round=int(repeat)
    ).first()
    if found is None and repeat:
        raise RefusedError(Reason.UNKNOWN, "You were not asked a second time about this pair.")
    if found is None:  # judged where it stood, without the judging page: in the pair's own order
        return tables.Assignment.objects.create(
            judge=judge, batch_id=pair.batch_id, pair=pair, round=0, a_first=pair.a_first
        )
    found.judge, found.pair = judge, pair
    return found


def open_batch(batch_id: int) -> models.Batch:
    """The batch, which takes judgements; not locked."""
    batch = tables.Batch.objects.filter(id=batch_id).first()
    if batch is None:
        raise unknown_error("batch")
    _require_open(batch)
    return batch


def unknown_error(what: str, *, hint: str = "") -> RefusedError:
    """What to say of something that is not there."""
    return RefusedError(Reason.UNKNOWN, f"There is no such {what}, or no longer.", hint=hint)


def vanished_error() -> RefusedError:
    """What to say of a reply whose text is gone."""
    return RefusedError(
        Reason.VANISHED,
        "This reply is no longer there, so it cannot be judged.",
        hint="It was deleted or has expired; what you said about others is kept.",
    )


def _require_judgeable(pair: models.Pair, *, vanished: bool = False) -> None:
    if pair.batch is not None:
        _require_open(pair.batch)
    if not vanished:
        _require_text(pair.a)
        _require_text(pair.b)


def _require_open(batch: models.Batch) -> None:
    if batch.state == "revealed":
        raise RefusedError(
            Reason.REVEALED,
            "The models' names of this batch were shown, so its pairs can no longer be judged.",
            hint="What was judged before is kept.",
        )
    if batch.state != "open":
        raise RefusedError(Reason.CLOSED, "This batch is closed.", hint="What was judged before is kept.")


def _require_text(row: models.Item) -> None:
    """For less than reading the text costs."""
    there = row.gone_at is None
    if there and row.origin == DISCORD:
        sent = reply_tables.SentMessage.objects.filter(reply_id=row.reply_id).exclude(text="")
        there = row.reply_id is not None and sent.exists()
    if not there:
        raise vanished_error()
