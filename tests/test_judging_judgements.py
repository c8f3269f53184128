"""Judging: once per person and thing, changed and undone at will, refused with a reason, and nothing overwritten."""

from __future__ import annotations

import dataclasses
import math
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from judging_world import batch_of, counts, judge, paired, put, reply
from store_child import beginning
from talkalike.store import people, replies
from talkalike.store.judging import items, judgements, judges, pairs, serving, standings, summaries, undoing, voting
from talkalike.store.judging.judgement_values import Choice, Given, Reason, RefusedError, Scale, Side
from talkalike.store.replies import ReplyState
from talkalike.store.store import Store

pytest_plugins = ("store_databases",)
WEB = {"face": "web"}


def said(store: Store, trigger_id: int, text: str = "hello", *, again: bool = False) -> int:
    """A finished reply on Discord; its id."""
    reply_id = store.call(replies.begin, beginning(trigger_id, again=again))
    assert reply_id is not None
    asked = {"id": str(trigger_id), "author_id": 30, "speaker": "Anna", "text": "hi", "tokens": 1, "why": "newest"}
    store.call(replies.note_seen, reply_id, {"kept": [asked], "left_out": [], "budget": 10})
    store.call(replies.note_sent, reply_id, 1_000_000 + reply_id, text, 0)
    store.call(replies.end, reply_id, ReplyState.DONE)
    return reply_id


def refused(store: Store, *call: Any, **named: Any) -> Reason:
    """Why the call is refused; and that it changed nothing."""
    before = counts(store)
    with pytest.raises(RefusedError) as told:
        store.call(*call, **named)
    assert counts(store) == before
    assert told.value.what.endswith(".")
    return told.value.reason


def values(store: Store, item_id: int, judge_id: int) -> dict[str, Any]:
    return {row.scale or row.type: row.value or row.text for row in store.call(judgements.of_item, item_id, judge_id)}


def test_a_reply_is_stored_once_and_read_as_it_was_written(store: Store) -> None:
    one, other = put(store, 1), put(store, 1, "base")
    assert put(store, 1) == one != other
    read = store.call(items.item, one)
    assert read is not None
    assert read == reply(1, id=items.key_of(reply(1)))
    assert store.call(items.item, 999) is None
    assert refused(store, items.put_item, reply(1, messages=(" ", ""))) is Reason.INVALID


def test_each_kind_of_judgement_is_kept_beside_the_others(store: Store) -> None:
    item_id, other, anna, ben = put(store, 1), put(store, 2), judge(store), judge(store)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, **WEB)
    store.call(judgements.rate, item_id, anna, Scale.HONEST, 2, **WEB)
    store.call(judgements.correct, item_id, anna, "better\nlike this", seconds=12.5, **WEB)
    store.call(judgements.flag, item_id, anna, "rude", **WEB)
    store.call(judgements.skip, item_id, ben, **WEB)
    store.call(judgements.rate, other, ben, Scale.HELPFUL, 1, **WEB)
    assert values(store, item_id, anna) == {
        "helpful": 4, "honest": 2, "correction": "better\nlike this", "flag": "rude",
    }  # fmt: skip
    assert values(store, item_id, ben) == {"skip": ""}
    assert store.call(summaries.totals) == {"rating": 3, "correction": 1, "flag": 1, "skip": 1}


def test_a_change_replaces_and_undo_brings_back_what_was_replaced(store: Store) -> None:
    item_id, anna, ben = put(store), judge(store), judge(store)
    store.call(judgements.rate, item_id, ben, Scale.HELPFUL, 5, **WEB)
    clean = counts(store)
    for value in (1, 2, 3):
        store.call(judgements.rate, item_id, anna, Scale.HELPFUL, value, **WEB)
    assert values(store, item_id, anna) == {"helpful": 3}
    for expected in (2, 1):
        undone = store.call(undoing.undo, anna)
        assert undone is not None and undone.holds_again is not None
        assert (undone.taken_back.value, undone.holds_again.value) == (expected + 1, expected)
        assert values(store, item_id, anna) == {"helpful": expected}
    undone = store.call(undoing.undo, anna)
    assert undone is not None and undone.holds_again is None
    assert values(store, item_id, anna) == {}
    assert store.call(undoing.undo, anna) is None
    assert counts(store) == clean
    # Append-only: everything anybody said is still known, Ben's among it untouched.
    history = store.call(judgements.history, item_id=item_id)
    assert [row.value for row in history] == [5, 1, 2, 3, 2, 1]
    assert [row.ended_at is None for row in history] == [True] + [False] * 5


def test_the_same_again_is_the_one_that_is_there(store: Store) -> None:
    item_id, anna = put(store), judge(store)
    pair_id = paired(store, 5, None)
    first = store.call(judgements.rate, item_id, anna, Scale.HONEST, 3, **WEB)
    assert store.call(judgements.rate, item_id, anna, Scale.HONEST, 3, **WEB) == first
    voted = store.call(voting.compare, pair_id, anna, Choice.A, **WEB)
    assert store.call(voting.compare, pair_id, anna, Choice.A, face="discord") == voted
    assert len(store.call(judgements.history, item_id=item_id)) == 1
    assert store.call(summaries.totals) == {"comparison": 1, "rating": 1}


def test_nobody_elses_vote_is_locked_or_overwritten_by_yours(store: Store) -> None:
    pair_id, other = paired(store, 1, None), paired(store, 2, None)
    voters = [judge(store) for _ in range(4)]
    for voter, choice in zip(voters, (Choice.A, Choice.B, Choice.TIE, Choice.SKIP), strict=True):
        store.call(voting.compare, pair_id, voter, choice, **WEB)
    store.call(voting.compare, other, voters[0], Choice.BOTH_BAD, **WEB)
    store.call(voting.compare, pair_id, voters[0], Choice.B, **WEB)
    mine = [store.call(judgements.of_pair, pair_id, voter)[0].choice for voter in voters]
    assert mine == [Choice.B, Choice.B, Choice.TIE, Choice.SKIP]
    assert counts(store)["pairs"] == [({"b": 2, "tie": 1}, 3, 0), ({"both_bad": 1}, 1, 0)]
    assert store.call(undoing.withdraw, store.call(judgements.of_pair, pair_id, voters[1])[0].id, voters[1])
    assert counts(store)["pairs"][0][0] == {"b": 1, "tie": 1}
    assert refused(
        store, undoing.withdraw, store.call(judgements.of_pair, pair_id, voters[2])[0].id, voters[0]
    ) is Reason.OTHERS  # fmt: skip


def test_a_skip_is_no_zero_and_enters_no_mean(store: Store) -> None:
    item_id, pair_id, people_ = put(store), paired(store, 1, None), [judge(store) for _ in range(3)]
    store.call(judgements.rate, item_id, people_[0], Scale.HELPFUL, 4, **WEB)
    store.call(judgements.skip, item_id, people_[1], **WEB)
    store.call(voting.compare, pair_id, people_[0], Choice.A, **WEB)
    store.call(voting.compare, pair_id, people_[1], Choice.SKIP, **WEB)
    (rating,) = store.call(summaries.ratings)
    assert (rating.n, rating.mean) == (1, 4.0)
    assert [(row.wins, row.ties, row.losses) for row in store.call(standings.standings)] == [(1, 0, 0), (0, 0, 1)]
    assert store.call(summaries.agreement)["comparisons"].units == 0
    assert store.call(summaries.totals)["skip"] == 2


def test_a_side_is_what_stood_there(store: Store) -> None:
    anna = judge(store)
    for number in range(8):
        pair_id = paired(store, number, None)
        store.call(voting.compare, pair_id, anna, Side.LEFT, **WEB)
        (row,) = store.call(judgements.of_pair, pair_id, anna)
        first = store.call(lambda pair_id=pair_id: _pair(pair_id).a_first)
        assert row.choice is (Choice.A if first else Choice.B)
    assert store.call(summaries.habits).first.share == 1.0


def test_a_vote_is_for_what_was_given_and_leads_on(store: Store) -> None:
    batch_id, _ = batch_of(store, 3)
    other, _ = batch_of(store, 1, seed=8)
    anna, ben = judge(store), judge(store)
    shown = store.call(serving.next_pair, anna, batch_id)
    assert shown is not None
    given = Given(batch_id=batch_id, pair_id=shown.id, repeat=False)
    here = store.call(voting.vote, given, anna, Side.RIGHT, **WEB, go_on=False)
    assert here is not None and (here.left, here.right, here.said) == (shown.left, shown.right, Side.RIGHT)
    assert here == store.call(serving.find_shown, shown.id, anna)
    following = store.call(voting.vote, given, anna, Choice.TIE, **WEB, go_on=True)
    assert following is not None and following.id != shown.id and following.given is None
    assert following == store.call(serving.next_pair, anna, batch_id)
    assert [row.choice for row in store.call(judgements.of_pair, shown.id, anna)] == [Choice.TIE]
    for who, wrong in (
        (ben, given),
        (anna, dataclasses.replace(given, batch_id=other)),
        (anna, dataclasses.replace(given, repeat=True)),
    ):
        with pytest.raises(RefusedError, match="not given to you"):
            store.call(voting.vote, wrong, who, Choice.A, **WEB, go_on=True)
    store.call(pairs.close_batch, batch_id)
    with pytest.raises(RefusedError, match="closed"):
        store.call(voting.vote, given, anna, Choice.A, **WEB, go_on=True)
    assert store.call(summaries.totals) == {"comparison": 1}


def _pair(pair_id: int) -> Any:
    from talkalike.store.judging import models

    return models.Pair.objects.get(id=pair_id)


@pytest.mark.parametrize("value", [0, 6, -1, True, 2.5, "3", None])
def test_a_rating_outside_the_scale_is_refused(store: Store, value: Any) -> None:
    assert refused(store, judgements.rate, put(store), judge(store), Scale.HONEST, value, **WEB) is Reason.INVALID


def test_corrections_of_every_size_are_kept_or_refused_as_a_whole(store: Store) -> None:
    item_id, anna = put(store), judge(store)
    for text in ("👍🏽", "🤷\u200d♀️\n🫠", "x" * 100_000, " spaced \n\n out "):
        store.call(judgements.correct, item_id, anna, text, **WEB)
        assert values(store, item_id, anna) == {"correction": text}
    assert refused(store, judgements.correct, item_id, anna, " \n\t", **WEB) is Reason.INVALID
    assert refused(store, judgements.correct, item_id, anna, "x" * 200_001, **WEB) is Reason.INVALID
    store.call(judgements.correct, item_id, anna, "half \ud83d and \x00 none", **WEB)
    assert values(store, item_id, anna) == {"correction": "half ? and  none"}


def test_a_blocked_judge_is_refused_and_what_they_said_stays(store: Store) -> None:
    item_id, pair_id, anna, ben = put(store), paired(store, 1, None), judge(store), judge(store)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, **WEB)
    store.call(judges.set_blocked, anna, True)
    assert refused(store, judgements.rate, item_id, anna, Scale.HELPFUL, 1, **WEB) is Reason.BLOCKED
    assert refused(store, voting.compare, pair_id, anna, Choice.A, **WEB) is Reason.BLOCKED
    assert refused(store, undoing.undo, anna) is Reason.BLOCKED
    store.call(voting.compare, pair_id, ben, Choice.A, **WEB)
    assert store.call(summaries.totals) == {"comparison": 1, "rating": 1}
    store.call(judges.set_blocked, anna, False)
    assert store.call(undoing.undo, anna) is not None


def test_unknown_things_and_judges_are_refused(store: Store) -> None:
    anna = judge(store)
    assert refused(store, judgements.rate, 999, anna, Scale.HELPFUL, 4, **WEB) is Reason.UNKNOWN
    assert refused(store, voting.compare, 999, anna, Choice.A, **WEB) is Reason.UNKNOWN
    assert refused(store, judgements.rate, put(store), 999, Scale.HELPFUL, 4, **WEB) is Reason.UNKNOWN
    assert refused(store, undoing.withdraw, 999, anna) is Reason.UNKNOWN


def test_after_closing_and_after_revealing_nothing_can_be_judged_or_undone(store: Store) -> None:
    batch_id, (pair_id, other) = batch_of(store, 2)
    _, (elsewhere,) = batch_of(store, 1, name="second")
    anna = judge(store)
    store.call(voting.compare, pair_id, anna, Choice.A, **WEB)
    assert refused(store, pairs.names, pair_id) is Reason.CLOSED
    store.call(pairs.close_batch, batch_id)
    assert refused(store, voting.compare, other, anna, Choice.A, **WEB) is Reason.CLOSED
    assert store.call(pairs.reopen_batch, batch_id)
    store.call(voting.compare, other, anna, Choice.TIE, **WEB)
    assert store.call(pairs.reveal_batch, batch_id)
    assert store.call(pairs.names, pair_id) == ("base", "double")
    for choice in (Choice.A, Choice.B, Choice.SKIP):
        assert refused(store, voting.compare, pair_id, anna, choice, **WEB) is Reason.REVEALED
    assert refused(store, undoing.undo, anna) is Reason.REVEALED
    assert not store.call(pairs.reopen_batch, batch_id)
    store.call(voting.compare, elsewhere, anna, Choice.A, **WEB)


def test_replies_on_discord_are_judged_where_they_stand(store: Store) -> None:
    first, second, third = said(store, 1, "one"), said(store, 1, "two", again=True), said(store, 2)
    item_id, other = store.call(items.of_reply, first, speaker="Double"), store.call(items.of_reply, second)
    assert store.call(items.of_reply, first) == item_id != other
    read = store.call(items.item, item_id)
    assert read is not None
    assert (read.context, read.speaker, read.messages, read.model) == (
        (("Anna", "hi"),), "Double", ("one",), "double",
    )  # fmt: skip
    assert store.call(pairs.make_pair, item_id, other) > 0
    elsewhere = store.call(items.of_reply, third)
    assert refused(store, pairs.make_pair, item_id, elsewhere) is Reason.INVALID
    writing = store.call(replies.begin, beginning(9))
    assert refused(store, items.of_reply, writing) is Reason.VANISHED


def test_a_vote_for_a_vanished_reply_is_refused_and_the_earlier_ones_stay(store: Store) -> None:
    first, second = said(store, 1, "one"), said(store, 1, "two", again=True)
    item_id, other = store.call(items.of_reply, first), store.call(items.of_reply, second)
    pair_id, anna = store.call(pairs.make_pair, item_id, other), judge(store)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, **WEB)
    store.call(voting.compare, pair_id, anna, Choice.A, **WEB)
    store.call(replies.forget_message, 1_000_000 + first)
    assert store.call(items.item, item_id) is None
    assert refused(store, judgements.rate, item_id, anna, Scale.HELPFUL, 1, **WEB) is Reason.VANISHED
    assert refused(store, voting.compare, pair_id, anna, Choice.B, **WEB) is Reason.VANISHED
    assert store.call(summaries.totals) == {"comparison": 1, "rating": 1}
    assert store.call(summaries.worst, Scale.HELPFUL)[0].reply is None
    assert store.call(undoing.undo, anna) is not None  # one's own word can always be taken back


def test_a_forgotten_reply_takes_no_judgements(store: Store) -> None:
    reply_id = said(store, 1)
    item_id, anna = store.call(items.of_reply, reply_id), judge(store)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, **WEB)
    store.call(people.expire, datetime.now(UTC), lambda _: 0)
    assert store.call(replies.by_id, reply_id) is None
    assert refused(store, judgements.rate, item_id, anna, Scale.HELPFUL, 1, **WEB) is Reason.VANISHED
    assert store.call(summaries.totals) == {"rating": 1}


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, 1e9])
def test_times_that_cannot_be_are_unknown(store: Store, seconds: float) -> None:
    item_id, anna = put(store), judge(store)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, seconds=seconds, **WEB)
    assert store.call(judgements.of_item, item_id, anna)[0].seconds is None


def test_counts_are_what_counting_again_gives(store: Store) -> None:
    """Whatever is judged, changed, undone and withdrawn: the counts kept beside equal those made from the rows."""
    chance = random.Random(5)
    items_ = [put(store, number) for number in range(3)]
    pairs_ = [paired(store, number, None, models) for number in (4, 5) for models in (("a", "b"), ("c", "a"))]
    judges_ = [judge(store) for _ in range(4)] + [store.call(judges.of_ai, "rule").id]
    for _ in range(150):
        who, what = chance.choice(judges_), chance.random()
        if what < 0.4:
            call = (judgements.rate, chance.choice(items_), who, chance.choice(list(Scale)[:2]), chance.randint(1, 5))
            store.call(*call, **WEB)
        elif what < 0.8:
            store.call(voting.compare, chance.choice(pairs_), who, chance.choice(list(Choice)), **WEB)
        else:
            store.call(undoing.undo, who)
    assert counts(store) == recounted(store)


def recounted(store: Store) -> dict[str, Any]:
    """`counts`, from the judgements alone and without any of the code that keeps them."""

    def count() -> dict[str, Any]:
        from collections import Counter

        from talkalike.store.judging import models

        tally: Counter[Any] = Counter()
        of_pair: dict[int, Counter[str]] = {pair.pk: Counter() for pair in models.Pair.objects.order_by("id")}
        of_item: dict[Any, list[int]] = {}
        rows = models.Judgement.objects.filter(ended_at=None).select_related("judge", "pair__a", "pair__b")
        for row in rows:
            if row.pair is None:
                tally[row.type, str(row.value), -1] += 1
                of_item.setdefault((row.item_id, row.scale, row.judge.kind), []).append(row.value)
                continue
            swapped = row.pair.a.model > row.pair.b.model
            won = {"a": "b", "b": "a"}.get(row.choice, row.choice) if swapped else row.choice
            first = int((row.choice == "a") is row.a_first) if row.choice in "ab" else -1
            tally[row.type, won, first] += 1
            if row.judge.kind == "human" and row.choice != "skip":
                of_pair[row.pair_id][row.choice] += 1
        agreement: Counter[Any] = Counter()
        people_only = {(scale, item): v for (item, scale, kind), v in of_item.items() if kind == "human"}
        for scale, votes in [("", c) for c in of_pair.values()] + [
            (s, Counter(v)) for (s, _), v in people_only.items()
        ]:
            if votes.total() > 1:
                agreement[scale, " ".join(f"{name}:{n}" for name, n in sorted(votes.items()))] += 1
        wanted = dict(models.Pair.objects.values_list("id", "wanted"))
        return {
            "tally": sorted((*key, n) for key, n in tally.items()),
            "agreement": sorted((*key, n) for key, n in agreement.items()),
            "pairs": [(dict(sorted(c.items())), c.total(), max(0, wanted[i] - c.total())) for i, c in of_pair.items()],
            "scores": sorted((*key, len(v), sum(v) / len(v)) for key, v in of_item.items()),
        }

    found = store.call(count)
    kept = counts(store)["tally"]
    merged: dict[Any, int] = {}
    for type_, value, first, n in kept:  # kept apart by day, kind and model, which the other side adds up
        merged[type_, value, first] = merged.get((type_, value, first), 0) + n
    assert sorted((*key, n) for key, n in merged.items()) == found["tally"]
    return found | {"tally": kept}
