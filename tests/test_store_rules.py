"""Rules, scoped settings, context marks, servers, budgets and test runs in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from store_child import beginning
from talkalike.chat.options import Used
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.store import changes, people, replies, rules, scoped, servers, test_runs, usage
from talkalike.store.store import Store
from talkalike.store.test_runs import TestRunRow

pytest_plugins = ("store_databases",)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_rule(server_id: int | None, subject: Subject, subject_id: int, value: Level | Access) -> Rule:
    is_level = isinstance(value, Level)
    return Rule(
        server_id=server_id,
        subject=subject,
        subject_id=subject_id,
        level=value if is_level else None,
        access=None if is_level else value,
    )


places = st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([1, 2]))
some_rules = st.one_of(
    st.builds(
        lambda place, subject, level: make_rule(place[0], subject, place[1], level),
        places,
        st.sampled_from([Subject.USER, Subject.ROLE, Subject.SERVER]),
        st.sampled_from([Level.IGNORED, Level.VISIBLE, Level.MOD, Level.ADMIN]),
    ),
    st.builds(
        lambda place, subject, access: make_rule(place[0], subject, place[1], access),
        places,
        st.sampled_from([Subject.CHANNEL, Subject.CATEGORY, Subject.SERVER]),
        st.sampled_from(Access),
    ),
)


@given(steps=st.lists(st.tuples(st.booleans(), some_rules), max_size=12))
def test_rules_are_what_was_put_last_and_not_removed(store: Store, steps: list[tuple[bool, Rule]]) -> None:
    for rule in store.call(rules.all_rules):
        assert store.call(rules.remove, rule, by=1)
    expected: dict[tuple[object, ...], Rule] = {}
    for adding, rule in steps:
        key = (rule.server_id, rule.subject, rule.subject_id, rule.level is None)
        if adding:
            store.call(rules.put, rule, by=1)
            expected[key] = rule
        else:
            assert store.call(rules.remove, rule, by=1) == (expected.pop(key, None) is not None)
    assert set(store.call(rules.all_rules)) == set(expected.values())
    for server_id in (None, 1, 2, 3):
        of_server = {rule for rule in expected.values() if rule.server_id in (None, server_id)}
        assert set(store.call(rules.rules_of, server_id)) == of_server


def test_the_history_tells_every_change_and_who_made_it(store: Store) -> None:
    user = make_rule(1, Subject.USER, 5, Level.MOD)
    lower = make_rule(1, Subject.USER, 5, Level.IGNORED)
    elsewhere = make_rule(2, Subject.USER, 5, Level.ADMIN)
    everywhere = make_rule(None, Subject.DM, 0, Access.OPEN)
    store.call(rules.put, user, by=7)
    store.call(rules.put, elsewhere, by=7)
    store.call(rules.put, lower, by=8)
    store.call(rules.put, everywhere, by=9)
    assert store.call(rules.remove, user, by=9)
    told = [(change.rule, change.removed, change.previous, change.by) for change in store.call(rules.history, 1)]
    assert told == [(lower, True, Level.IGNORED, 9), (lower, False, Level.MOD, 8), (user, False, None, 7)]
    assert len(store.call(rules.history, 1, 2)) == 2
    assert [change.rule for change in store.call(rules.history, None)] == [everywhere]


def test_settings_come_in_layers_of_their_own_place_only(store: Store) -> None:
    for scope, scope_id, key, value in (
        ("bot", 0, "temperature", 0.7),
        ("server", 1, "temperature", 0.8),
        ("server", 2, "temperature", 0.9),
        ("channel", 20, "persona", "a pirate \x00 with \ud800"),
        ("channel", 21, "stream", False),
        ("thread", 30, "seed", None),
        ("thread", 20, "seed", 4),
    ):
        store.call(scoped.put, scope, scope_id, key, value, by=1, server_id=1)
    store.call(scoped.put, "server", 1, "temperature", 1.0, by=1)
    assert store.call(scoped.layers, 1, 20, 30) == [
        ("bot", {"temperature": 0.7}),
        ("server", {"temperature": 1.0}),
        ("channel", {"persona": "a pirate  with ?"}),
        ("thread", {"seed": None}),
    ]
    assert store.call(scoped.layers, None, 21, None) == [("bot", {"temperature": 0.7}), ("channel", {"stream": False})]
    assert store.call(scoped.remove, "server", 1, "temperature", by=1)
    assert not store.call(scoped.remove, "server", 1, "temperature", by=1)
    assert store.call(scoped.layers, 1, 99)[1] == ("server", {})
    assert store.call(scoped.layers, 2, 99)[1] == ("server", {"temperature": 0.9})


def test_a_message_has_one_mark_per_channel(store: Store) -> None:
    store.call(scoped.mark, 20, 1, "dropped", by=5, server_id=1)
    store.call(scoped.mark, 20, 2, "dropped", by=5, server_id=1)
    store.call(scoped.mark, 20, 2, "pinned", by=6, server_id=1)
    store.call(scoped.mark, 21, 3, "pinned", by=5, server_id=None)
    assert store.call(scoped.marks, 20) == ({1}, {2})
    assert store.call(scoped.unmark, 20, 1)
    assert not store.call(scoped.unmark, 20, 3)
    assert store.call(scoped.marks, 20) == (set(), {2})
    assert store.call(scoped.forget_channel, 20) == 1
    assert store.call(scoped.marks, 20) == (set(), set())
    assert store.call(scoped.marks, 21) == (set(), {3})


def test_servers_are_known_until_forgotten(store: Store) -> None:
    assert store.call(servers.note_joined, 1, "one")
    assert store.call(servers.note_joined, 2, "two")
    assert not store.call(servers.note_joined, 1, "one, renamed")
    store.call(servers.note_left, 2)
    store.call(servers.note_left, 3)
    known = {row.id: (row.name, row.left_at is None) for row in store.call(servers.all_servers)}
    assert known == {1: ("one, renamed", True), 2: ("two", False)}
    assert store.call(servers.note_joined, 2, "two")  # back again


def test_usage_adds_up_by_person_server_and_day(store: Store) -> None:
    today, tomorrow = date(2026, 3, 1), date(2026, 3, 2)
    for user_id, server_id, tokens, day in (
        (5, 1, 10, today),
        (5, 1, 20, today),
        (6, 1, 100, today),
        (5, 2, 1000, today),
        (5, 1, 5, tomorrow),
        (5, None, 7, today),
        (6, None, 8, today),
    ):
        store.call(usage.spend, user_id, server_id, replies=1, tokens=tokens, day=day)
    assert store.call(usage.read_used, 5, 1, today) == Used(
        replies_user=2, tokens_user=30, replies_server=3, tokens_server=130
    )
    assert store.call(usage.read_used, 7, 1, today) == Used(replies_server=3, tokens_server=130)
    assert store.call(usage.read_used, 5, 1, tomorrow) == Used(
        replies_user=1, tokens_user=5, replies_server=1, tokens_server=5
    )
    # In direct messages people do not share a budget.
    assert store.call(usage.read_used, 5, None, today) == Used(replies_user=1, tokens_user=7)


def test_a_test_run_is_read_as_recorded_with_its_own_replies(store: Store) -> None:
    ids = [store.call(replies.begin, beginning(trigger_id)) for trigger_id in (1, 2, 3)]
    mine = tuple(reply_id for reply_id in ids[:2] if reply_id is not None)
    older = TestRunRow(
        server_id=10, channel_ids=(1,), by=5, model="old", began_at=NOW, seconds=1, scores={"likeness": 0.25}
    )
    newer = TestRunRow(
        server_id=10,
        channel_ids=(1, 2),
        by=5,
        model="new",
        began_at=NOW,
        seconds=2.5,
        scores={"likeness": 0.5, "safety": None},
        results=({"scenario": "hi", "score": 0.5},),
        report_message_id=77,
        reply_ids=mine,
    )
    elsewhere = TestRunRow(server_id=11, channel_ids=(9,), by=5, model="x", began_at=NOW, seconds=1, scores={})
    store.call(test_runs.record, older)
    run_id = store.call(test_runs.record, newer)
    store.call(test_runs.record, elsewhere)
    last = store.call(test_runs.last, 10)
    assert last is not None
    assert (last.id, last.model, last.scores, last.results) == (run_id, "new", newer.scores, newer.results)
    assert (last.channel_ids, last.report_message_id, last.reply_ids) == ((1, 2), 77, mine)
    assert [row.id for row in store.call(test_runs.replies_of, last)] == list(mine)
    assert store.call(test_runs.last, 12) is None


def test_a_server_has_one_schedule_and_the_next_due_comes_first(store: Store) -> None:
    store.call(test_runs.put_schedule, 1, [20], 24, NOW + timedelta(hours=5), by=5)
    store.call(test_runs.put_schedule, 2, [30, 31], 12, NOW, by=5)
    store.call(test_runs.put_schedule, 1, [20, 21], 6, NOW + timedelta(hours=1), by=6)
    told = [(row.server_id, row.channel_ids, row.every_hours, row.by) for row in store.call(test_runs.schedules)]
    assert told == [(2, (30, 31), 12.0, 5), (1, (20, 21), 6.0, 6)]
    assert store.call(test_runs.remove_schedule, 2)
    assert not store.call(test_runs.remove_schedule, 2)
    assert [row.server_id for row in store.call(test_runs.schedules)] == [1]


def test_a_change_by_another_process_counts_once_somebody_looks(store: Store) -> None:
    """As the other process does it: without our counting."""
    unseen = Rule(server_id=1, subject=Subject.SERVER, subject_id=1, access=Access.OPEN)
    steps: list[Callable[[], object]] = [
        lambda: rules.put.__wrapped__(unseen, by=1),  # type: ignore[attr-defined]
        lambda: rules.put.__wrapped__(replace(unseen, access=Access.CLOSED), by=1),  # type: ignore[attr-defined]
        lambda: scoped.put.__wrapped__("channel", 5, "seed", 1, by=1),  # type: ignore[attr-defined]
        lambda: scoped.mark.__wrapped__(5, 6, "pinned", by=1, server_id=1),  # type: ignore[attr-defined]
        lambda: people.set_consent.__wrapped__(7, seen=False),  # type: ignore[attr-defined]
        lambda: rules.remove.__wrapped__(unseen, by=1),  # type: ignore[attr-defined]
    ]
    store.call(changes.look)
    for step in steps:
        before = changes.version()
        store.call(step)
        assert changes.version() == before
        store.call(changes.look)
        assert changes.version() == before + 1
        store.call(changes.look)
        assert changes.version() == before + 1
