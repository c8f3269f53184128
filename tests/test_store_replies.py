"""Replies in the store: one per message whatever happens, what was seen and sent, and forgetting single messages."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_child import beginning
from talkalike.chat.options import Used
from talkalike.store import people, replies, storable, usage
from talkalike.store.recording import Ending, ReplyRecord, Sent, record
from talkalike.store.replies import ReplyState
from talkalike.store.store import Store, open_store

pytest_plugins = ("store_databases",)
CHILD = Path(__file__).with_name("store_child.py")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, CHILD, *arguments], stdin=-1, stdout=-1, text=True)


def turn(message_id: int | str, text: str, *, author_id: int = 30, speaker: str = "Anna") -> dict[str, Any]:
    return {
        "id": str(message_id),
        "author_id": author_id,
        "speaker": speaker,
        "text": text,
        "tokens": len(text),
        "why": "newest",
    }


def begun(store: Store, trigger_id: int, **changes: Any) -> int:
    reply_id = store.call(replies.begin, replace(beginning(trigger_id), **changes))
    assert reply_id is not None
    return reply_id


def texts(store: Store, reply_id: int) -> list[str]:
    row = store.call(replies.by_id, reply_id)
    assert row is not None
    return [item["text"] for item in row.seen["kept"]]


def test_a_message_is_answered_once_and_regenerated_as_often_as_asked(store: Store) -> None:
    first = begun(store, 1)
    other = begun(store, 2)
    assert store.call(replies.begin, beginning(1)) is None
    store.call(replies.end, first, ReplyState.LOST)
    assert store.call(replies.begin, beginning(1)) is None  # a reply that was lost was begun all the same
    again = [begun(store, 1, again=True) for _ in range(3)]
    assert len({first, other, *again}) == 5
    attempts = [row.attempt for row in store.call(replies.recent, 20, 10) if row.trigger_id == 1]
    assert attempts == [4, 3, 2, 1]


def at_once(*commands: list[str]) -> list[list[str]]:
    """Runs child processes that begin their work at the same moment; returns the words that each printed."""
    children = [start(*command) for command in commands]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=120)[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return printed


def test_of_two_processes_that_begin_the_same_message_exactly_one_gets_it(database_url: str) -> None:
    open_store(database_url).close()
    triggers = [str(trigger_id) for trigger_id in range(1, 61)]
    one, two = at_once(["claim", database_url, *triggers], ["claim", database_url, *triggers])
    assert sorted(one + two, key=int) == triggers
    with open_store(database_url) as store:
        assert len(store.call(replies.unfinished)) == len(triggers)


def test_two_processes_that_change_the_same_reply_wait_for_each_other(database_url: str) -> None:
    with open_store(database_url) as store:
        reply_id = begun(store, 1)
        command = ["react", database_url, *[str(reply_id)] * 60]
        at_once(command, command)
        row = store.call(replies.by_id, reply_id)
        assert row is not None
        assert len(row.reactions) == 120


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_survives_kill_nine(database_url: str, seed: int) -> None:
    open_store(database_url).close()
    child = start("write", database_url)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(random.Random(seed).randint(20, 90))]
    child.kill()
    lines += child.communicate(timeout=60)[0].splitlines(keepends=True)
    acknowledged = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 20
    with open_store(database_url) as store:
        writing = {row.id for row in store.call(replies.unfinished)}
        for reply_id, trigger_id in acknowledged:
            row = store.call(replies.by_id, reply_id)
            assert row is not None
            assert (row.trigger_id, [sent.text for sent in row.messages]) == (trigger_id, [f"text {trigger_id}"])
            assert (reply_id in writing) == (trigger_id % 2 == 0) == (row.state is ReplyState.WRITING)
        last = acknowledged[-1][1]
        assert [store.call(replies.begin, beginning(trigger_id)) for trigger_id in range(1, last + 1)] == [None] * last


def test_a_message_that_another_attempt_wrote_anew_belongs_to_that_attempt(store: Store) -> None:
    first = begun(store, 1)
    store.call(replies.note_sent, first, 101, "one", 0)
    store.call(replies.end, first, ReplyState.DONE)
    second = begun(store, 1, again=True)
    store.call(replies.note_sent, second, 101, "two", 0)
    row, before = store.call(replies.by_message, 101), store.call(replies.by_id, first)
    assert row is not None and before is not None
    assert (row.id, [sent.text for sent in row.messages], before.messages) == (second, ["two"], ())


def test_a_reply_is_read_as_it_was_written(store: Store) -> None:
    one, two = begun(store, 1), begun(store, 2, server_id=None, channel_id=21, test=True)
    store.call(replies.note_sent, one, 102, "second", 1)
    store.call(replies.note_sent, one, 101, "first", 0)
    store.call(replies.note_sent, one, 101, "first, edited", 0)
    store.call(replies.note_sent, two, 201, "other", 0)
    store.call(replies.note_reaction, one, "👍")
    store.call(replies.note_reaction, one, "🎉")
    assert store.call(replies.end, one, ReplyState.DONE, tokens=12, seconds=1.5, first_seconds=0.25)
    row = store.call(replies.by_message, 102)
    assert row == store.call(replies.by_id, one)
    assert row is not None
    assert [(sent.message_id, sent.index, sent.text) for sent in row.messages] == [
        (101, 0, "first, edited"),
        (102, 1, "second"),
    ]
    assert (row.server_id, row.asker_id, row.sampling, row.reactions) == (10, 30, {"temperature": 0.7}, ("👍", "🎉"))
    assert (row.state, row.tokens, row.seconds, row.first_seconds) == (ReplyState.DONE, 12, 1.5, 0.25)
    other = store.call(replies.by_id, two)
    assert other is not None
    assert (other.server_id, other.test, other.seen, other.ended_at) == (None, True, {}, None)
    assert [row.id for row in store.call(replies.unfinished)] == [two]
    assert [row.id for row in store.call(replies.recent, 21, 5)] == [two]
    assert (store.call(replies.by_id, 999), store.call(replies.by_message, 999)) == (None, None)


def test_the_first_end_counts(store: Store) -> None:
    reply_id = begun(store, 1)
    assert store.call(replies.end, reply_id, ReplyState.CANCELLED, tokens=3)
    assert not store.call(replies.end, reply_id, ReplyState.FAILED, problem="too late")
    row = store.call(replies.by_id, reply_id)
    assert row is not None
    assert (row.state, row.tokens, row.problem) == (ReplyState.CANCELLED, 3, "")


def test_problems_are_listed_newest_first_for_a_server_or_everywhere(store: Store) -> None:
    for trigger_id, server_id, problem in ((1, 10, "engine"), (2, 11, "permission"), (3, 10, ""), (4, 10, "disk")):
        reply_id = begun(store, trigger_id, server_id=server_id)
        store.call(replies.end, reply_id, ReplyState.FAILED if problem else ReplyState.DONE, problem=problem)
    assert [problem.problem for problem in store.call(replies.problems, 10)] == ["disk", "engine"]
    assert [problem.problem for problem in store.call(replies.problems, None, 2)] == ["disk", "permission"]


def test_what_was_seen_is_told_with_reasons_and_what_was_left_out_without_its_text(store: Store) -> None:
    reply_id = begun(store, 3)
    kept = [turn("persona", "You are Max.", author_id=0, speaker="system"), turn(1, "hi"), turn(3, "you there?")]
    left_out = [{**turn(2, "!psst, between us"), "why": "side talk"}]
    store.call(replies.note_seen, reply_id, {"kept": kept, "left_out": left_out, "budget": 900})
    row = store.call(replies.by_id, reply_id)
    assert row is not None
    assert row.seen == {
        "kept": [{**item, "forgotten": False} for item in kept],
        "left_out": [{"id": "2", "tokens": 17, "why": "side talk"}],
        "budget": 900,
    }
    from talkalike.store.models import Reply, SeenText

    def everything() -> str:
        return json.dumps([*SeenText.objects.values_list("text"), *Reply.objects.values_list("seen")])

    assert "psst" not in store.call(everything)


def test_a_text_that_many_replies_saw_is_stored_once_and_an_edited_one_twice(store: Store) -> None:
    ids = [begun(store, trigger_id) for trigger_id in (1, 2, 3)]
    for reply_id, said in zip(ids, ("hi", "hi", "hi, edited"), strict=True):
        store.call(replies.note_seen, reply_id, {"kept": [turn(1, said), turn(2, "yo", author_id=31)]})
    assert [texts(store, reply_id) for reply_id in ids] == [["hi", "yo"], ["hi", "yo"], ["hi, edited", "yo"]]

    from talkalike.store.models import SeenText

    assert store.call(SeenText.objects.count) == 3


def test_a_forgotten_message_is_wiped_everywhere_and_never_stored_again(store: Store) -> None:
    ids = [begun(store, trigger_id) for trigger_id in (1, 2)]
    for reply_id, said in zip(ids, ("my secret", "my secret, edited"), strict=True):
        store.call(replies.note_seen, reply_id, {"kept": [turn(1, said), turn(2, "keep me", author_id=31)]})
    assert store.call(replies.forget_message, 1) == 2
    assert store.call(replies.forget_message, 1) == 0
    later = begun(store, 3)
    store.call(replies.note_seen, later, {"kept": [turn(1, "my secret"), turn(2, "keep me", author_id=31)]})
    for reply_id in (*ids, later):
        assert texts(store, reply_id) == ["", "keep me"]
    row = store.call(replies.by_id, later)
    assert row is not None
    assert [item["forgotten"] for item in row.seen["kept"]] == [True, False]


def test_forgetting_a_message_of_the_double_wipes_that_message_only(store: Store) -> None:
    one, two = begun(store, 1), begun(store, 2)
    store.call(replies.note_sent, one, 101, "regrettable", 0)
    store.call(replies.note_sent, one, 102, "fine", 1)
    store.call(
        replies.note_seen, two, {"kept": [turn(101, "regrettable", speaker="Max"), turn(102, "fine", speaker="Max")]}
    )
    assert store.call(replies.forget_message, 101) == 2
    assert store.call(replies.note_sent, one, 101, "regrettable, edited", 0)
    row = store.call(replies.by_id, one)
    assert row is not None
    assert [sent.text for sent in row.messages] == ["", "fine"]
    assert texts(store, two) == ["", "fine"]


def test_a_reply_that_was_forgotten_while_it_was_written_is_no_error(store: Store) -> None:
    kept, gone = begun(store, 1, server_id=11), begun(store, 2)
    store.call(people.forget_server, 10)
    for reply_id, there in ((kept, True), (gone, False)):
        assert store.call(replies.note_seen, reply_id, {"kept": [turn(1, "hi")]}) is there
        assert store.call(replies.note_sent, reply_id, 100 + reply_id, "hello", 0) is there
        assert store.call(replies.note_reaction, reply_id, "👍") is there
        assert store.call(replies.end, reply_id, ReplyState.DONE) is there


@given(said=st.text(st.characters()), speaker=st.text(st.characters()))
def test_any_text_is_stored(store: Store, said: str, speaker: str) -> None:
    reply_id = begun(store, 7, again=True)
    store.call(replies.note_sent, reply_id, 700 + reply_id, said, 0)
    store.call(replies.note_seen, reply_id, {"kept": [turn(1, said, speaker=speaker)]})
    store.call(replies.end, reply_id, ReplyState.FAILED, problem=said)
    row = store.call(replies.by_id, reply_id)
    assert row is not None
    whole = storable.text(said)
    assert [sent.text for sent in row.messages] == [item["text"] for item in row.seen["kept"]] == [whole]
    assert (row.seen["kept"][0]["speaker"], row.problem) == (storable.text(speaker), whole)
    if said.isprintable():
        assert whole == said


def test_replies_written_down_together_are_as_if_each_had_been_alone(store: Store) -> None:
    one, gone, two = begun(store, 1), begun(store, 2), begun(store, 3)
    store.call(replies.forget_message, 9)
    today = datetime.now(UTC).date()

    def told(reply_id: int, tokens: int) -> ReplyRecord:
        kept = [turn(1, "hi"), turn(9, "forgotten"), turn("persona", "You are Max.", author_id=0)]
        ending = Ending(state=ReplyState.DONE, tokens=tokens, spent_on=today)
        said = (Sent(message_id=100 + reply_id, text=f"reply {reply_id}", index=0),)
        return ReplyRecord(
            reply_id=reply_id, seen={"kept": kept, "budget": 5}, sent=said, reactions=("👍",), ending=ending
        )

    def forget() -> None:
        from talkalike.store.models import Reply

        Reply.objects.filter(id=gone).delete()

    store.call(forget)
    assert store.call(record, [told(one, 5), told(gone, 7), told(two, 11), told(one, 100)]) == [
        True,
        False,
        True,
        False,
    ]
    for reply_id, tokens in ((one, 5), (two, 11)):
        row = store.call(replies.by_id, reply_id)
        assert row is not None
        assert (row.state, row.tokens, [sent.text for sent in row.messages]) == ("done", tokens, [f"reply {reply_id}"])
        assert texts(store, reply_id) == ["hi", "", "You are Max."]
    assert store.call(usage.read_used, 30, 10, today) == Used(
        replies_user=2, tokens_user=16, replies_server=2, tokens_server=16
    )


def test_of_messages_begun_together_each_is_begun_once(store: Store) -> None:
    begun(store, 1)
    asked = [beginning(1), beginning(2), beginning(2), beginning(1, again=True), beginning(1, again=True), beginning(3)]
    ids = store.call(replies.begin_all, asked)
    assert [reply_id is None for reply_id in ids] == [True, False, True, False, False, False]
    attempts = {row.id: (row.trigger_id, row.attempt) for row in store.call(replies.recent, 20, 10)}
    assert [attempts[reply_id] for reply_id in ids if reply_id] == [(2, 1), (1, 2), (1, 3), (3, 1)]
