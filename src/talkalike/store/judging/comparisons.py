"""Two answers side by side in a channel, in one order for everybody, with each person's own vote.

Answers that were only written to be compared are kept as replies, so that their context is forgotten, expires and is
kept out of training as every reply's is. Whoever asked for the models' names can no longer change their vote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from talkalike.store import replies
from talkalike.store.judging import items, judgements, judges, locks, pairs, undoing, voting
from talkalike.store.judging.judgement_values import Choice, Comparison, Reason, RefusedError, Side, seen_choice
from talkalike.store.judging.rating_forms import FACE
from talkalike.store.replies import Beginning, ReplyRow, ReplyState
from talkalike.store.tables import judging_tables as tables

NAMES_SHOWN = 2  # the round of the assignment that notes that somebody was told the names
_MOST_MESSAGES = 100  # in one reply; see `_add`


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer a model wrote to be compared."""

    model: str
    sampling: Mapping[str, Any]
    messages: tuple[str, ...]
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What somebody said about a pair before (None: nothing). `explain` as in `rating_forms.Filled`."""

    before: Side | Choice | None
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The models behind both sides, and what the one who asked had said."""

    left: str
    right: str
    choice: Side | Choice


def against(row: ReplyRow, other: Written, *, speaker: str) -> Comparison:
    """A reply beside another answer to what it answered. Raises RefusedError where it is gone."""
    with transaction.atomic():
        return _compare(row.id, _add(row, other), speaker)


def both(row: ReplyRow, one: Written, other: Written, *, speaker: str) -> Comparison:
    """Two other answers to what the reply answered. Raises RefusedError where they cannot be compared."""
    with transaction.atomic():
        return _compare(_add(row, one), _add(row, other), speaker)


def vote(pair_id: int, user_id: int, choice: Side | Choice) -> Vote:
    """Notes a Discord user's vote in the place of their earlier one. Raises RefusedError once they know the names."""
    with transaction.atomic():
        judge = judges.of_discord(user_id)
        _require_blind(pair_id, judge.id)
        before = Vote(before=opinion_of(pair_id, judge.id), explain=judges.is_new(judge))
        voting.compare(pair_id, judge.id, choice, face=FACE)
        return before


def take_back(pair_id: int, user_id: int) -> Vote:
    """Takes a Discord user's vote back, if there is one. Raises RefusedError once they know the names."""
    with transaction.atomic():
        judge = judges.of_discord(user_id)
        _require_blind(pair_id, judge.id)
        before = opinion_of(pair_id, judge.id)
        for row in judgements.of_pair(pair_id, judge.id):
            undoing.withdraw(row.id, judge.id)
        return Vote(before=before)


def show_names(pair_id: int, user_id: int) -> Names:
    """Tells a Discord user who voted the models' names; from then on the vote stays. Raises RefusedError."""
    with transaction.atomic():
        judge = locks.lock_judge(judges.of_discord(user_id).id)
        pair = tables.Pair.objects.filter(id=pair_id).first()
        if pair is None:
            raise locks.unknown_error("pair")
        choice = opinion_of(pair_id, judge.pk)
        if choice is None:
            raise RefusedError(Reason.CLOSED, "The names are shown to those who voted.", hint="Vote first.")
        a, b = pairs.names(pair_id)
        tables.Assignment.objects.get_or_create(
            judge=judge, pair=pair, round=NAMES_SHOWN, defaults={"a_first": pair.a_first, "done": True}
        )
        left, right = (a, b) if pair.a_first else (b, a)
        return Names(left=left, right=right, choice=choice)


def opinion_of(pair_id: int, judge_id: int) -> Side | Choice | None:
    """What a judge says about the pair, a better answer by the side it stands on; None for nothing."""
    held = tables.Judgement.objects.filter(pair_id=pair_id, judge_id=judge_id, ended_at=None).order_by("-id")
    for choice, a_first in held.values_list("choice", "pair__a_first")[:1]:
        return seen_choice(Choice(choice), a_left=a_first)
    return None


def _compare(one: int, other: int, speaker: str) -> Comparison:
    """Two replies, by their ids, in the order that everybody sees."""
    pair_id = pairs.make_pair(items.of_reply(one, speaker=speaker), items.of_reply(other, speaker=speaker))
    pair = tables.Pair.objects.select_related("a", "b").get(id=pair_id)
    found = items.side_by_side(pair.a, pair.b, a_left=pair.a_first, id=pair_id)
    if found is None:
        raise locks.vanished_error()
    return found


def _add(row: ReplyRow, written: Written) -> int:
    """Keeps an answer as a further reply: to the reply it stands beside, so that nobody takes it for that one."""
    if not row.messages:
        raise locks.vanished_error()
    reply_id = replies.begin(
        Beginning(
            trigger_id=row.messages[0].message_id,
            channel_id=row.channel_id,
            server_id=row.server_id,
            thread=row.thread,
            asker_id=row.asker_id,
            model=written.model,
            sampling=written.sampling,
            again=True,
            test=row.test,
        )
    )
    if reply_id is None:
        raise RefusedError(Reason.CLOSED, "Many people compare this reply right now.", hint="Try again.")
    kept = [turn for turn in row.seen.get("kept", ()) if not turn["forgotten"]]
    replies.note_seen(reply_id, {**row.seen, "kept": kept})
    for index, text in enumerate(written.messages[:_MOST_MESSAGES]):
        # No message of its own on Discord: a number that Discord never gives.
        replies.note_sent(reply_id, -(reply_id * _MOST_MESSAGES + index), text, index)
    replies.end(reply_id, ReplyState.DONE, tokens=written.tokens, seconds=written.seconds)
    return reply_id


def _require_blind(pair_id: int, judge_id: int) -> None:
    if tables.Assignment.objects.filter(pair_id=pair_id, judge_id=judge_id, round=NAMES_SHOWN).exists():
        raise RefusedError(
            Reason.REVEALED, "You know the models' names, so your vote stays as it is.", hint="Nothing was changed."
        )
