"""Which pairs come, in which order, who gets them, and what comes back; invitations and judges."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from judging_world import batch_of, judge, paired, put, views
from talkalike.store import people
from talkalike.store.judging import judgements, judges, pairs, serving, summaries, undoing, voting
from talkalike.store.judging.judgement_values import Choice, Comparison, Reason, RefusedError, Side
from talkalike.store.judging.judges import Group
from talkalike.store.store import Store

pytest_plugins = ("store_databases",)
WEB = {"face": "web"}


def tie(view: Comparison) -> Choice:
    return Choice.TIE


def test_a_pair_is_two_replies_to_the_same_messages(store: Store) -> None:
    batch_id, (pair_id,) = batch_of(store, 1)
    assert paired(store, 0, batch_id) == pair_id
    with pytest.raises(RefusedError):
        store.call(pairs.make_pair, put(store, 1), put(store, 2, "base"), batch_id)
    with pytest.raises(RefusedError):
        store.call(pairs.make_pair, put(store, 1), put(store, 1), batch_id)
    with pytest.raises(RefusedError):
        store.call(pairs.make_pair, put(store, 1), 999, batch_id)
    store.call(pairs.close_batch, batch_id)
    with pytest.raises(RefusedError):
        paired(store, 1, batch_id)
    (row,) = store.call(pairs.batches)
    assert (row.pairs, row.left, row.state) == (1, 1, pairs.BatchState.CLOSED)


def test_a_judge_sees_both_replies_whole_and_no_model(store: Store) -> None:
    batch_id, _ = batch_of(store, 24)
    lefts = Counter[str]()
    for view in views(store, judge(store), batch_id, tie):
        number = view.context[0][1]
        assert view.speaker == "Ben"
        assert view.context[1] == ("Ben", "hm,\nreally?")
        shown = {view.left.messages[0], view.right.messages[0]}
        assert shown == {f"answer {n} of {m}" for m in ("base", "double") for n in [number.split()[1]]}
        if not view.repeat:
            lefts[view.left.messages[0].split()[-1]] += 1
        assert not hasattr(view, "model")
    assert lefts.total() == 24
    assert 3 <= lefts["base"] <= 21  # in random order, whichever was made as "a"


def test_what_was_shown_is_shown_again_until_it_is_judged(store: Store) -> None:
    batch_id, _ = batch_of(store, 5)
    anna, ben = judge(store), judge(store)
    first = store.call(serving.next_pair, anna, batch_id)
    assert first is not None
    assert store.call(serving.next_pair, anna, batch_id) == first
    others = store.call(serving.next_pair, ben, batch_id)
    assert others is not None and others.id != first.id  # nobody reads what somebody else is reading
    store.call(voting.compare, first.id, anna, Side.LEFT, **WEB)
    second = store.call(serving.next_pair, anna, batch_id)
    assert second is not None and second.id not in (first.id, others.id)
    # A browser that goes back sees what was said, in the order it stood.
    back = store.call(serving.find_shown, first.id, anna)
    assert back is not None
    assert (back.left, back.right) == (first.left, first.right)
    assert back.given in (Choice.A, Choice.B)
    assert store.call(serving.find_shown, first.id, ben) is None
    # Taken back, it is the next one again.
    store.call(undoing.undo, anna)
    again = {store.call(serving.next_pair, anna, batch_id).id for _ in range(2)}  # type: ignore[union-attr]
    assert again <= {first.id, second.id}


def test_what_nobody_reads_any_more_comes_to_others(store: Store) -> None:
    batch_id, (pair_id,) = batch_of(store, 1, seed=1)
    anna, ben = judge(store), judge(store)
    now = datetime.now(UTC)
    assert store.call(serving.next_pair, anna, batch_id, now=now) is not None
    assert store.call(serving.next_pair, ben, batch_id, now=now + timedelta(minutes=29)) is None
    later = store.call(serving.next_pair, ben, batch_id, now=now + timedelta(minutes=31))
    assert later is not None and later.id == pair_id


def test_a_seventh_goes_to_two_people_and_nobody_gets_those_twice(store: Store) -> None:
    batch_id, made = batch_of(store, 60)
    anna, ben, carl = judge(store), judge(store), judge(store)
    seen = {who: [v.id for v in views(store, who, batch_id, tie) if not v.repeat] for who in (anna, ben, carl)}
    assert sorted(seen[anna]) == sorted(made)
    assert 2 <= len(seen[ben]) <= 18  # 9 of 60 are expected
    assert seen[carl] == []
    progress = store.call(serving.progress, ben, batch_id, datetime.now(UTC) - timedelta(hours=1))
    assert (progress.left, progress.second_opinions) == (0, 0)


def test_how_far_somebody_is_counts_their_own_of_this_batch_since_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RECENT", 3)  # read in several steps
    monkeypatch.setattr(serving, "MANY", 4)
    long_ago, (batch_id, _), (other, _) = (
        datetime(2020, 1, 1, tzinfo=UTC),
        batch_of(store, 9),
        batch_of(store, 2, seed=1),
    )
    anna, ben = judge(store), judge(store)
    assert not store.call(serving.has_begun, anna, batch_id)
    for number, _ in enumerate(views(store, anna, batch_id, tie)):
        if number == 4:
            break
    for _ in views(store, anna, other, tie):
        pass
    half = datetime.now(UTC)
    for number, _ in enumerate(views(store, anna, batch_id, tie)):
        if number == 2:
            break
    assert store.call(serving.has_begun, anna, batch_id) and not store.call(serving.has_begun, ben, batch_id)
    assert store.call(serving.progress, ben, batch_id, long_ago).judged == 0
    assert [store.call(serving.progress, anna, batch_id, since).judged for since in (long_ago, half)] == [6, 2]
    left = store.call(serving.progress, anna, batch_id, long_ago)
    assert 3 <= left.left <= 4 and left.second_opinions == left.left - 3
    (row, _) = store.call(pairs.batches)[::-1]
    assert (row.pairs, row.left) == (9, left.left)


def test_what_comes_back_comes_later_and_to_the_same_person(store: Store) -> None:
    batch_id, _ = batch_of(store, 80)
    anna = judge(store)
    order = [(view.id, view.repeat) for view in views(store, anna, batch_id, tie)]
    again = [pair_id for pair_id, repeat in order if repeat]
    assert 1 <= len(again) <= 12  # 4 of 80 are expected
    assert len(set(again)) == len(again)
    gaps = [order.index((pair_id, True)) - order.index((pair_id, False)) for pair_id in again]
    assert all(gap > serving.GAP for gap in gaps[:-1])
    said = store.call(judgements.of_pair, again[0], anna)
    assert [row.repeat for row in said] == [False, True]


def test_saying_the_same_twice_counts_again_after_the_first_time_was_taken_back(store: Store) -> None:
    batch_id, _ = batch_of(store, 80)
    anna = judge(store)
    (pair_id, *_) = [view.id for view in views(store, anna, batch_id, tie) if view.repeat]
    before = store.call(summaries.habits).same
    first, _ = store.call(judgements.of_pair, pair_id, anna)
    assert store.call(undoing.withdraw, first.id, anna)
    assert store.call(summaries.habits).same.n == before.n - 1
    store.call(voting.compare, pair_id, anna, Choice.TIE, **WEB)
    assert store.call(summaries.habits).same == before


def test_a_second_time_nobody_asked_for_is_refused(store: Store) -> None:
    _, (pair_id,) = batch_of(store, 1)
    with pytest.raises(RefusedError) as told:
        store.call(voting.compare, pair_id, judge(store), Choice.A, repeat=True, **WEB)
    assert told.value.reason is Reason.UNKNOWN


def test_the_same_seed_serves_the_same(store: Store) -> None:
    def run(name: str, seed: int, number: int) -> list[tuple[str, str, bool]]:
        batch_id = store.call(pairs.make_batch, name, seed=seed)
        for n in range(30):
            paired(store, n, batch_id)
        return [
            (view.left.messages[0], view.right.messages[0], view.repeat) for view in views(store, number, batch_id, tie)
        ]

    anna = judge(store)
    one, same, other = run("one", 3, anna), run("two", 3, anna), run("three", 4, anna)
    assert one == same != other


def test_unsure_pairs_come_first(store: Store) -> None:
    batch_id = store.call(pairs.make_batch, "spread", seed=1)
    spreads = {0: 0.1, 1: 0.9, 2: float("nan"), 3: 0.5, 4: 7.0}
    made = {
        store.call(pairs.make_pair, put(store, n), put(store, n, "base"), batch_id, spread=spread): n
        for n, spread in spreads.items()
    }
    order = [made[view.id] for view in views(store, judge(store), batch_id, tie) if not view.repeat]
    assert order == [4, 1, 3, 0, 2]
    # Thought about again: of those that wait for a second person, and of new ones.
    again = store.call(pairs.make_batch, "thought again", seed=2)
    new = {n: store.call(pairs.make_pair, put(store, n), put(store, n, "base"), again) for n in (10, 11, 12)}
    open_pairs = store.call(pairs.waiting, most=10, batch_id=again)
    assert [pair.id for pair in open_pairs] == [new[10], new[11], new[12]]
    assert {pair.a.model for pair in open_pairs} != {pair.b.model for pair in open_pairs}
    store.call(pairs.set_spreads, {new[11]: 0.2, new[12]: 0.8, 10**6: 1.0})
    assert [pair.id for pair in store.call(pairs.waiting, most=2, batch_id=again)] == [new[12], new[11]]
    asked = [view.id for view in views(store, judge(store), again, tie) if not view.repeat]
    assert asked == [new[12], new[11], new[10]]
    assert store.call(pairs.close_batch, again) and store.call(pairs.waiting, most=10, batch_id=again) == ()


def test_models_that_are_close_come_first_once_that_is_known(store: Store) -> None:
    strong = store.call(pairs.make_batch, "before", seed=1)
    anna, ben = judge(store), judge(store)
    for number in range(12):  # c loses always; a and b are equal
        store.call(voting.compare, paired(store, number, strong, ("a", "c")), anna, Choice.A, **WEB)
        store.call(voting.compare, paired(store, number, strong, ("b", "c")), anna, Choice.A, **WEB)
        store.call(voting.compare, paired(store, number, strong, ("a", "b")), anna, Choice.TIE, **WEB)
    batch_id = store.call(pairs.make_batch, "after", seed=1)
    clear = {paired(store, number, batch_id, ("a", "c")) for number in range(20, 23)}
    close = {paired(store, number, batch_id, ("a", "b")) for number in range(20, 23)}
    order = [view.id for view in views(store, ben, batch_id, tie) if not view.repeat]
    assert set(order[:3]) == close
    assert set(order[3:]) == clear
    # What is judged meanwhile moves those that were made before.
    waiting = store.call(pairs.make_batch, "moved", seed=1)
    for number in range(3):
        paired(store, 40 + number, waiting, ("a", "b"))
    later = datetime.now(UTC) + timedelta(minutes=1)
    sure = paired(store, 50, waiting, ("a", "c"))
    first = store.call(serving.next_pair, ben, waiting, now=later)
    assert first is not None and first.id != sure
    for number in range(60, 80):
        store.call(voting.compare, paired(store, number, strong, ("a", "b")), anna, Choice.B, **WEB)
        store.call(voting.compare, paired(store, number, strong, ("a", "c")), ben, Choice.B, **WEB)
    first = store.call(serving.next_pair, anna, waiting, now=later + timedelta(minutes=1))
    assert first is not None and first.id == sure


def test_a_pair_whose_reply_vanished_is_not_shown(store: Store) -> None:
    ben, anna = judge(store), judge(store)
    batch_id = store.call(pairs.make_batch, "asked", seed=1)
    from judging_world import reply
    from talkalike.store.judging import erasing, items

    gone = store.call(items.put_item, reply(1), author=ben)
    pair_id = store.call(pairs.make_pair, gone, put(store, 1, "base"), batch_id, spread=1.0)
    rest = paired(store, 2, batch_id)
    shown = store.call(serving.next_pair, anna, batch_id)
    assert shown is not None and shown.id == pair_id
    store.call(erasing.forget_judge, ben)
    assert [view.id for view in views(store, anna, batch_id, tie)] == [rest]
    assert store.call(serving.progress, anna, batch_id, datetime.now(UTC)).left == 0


def test_closed_batches_and_blocked_judges_get_nothing(store: Store) -> None:
    batch_id, _ = batch_of(store, 2)
    anna = judge(store)
    store.call(judges.set_blocked, anna, True)
    with pytest.raises(RefusedError) as told:
        store.call(serving.next_pair, anna, batch_id)
    assert told.value.reason is Reason.BLOCKED
    store.call(pairs.reveal_batch, batch_id)
    with pytest.raises(RefusedError) as told:
        store.call(serving.next_pair, judge(store), batch_id)
    assert told.value.reason is Reason.REVEALED
    with pytest.raises(RefusedError) as told:
        store.call(serving.next_pair, judge(store), 999)
    assert told.value.reason is Reason.UNKNOWN


def test_a_judge_is_one_person_with_a_name_that_tells_nothing(store: Store) -> None:
    anna, ben = store.call(judges.of_discord, 7_000_000_000_000_000_007), store.call(judges.of_discord, 8)
    account = store.call(judges.of_account, 8)
    assert len({anna.id, ben.id, account.id}) == 3
    assert len({anna.pseudonym, ben.pseudonym, account.pseudonym}) == 3
    assert "7" * 3 not in anna.pseudonym and "007" not in anna.pseudonym
    assert store.call(judges.of_discord, 8) == ben
    assert store.call(judges.of_account, 8) == account
    ai = store.call(judges.of_ai, "base:polite")
    assert (ai.kind, ai.consent, store.call(judges.of_ai, "base:polite")) == ("ai", True, ai)


def test_consent_is_asked_once_wherever_it_is_asked(store: Store) -> None:
    anna, ben = store.call(judges.of_discord, 7), store.call(judges.of_discord, 8)
    assert not anna.consent
    store.call(people.set_consent, 7, training=True)
    assert store.call(judges.by_id, anna.id).consent  # type: ignore[union-attr]
    assert not store.call(judges.by_id, ben.id).consent  # type: ignore[union-attr]
    store.call(judges.set_consent, anna.id, False)
    assert not store.call(people.consent, 7).training
    store.call(people.set_consent, 9, training=True)
    assert store.call(judges.of_discord, 9).consent


def test_an_invitation_lets_in_as_many_as_it_says_until_it_expires(store: Store) -> None:
    token, row = store.call(judges.invite, Group.JUDGE, by=None, uses=2, days=7, note="friends")
    other, _ = store.call(judges.invite, Group.VIEWER, by=None)
    assert token != other
    assert token not in store.call(everything)  # only its hash is kept
    assert store.call(judges.invitation, token) == row
    one, two = store.call(judges.redeem, token), store.call(judges.redeem, token)
    assert one is not None and two is not None and one.id != two.id
    assert (one.group, one.account_id) == (Group.JUDGE, None)
    assert store.call(judges.redeem, token) is None
    assert store.call(judges.invitation, token) is None
    viewer = store.call(judges.redeem, other, account_id=5)
    assert viewer is not None and (viewer.group, viewer.account_id) == (Group.VIEWER, 5)
    for forged in ("", token[:-1], token + "x", token.swapcase(), "\ud83d"):
        assert store.call(judges.redeem, forged) is None
    late, made = store.call(judges.invite, Group.OWNER, by=None, days=1)
    assert store.call(judges.redeem, late, now=made.expires_at + timedelta(seconds=1)) is None
    assert store.call(judges.revoke, made.id)
    assert store.call(judges.redeem, late) is None
    with pytest.raises(ValueError, match="at least one"):
        store.call(judges.invite, Group.JUDGE, by=None, uses=0)


def everything() -> str:
    from talkalike.store.judging import models

    tables = (models.Invitation, models.Judge)
    return str([list(table.objects.values_list()) for table in tables])
