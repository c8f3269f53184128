"""Two answers side by side in a channel, in one order for everybody, with each person's own vote.

Answers that were only written to be compared are kept as replies, so that their context is forgotten, expires and is
kept out of training as every reply's is. Whoever asked for the models' names can no longer change their vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from talkalike.store import replies
from talkalike.store.judging import items, judgements, judges, pairs
from talkalike.store.judging.judgement_values import Choice, Refusal, RefusedError, Side, Turn
from talkalike.store.judging.sheets import FACE
from talkalike.store.replies import Beginning, ReplyRow, ReplyState
from talkalike.store.tables import judging_tables as tables

NAMES_SHOWN = 2  # the round of the assignment that notes that somebody was told the names
_MOST_MESSAGES = 100  # in one reply; see `_message_id`


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer a model wrote to be compared."""

    model: str
    sampling: Mapping[str, Any]
    messages: tuple[str, ...]
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A pair as everybody sees it: the left answer is called A, the right one B."""

    pair_id: int
    context: tuple[Turn, ...]
    speaker: str
    left: tuple[str, ...]
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What somebody says about a pair now (a side, or another choice; None: nothing), and what they said before.

    `first`: it is their first judgement. `consent`: it may be learned from.
    """

    choice: Side | Choice | None
    before: Side | Choice | None
    first: bool = False
    consent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The models behind both sides, and what the one who asked had said."""

    left: str
    right: str
    choice: Side | Choice


def against(row: ReplyRow, other: Written, *, speaker: str) -> Board:
    """A reply beside another answer to what it answered. Raises RefusedError where it is gone."""
    with transaction.atomic():
        return _board(items.of_reply(row.id, speaker=speaker), _add(row, other), speaker)


def both(row: ReplyRow, one: Written, other: Written, *, speaker: str) -> Board:
    """Two other answers to what the reply answered. Raises RefusedError where they cannot be compared."""
    with transaction.atomic():
        first = items.of_reply(_add(row, one), speaker=speaker)
        return _board(first, _add(row, other), speaker)


def vote(pair_id: int, user_id: int, choice: Side | Choice) -> Vote:
    """Notes a Discord user's vote in the place of their earlier one. Raises RefusedError once they know the names."""
    with transaction.atomic():
        judge = judges.of_discord(user_id)
        _not_final(pair_id, judge.id)
        first = not tables.Judgement.objects.filter(judge_id=judge.id).exists()
        before = said(pair_id, judge.id)
        judgements.compare(pair_id, judge.id, choice, face=FACE)
        return Vote(choice=said(pair_id, judge.id), before=before, first=first, consent=judge.consent)


def take_back(pair_id: int, user_id: int) -> Vote:
    """Takes a Discord user's vote back, if there is one. Raises RefusedError once they know the names."""
    with transaction.atomic():
        judge = judges.of_discord(user_id)
        _not_final(pair_id, judge.id)
        before = said(pair_id, judge.id)
        for row in judgements.of_pair(pair_id, judge.id):
            judgements.withdraw(row.id, judge.id)
        return Vote(choice=None, before=before)


def show_names(pair_id: int, user_id: int) -> Names:
    """Tells a Discord user who voted the models' names; from then on the vote stays. Raises RefusedError."""
    with transaction.atomic():
        judge = judges.allowed(judges.of_discord(user_id).id)
        pair = tables.Pair.objects.filter(id=pair_id).first()
        if pair is None:
            raise RefusedError(Refusal.UNKNOWN, "There is no such pair, or no longer.")
        choice = said(pair_id, judge.pk)
        if choice is None:
            raise RefusedError(Refusal.CLOSED, "The names are shown to those who voted.", hint="Vote first.")
        a, b = pairs.names(pair_id)
        tables.Assignment.objects.get_or_create(
            judge=judge, pair=pair, round=NAMES_SHOWN, defaults={"a_first": pair.a_first, "done": True}
        )
        left, right = (a, b) if pair.a_first else (b, a)
        return Names(left=left, right=right, choice=choice)


def said(pair_id: int, judge_id: int) -> Side | Choice | None:
    """What a judge says about the pair, a better answer by the side it stands on; None for nothing."""
    rows = judgements.of_pair(pair_id, judge_id)
    if not rows or rows[-1].choice is None:
        return None
    choice = rows[-1].choice
    if choice not in (Choice.A, Choice.B):
        return choice
    pair = tables.Pair.objects.get(id=pair_id)
    return Side.LEFT if (choice is Choice.A) == pair.a_first else Side.RIGHT


def _board(first: int, other_reply: int, speaker: str) -> Board:
    pair_id = pairs.make_pair(first, items.of_reply(other_reply, speaker=speaker))
    pair = tables.Pair.objects.select_related("a", "b").get(id=pair_id)
    a, b = items.read(pair.a), items.read(pair.b)
    if a is None or b is None:
        raise items.vanished()
    left, right = (a, b) if pair.a_first else (b, a)
    return Board(pair_id=pair_id, context=a.context, speaker=a.speaker, left=left.messages, right=right.messages)


def _add(row: ReplyRow, written: Written) -> int:
    """Keeps an answer as a further reply: to the reply it stands beside, so that nobody takes it for that one."""
    if not row.messages:
        raise items.vanished()
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
        raise RefusedError(Refusal.CLOSED, "Many people compare this reply right now.", hint="Try again.")
    kept = [turn for turn in row.seen.get("kept", ()) if not turn["forgotten"]]
    replies.saw(reply_id, {**row.seen, "kept": kept})
    _send(reply_id, written.messages)
    replies.end(reply_id, ReplyState.DONE, tokens=written.tokens, seconds=written.seconds)
    return reply_id


def _send(reply_id: int, messages: Sequence[str]) -> None:
    for index, text in enumerate(messages[:_MOST_MESSAGES]):
        # No message of its own on Discord: a number that Discord never gives.
        replies.sent(reply_id, -(reply_id * _MOST_MESSAGES + index), text, index)


def _not_final(pair_id: int, judge_id: int) -> None:
    if tables.Assignment.objects.filter(pair_id=pair_id, judge_id=judge_id, round=NAMES_SHOWN).exists():
        raise RefusedError(
            Refusal.REVEALED, "You know the models' names, so your vote stays as it is.", hint="Nothing was changed."
        )
