"""What is kept about people and servers, and that deleting it leaves nothing of them and everything of the others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from store_child import beginning
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.store import people, replies, rules, scoped, servers, test_runs, usage
from talkalike.store.people import Consent
from talkalike.store.replies import Beginning, ReplyState
from talkalike.store.store import Store
from talkalike.store.test_runs import TestRunRow

pytest_plugins = ("store_databases",)

ANNA, BEN = 7_000_000_000_000_000_007, 8_000_000_000_000_000_008  # as large as Discord's ids are
ONE, TWO = 10, 11  # servers
DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def everything(store: Store, *, without: str = "") -> str:
    """Every row of every table (but the one named) as text."""

    def rows() -> Iterator[list[Any]]:
        from django.apps import apps

        for model in apps.get_app_config("store").get_models():
            if model.__name__ != without:
                yield [model.__name__, *model.objects.values_list()]

    return store.call(lambda: json.dumps(list(rows()), default=str, ensure_ascii=False))


def answer(store: Store, trigger_id: int, asker_id: int, *, server_id: int | None, channel_id: int, name: str) -> int:
    reply_id = store.call(
        replies.begin,
        Beginning(
            trigger_id=trigger_id,
            channel_id=channel_id,
            server_id=server_id,
            thread=False,
            asker_id=asker_id,
            model="double",
            sampling={},
        ),
    )
    assert reply_id is not None
    base = {"tokens": 1, "why": "newest"}
    kept = [
        {**base, "id": "persona", "author_id": 0, "speaker": "system", "text": f"persona in {channel_id}"},
        {**base, "id": str(trigger_id), "author_id": asker_id, "speaker": name, "text": f"{name} says {trigger_id}"},
    ]
    if server_id is not None:
        kept += [
            {**base, "id": "501", "author_id": ANNA, "speaker": "Anna", "text": "Anna says earlier"},
            {**base, "id": "502", "author_id": BEN, "speaker": "Ben", "text": "Ben says earlier"},
        ]
    store.call(replies.note_seen, reply_id, {"kept": kept, "left_out": [], "budget": 100})
    store.call(replies.note_sent, reply_id, 1000 + trigger_id, f"answer in {channel_id}", 0)
    store.call(replies.end, reply_id, ReplyState.DONE)
    return reply_id


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with two people, each on two servers and in their direct messages."""
    for server_id in (ONE, TWO):
        store.call(servers.note_joined, server_id, f"server {server_id}")
        store.call(scoped.put, "server", server_id, "temperature", 0.5, by=ANNA)
        store.call(scoped.put, "channel", server_id * 10, "temperature", 0.6, by=BEN, server_id=server_id)
        for person, name, trigger_id in ((ANNA, "Anna", 1), (BEN, "Ben", 2)):
            trigger = server_id * 100 + trigger_id
            answer(store, trigger, person, server_id=server_id, channel_id=server_id * 10, name=name)
            store.call(usage.spend, person, server_id, replies=1, tokens=10, day=DAY)
            store.call(scoped.mark, server_id * 10, trigger, "pinned", by=person, server_id=server_id)
            rule = Rule(server_id=server_id, subject=Subject.USER, subject_id=person, level=Level.MOD)
            store.call(rules.put, rule, by=BEN)
        run = TestRunRow(server_id=server_id, channel_ids=(1,), by=ANNA, model="m", began_at=NOW, seconds=1, scores={})
        store.call(test_runs.record, run)
        store.call(test_runs.put_schedule, server_id, [1], 24, NOW, by=ANNA)
    for person, name, channel_id in ((ANNA, "Anna", 70), (BEN, "Ben", 80)):
        answer(store, channel_id, person, server_id=None, channel_id=channel_id, name=name)
        store.call(usage.spend, person, None, replies=1, tokens=10, day=DAY)
        store.call(scoped.mark, channel_id, channel_id, "dropped", by=person, server_id=None)
        store.call(scoped.put, "channel", channel_id, "persona", f"{name}'s persona", by=person)
        store.call(people.set_consent, person, training=True)
    return store


def test_consent_is_asked_and_kept(store: Store) -> None:
    assert store.call(people.consent, ANNA) == Consent(training=False, seen=True, since=None)
    given = store.call(people.set_consent, ANNA, training=True)
    assert (given.training, given.seen, given.since is None) == (True, True, False)
    assert not store.call(people.set_consent, ANNA, seen=False).seen
    store.call(people.set_consent, BEN, training=True)
    assert store.call(people.consent, ANNA).training
    assert store.call(people.hidden) == {ANNA}


def test_a_person_sees_everything_about_them_and_nothing_about_others(filled: Store) -> None:
    assert filled.call(people.count_about, ANNA) == {
        "messages": 5,  # one on each server and one in private; 501, seen in two channels
        "message_characters": 2 * len("Anna says 1001") + len("Anna says 70") + 2 * len("Anna says earlier"),
        "replies": 3,
        "reply_characters": 2 * len("answer in 100") + len("answer in 70"),
        "usage_days": 3,
        "rules": 2,
        "consent": 1,
        "changes_made": 2 + 2 + 1 + 1 + 2 + 2,  # settings, marks, both in private; test runs, schedules
        "judgements": 0,  # of these, tests/test_judging_privacy.py
        "judgement_characters": 0,
        "guesses": 0,
        "pictures": 0,
        "tasks": 0,  # of these, tests/test_store_seeing.py
        "task_examples": 0,
    }
    exported = filled.call(people.export_about, ANNA)
    told = json.dumps(exported)
    assert "Anna says 1001" in told
    assert "answer in 70" in told
    assert "Ben" not in told
    assert str(BEN) not in told
    assert exported["consent"]["training"] is True
    assert set(filled.call(people.count_about, 12345).values()) == {0}


def test_forgetting_a_person_leaves_nothing_of_them_and_everything_of_others(filled: Store) -> None:
    before = filled.call(people.export_about, BEN)
    assert str(ANNA) in everything(filled)
    gone = filled.call(people.forget_user, ANNA)
    assert gone == {
        "messages": 6,  # and the persona that was read in their direct messages
        "private_replies": 1,
        "replies": 2,
        "settings": 1,
        "marks": 1,
        "rules": 2,
        "consent": 1,
        "usage_days": 3,
        "changes_made": 2 + 2 + 2 + 2,
        "judgements": 0,
        "guesses": 0,
        "judged_replies": 0,
        "pictures": 0,
        "tasks": 0,
        "task_examples": 0,
    }
    # Marks on a server's messages stay, or dropped ones would come back: the id of a message, not whose it was.
    left = everything(filled, without="ContextMark")
    for trace in (str(ANNA), "Anna", "answer in 70"):
        assert trace not in left, trace
    for message_id in ("1001", "1101"):  # the digits of a moment may hold them, too
        assert not re.search(rf"(?<!\d){message_id}(?!\d)", left), message_id
    assert str(ANNA) not in everything(filled)
    assert filled.call(people.export_about, BEN) == before
    assert set(filled.call(people.count_about, ANNA).values()) == {0}


def test_the_servers_budget_does_not_forget_what_a_forgotten_person_used(filled: Store) -> None:
    before = filled.call(usage.read_used, BEN, ONE, DAY)
    filled.call(people.forget_user, ANNA)
    assert filled.call(usage.read_used, BEN, ONE, DAY) == before
    filled.call(people.forget_user, BEN)
    assert filled.call(usage.read_used, 1, ONE, DAY).replies_server == before.replies_server


def test_who_opted_out_or_was_shut_out_stays_so_after_forgetting(filled: Store) -> None:
    filled.call(people.set_consent, ANNA, seen=False)
    banned = Rule(server_id=ONE, subject=Subject.USER, subject_id=ANNA, level=Level.IGNORED)
    filled.call(rules.put, banned, by=BEN)
    gone = filled.call(people.forget_user, ANNA)
    assert (gone["rules"], gone["consent"]) == (1, 0)
    assert filled.call(people.hidden) == {ANNA}
    assert not filled.call(people.consent, ANNA).training
    assert banned in filled.call(rules.all_rules)
    assert "Anna" not in everything(filled)


def test_forgetting_a_server_leaves_nothing_of_it_and_everything_of_others(filled: Store) -> None:
    store = filled
    store.call(rules.put, Rule(server_id=None, subject=Subject.DM, subject_id=0, access=Access.OPEN), by=1)
    other = [store.call(replies.recent, channel_id, 10) for channel_id in (110, 70, 80)]
    gone = store.call(people.forget_server, ONE)
    assert gone == {
        "messages": 5,  # the persona, two questions, two earlier messages
        "replies": 2,
        "settings": 2,
        "marks": 2,
        "rules": 2,
        "rule_changes": 2,
        "usage_days": 2,
        "test_runs": 1,
        "schedules": 1,
        "servers": 1,
        **dict.fromkeys(("judgements", "pairs", "batches", "blind_tests", "judged_replies", "tasks", "pictures"), 0),
    }
    assert [store.call(replies.recent, channel_id, 10) for channel_id in (110, 70, 80)] == other
    assert store.call(replies.recent, 100, 10) == ()
    assert "server 10" not in everything(store)
    assert [row.id for row in store.call(servers.all_servers)] == [TWO]
    assert {rule.server_id for rule in store.call(rules.all_rules)} == {TWO, None}
    assert set(store.call(people.forget_server, ONE).values()) == {0}


def test_old_replies_go_by_the_days_of_their_server(filled: Store) -> None:
    store = filled
    still = store.call(replies.begin, beginning(9))  # on server 10, being written
    assert still is not None
    store.call(replies.forget_message, 502)
    later = datetime.now(UTC) + timedelta(days=10)
    asked: list[int | None] = []

    def days_of(server_id: int | None) -> int:
        asked.append(server_id)
        return {ONE: 9, TWO: 11, None: 11}[server_id]

    # Two replies; the persona, two questions and 501 (502 is gone already).
    assert store.call(people.expire, later, days_of) == 2 + 4
    assert set(asked) == {ONE, TWO, None}
    assert [row.id for row in store.call(replies.recent, 100, 10)] == []
    assert store.call(replies.by_id, still) is not None
    kept = store.call(replies.recent, 110, 10)
    assert len(kept) == 2
    assert [item["text"] for item in kept[0].seen["kept"]][2:] == ["Anna says earlier", ""]
    assert store.call(people.expire, later, days_of) == 0
    store.call(
        replies.note_seen, still, {"kept": [{"id": "502", "author_id": BEN, "speaker": "Ben", "text": "Ben again"}]}
    )
    assert "Ben again" not in everything(store)  # forgotten for good


def test_a_text_that_a_young_reply_saw_outlives_the_old_replies(store: Store) -> None:
    answer(store, 1, ANNA, server_id=ONE, channel_id=20, name="Anna")
    cut = datetime.now(UTC)
    young = answer(store, 2, BEN, server_id=ONE, channel_id=20, name="Ben")
    assert store.call(people.expire, cut + timedelta(days=1), lambda _: 1) == 1 + 1  # the old reply and its question
    row = store.call(replies.by_id, young)
    assert row is not None
    assert "Anna says earlier" in [item["text"] for item in row.seen["kept"]]
    assert not any(item["forgotten"] for item in row.seen["kept"])
