"""What is kept about somebody who judges, or of a server's replies, and deleting it so that the counts still hold."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Max, Q, QuerySet, Sum
from django.db.models.functions import Length
from django.utils import timezone

from talkalike.store import usage
from talkalike.store.judging import counting
from talkalike.store.judging.counting import Change, Deltas
from talkalike.store.judging.judgement_values import Kind
from talkalike.store.tables import judging_tables as tables
from talkalike.store.tables import tables as other_tables

if TYPE_CHECKING:
    from talkalike.store.judging import models


def count_about(user_id: int) -> dict[str, int]:
    """How much a Discord user judged and guessed; texts also in characters."""
    judgements = tables.Judgement.objects.filter(judge__user_id=user_id)
    return {
        "judgements": judgements.count(),
        "judgement_characters": judgements.aggregate(sum=Sum(Length("text"), default=0))["sum"],
        "guesses": tables.Guess.objects.filter(judge__user_id=user_id).count(),
    }


def export_about(user_id: int) -> dict[str, Any]:
    """The same in full, for somebody on Discord."""
    judge = tables.Judge.objects.filter(user_id=user_id).first()
    return about_judge(judge.pk) if judge else {"judge": None, "judgements": [], "guesses": [], "replies": []}


def about_judge(judge_id: int) -> dict[str, Any]:
    """Everything kept about a judge, ready for JSON; also what they judged before they changed their mind."""
    judge = tables.Judge.objects.get(id=judge_id)
    rows = tables.Judgement.objects.filter(judge=judge).select_related("item", "pair").order_by("id")
    return {
        "judge": {
            "pseudonym": judge.pseudonym,
            "group": judge.group,
            "consent": judge.consent_at and judge.consent_at.isoformat(),
            "blocked": judge.blocked_at is not None,
        },
        "judgements": [
            {
                "type": row.type,
                "about": row.item.key if row.item else row.pair.key,
                "scale": row.scale,
                "value": row.value,
                "choice": row.choice,
                "text": row.text,
                "at": row.at.isoformat(),
                "ended": row.ended_at and row.ended_at.isoformat(),
                "seconds": row.seconds,
                "face": row.face,
            }
            for row in rows
        ],
        "guesses": [
            {"right": row.right, "at": row.at.isoformat(), "seconds": row.seconds, "face": row.face}
            for row in tables.Guess.objects.filter(judge=judge).order_by("id")
        ],
        "replies": [
            {"context": row.context, "messages": row.messages, "at": row.made_at.isoformat()}
            for row in tables.Item.objects.filter(author=judge).order_by("id")
        ],
    }


def forget_user(user_id: int) -> dict[str, int]:
    """Deletes what a Discord user judged and guessed; returns how much of each kind went."""
    judge = tables.Judge.objects.filter(user_id=user_id).values_list("id", flat=True).first()
    return forget_judge(judge) if judge is not None else {"judgements": 0, "guesses": 0, "judged_replies": 0}


def forget_judge(judge_id: int) -> dict[str, int]:
    """Deletes a judge: what they said, and the texts of replies given to them on the website.

    Others' judgements of those replies stay as numbers. A judge who was shut out stays shut out, without anything else.
    """
    with transaction.atomic():
        judge = tables.Judge.objects.select_for_update().filter(id=judge_id).first()
        if judge is None:
            return {"judgements": 0, "guesses": 0, "judged_replies": 0}
        gone = {"judgements": _erase(tables.Judgement.objects.filter(judge=judge))}
        guesses = tables.Guess.objects.filter(judge=judge)
        asked = list(guesses.order_by("question_id").values_list("question_id", flat=True))
        gone["guesses"] = guesses.delete()[1].get("store.Guess", 0)
        for question_id in asked:
            tables.GuessQuestion.objects.filter(id=question_id).update(guesses=F("guesses") - 1)
        gone["judged_replies"] = 0
        for item in tables.Item.objects.filter(author=judge).order_by("id"):
            _wipe(item)
            gone["judged_replies"] += 1
        tables.Assignment.objects.filter(judge=judge).delete()
        tables.Pair.objects.filter(last_judge_id=judge.pk).update(last_judge_id=0)
        other_tables.Usage.objects.filter(user_id=usage.on_website(judge.pk)).delete()
        if judge.blocked_at is None:
            judge.delete()
        else:
            tables.Judge.objects.filter(id=judge.pk).update(consent_at=None, pseudonym=f"gone-{secrets.token_hex(8)}")
        return gone


def forget_server(server_id: int) -> dict[str, int]:
    """Deletes the judged replies of a server, with its batches, blind tests and all judgements about them."""
    with transaction.atomic():
        rounds = tables.GuessRound.objects.filter(server_id=server_id)
        asked = tables.GuessQuestion.objects.filter(round__in=rounds)
        used = {item_id for ids in asked.values_list("real_id", "other_id") for item_id in ids}
        of_server = Q(server_id=server_id) | Q(id__in=used)
        items = tables.Item.objects.filter(of_server)
        pairs = tables.Pair.objects.filter(Q(a__in=items) | Q(b__in=items) | Q(batch__server_id=server_id))
        gone = {
            "judgements": _erase(tables.Judgement.objects.filter(Q(item__in=items) | Q(pair__in=pairs))),
            "pairs": pairs.delete()[1].get("store.Pair", 0),
            "batches": tables.Batch.objects.filter(server_id=server_id).delete()[1].get("store.Batch", 0),
            "blind_tests": rounds.delete()[1].get("store.GuessRound", 0),
        }
        items = tables.Item.objects.filter(of_server)
        gone["judged_replies"] = items.delete()[1].get("store.Item", 0)
        return gone


def wipe_items(item_ids: Iterable[int]) -> None:
    """Takes every word from these replies; how they were judged stays counted."""
    for item in tables.Item.objects.select_for_update(no_key=True).filter(id__in=item_ids, gone_at=None).order_by("id"):
        _wipe(item)


def _erase(rows: QuerySet[Any]) -> int:
    """Deletes judgements and takes them out of every count; returns how many there were."""
    newest = rows.aggregate(id=Max("id"))["id"]
    rows = rows.filter(id__lte=newest or 0)
    in_force = rows.filter(ended_at=None)
    # Locks in the order of the ids, pairs before items, counts last: as everywhere, so that nobody waits in a circle.
    pairs = {
        pair.pk: pair
        for pair in tables.Pair.objects.select_for_update(of=("self",), no_key=True)
        .select_related("a", "b")
        .filter(id__in=in_force.exclude(pair=None).values("pair_id"))
        .order_by("id")
    }
    items = {
        item.pk: item
        for item in tables.Item.objects.select_for_update(of=("self",), no_key=True)
        .filter(id__in=in_force.exclude(item=None).values("item_id"))
        .order_by("id")
    }
    of_pair: dict[int, list[Change]] = defaultdict(list)
    of_item: dict[int, list[Change]] = defaultdict(list)
    for row in in_force.select_related("judge").order_by("id"):
        change = Change(judgement=row, kind=Kind(row.judge.kind), by=-1)
        if row.pair_id is not None:
            of_pair[row.pair_id].append(change)
        elif row.item_id is not None:
            of_item[row.item_id].append(change)
    deltas = Deltas()
    for pair_id, changes in sorted(of_pair.items()):
        deltas.include(counting.about_pair(pairs[pair_id], changes))
    for item_id, changes in sorted(of_item.items()):
        deltas.include(counting.about_item(items[item_id], changes))
    counting.add(deltas)
    return rows.delete()[1].get("store.Judgement", 0)


def _wipe(item: models.Item) -> None:
    """Takes every word from an item. Its name in files goes, too: it was made from the words."""
    item.key, item.gone_at, item.author = secrets.token_hex(16), timezone.now(), None
    item.context, item.messages, item.sampling, item.speaker = [], [], {}, ""
    item.save()
