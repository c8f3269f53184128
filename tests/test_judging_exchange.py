"""Judgements as files: what goes out, what comes in, and that both together change nothing."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judged_replies import soft
from judging_world import batch_of, counts, judge, paired, put, reply, views
from talkalike.store import people, replies
from talkalike.store.judging import (
    exchange,
    guesses,
    importing,
    items,
    judgements,
    judges,
    pairs,
    standings,
    summaries,
    voting,
)
from talkalike.store.judging.guesses import Writing
from talkalike.store.judging.judgement_values import Choice, Scale, Side
from talkalike.store.judging.lines import LineError, from_line, to_line
from talkalike.store.replies import Beginning, ReplyState
from talkalike.store.store import Store, open_store

pytest_plugins = ("store_databases",)
WEB = {"face": "web"}


def exported(store: Store) -> tuple[list[str], dict[str, int]]:
    stream = io.StringIO()
    done = store.call(exchange.export_jsonl, stream)
    lines = [line for line in stream.getvalue().split("\n") if line]
    assert done.written == len(lines)
    return sorted(lines), dict(done.left_out)


@pytest.fixture
def judged(store: Store) -> Store:
    """A store with every kind of judgement, changed ones among them, by people and an AI."""
    anna, ben, ai = judge(store), judge(store), store.call(judges.of_ai, "rule:kind").id
    batch_id, _ = batch_of(store, 12, seed=14)
    for view in views(store, anna, batch_id, lambda view: Side.LEFT):
        assert view
    pair_id = paired(store, 50, None, ("c", "a"))
    for who, choice in ((anna, Choice.SKIP), (ben, Choice.BOTH_BAD), (ai, Choice.B)):
        store.call(voting.compare, pair_id, who, choice, seconds=2.5, **WEB)
    for number, who in ((1, anna), (1, ben), (2, ai)):
        item_id = put(store, number)
        store.call(judgements.rate, item_id, who, Scale.HONEST, 2, seconds=0.1, **WEB)
        store.call(judgements.rate, item_id, who, Scale.HONEST, 5, **WEB)
        store.call(judgements.correct, item_id, who, 'so\n\u2028 🐈\u200d⬛ \\ "x"', **WEB)
        store.call(judgements.flag, item_id, who, "rude", **WEB)
        store.call(judgements.skip, item_id, who, **WEB)
    return store


def test_out_and_in_again_is_the_same(judged: Store, tmp_path: Path) -> None:
    lines, left_out = exported(judged)
    assert left_out == {}
    with open_store(f"sqlite:///{tmp_path}/other.sqlite3") as other:
        done = other.call(importing.import_jsonl, lines)
        assert (done.taken, done.known, done.skipped) == (len(lines), 0, ())
        assert exported(other) == (lines, {})
        for of in (summaries.totals, standings.standings, summaries.ratings, summaries.agreement):
            assert other.call(of) == judged.call(of)
        assert other.call(summaries.habits).same == judged.call(summaries.habits).same
        assert other.call(summaries.summary).ai_totals == judged.call(summaries.summary).ai_totals
        before = counts(other)
        again = other.call(importing.import_jsonl, [line.encode() for line in lines])
        assert (again.taken, again.known, again.skipped_count) == (0, len(lines), 0)
        assert counts(other) == before
    mine = judged.call(importing.import_jsonl, lines)
    assert (mine.taken, mine.known) == (0, len(lines))


def test_a_line_has_the_keys_that_trainers_read(judged: Store) -> None:
    told = [json.loads(line) for line in exported(judged)[0]]
    assert {row["type"] for row in told} == {"rating", "comparison", "correction", "flag", "skip"}
    assert {row["kind"] for row in told} == {"human", "ai"}
    (two,) = [row for row in told if row["type"] == "comparison" and row["kind"] == "ai"]
    assert (two["a"]["model"], two["b"]["model"], two["choice"]) == ("c", "a", "b")
    assert two["shown"] in (["a", "b"], ["b", "a"])
    assert two["a"]["context"] == two["b"]["context"] == [
        {"speaker": "Anna", "text": "question 50 🐈"}, {"speaker": "Ben", "text": "hm,\nreally?"},
    ]  # fmt: skip
    ratings = [row for row in told if row["type"] == "rating"]
    assert [row["value"] for row in ratings] == [5, 5, 5]  # what was replaced is not exported
    assert any(row.get("repeat") for row in told)
    assert len({row["id"] for row in told}) == len(told)
    for line in exported(judged)[0]:
        assert to_line(from_line(line)) == line


def test_a_judge_who_is_quite_sure_is_sure_in_the_file() -> None:
    """Zero is a number: neither a probability nor a gap that was measured is left out."""
    record = replace(soft(1, "yes", "no", 0.0), gap=0.0)
    assert from_line(to_line(record)) == record


DISCORD_ID = 770_000_000_000_000_077  # long: no pseudonym holds its digits by chance


def test_only_who_agreed_is_exported(store: Store) -> None:
    yes, no, discord = judge(store), judge(store, consent=False), store.call(judges.of_discord, DISCORD_ID).id
    for who in (yes, no, discord):
        store.call(judgements.rate, put(store), who, Scale.HELPFUL, 4, **WEB)
    lines, left_out = exported(store)
    assert len(lines) == 1
    assert left_out == {exchange.NO_CONSENT: 2}
    name = store.call(judges.by_id, no).pseudonym  # type: ignore[union-attr]
    assert name not in "".join(lines) and str(DISCORD_ID) not in json.loads(lines[0])["judge"]
    store.call(people.set_consent, DISCORD_ID, training=True)
    assert len(exported(store)[0]) == 2


def test_what_was_said_on_discord_goes_out_only_with_the_askers_consent(store: Store) -> None:
    for trigger_id, asker_id in ((1, 30), (2, 31)):
        reply_id = store.call(
            replies.begin,
            Beginning(
                trigger_id=trigger_id,
                channel_id=20,
                server_id=10,
                thread=False,
                asker_id=asker_id,
                model="m",
                sampling={},
            ),
        )
        assert reply_id is not None
        base = {"tokens": 1, "why": "newest"}
        kept = [
            {**base, "id": "persona", "author_id": 0, "speaker": "system", "text": "persona"},
            {**base, "id": "500", "author_id": 32, "speaker": "Carl", "text": "somebody else's words"},
            {**base, "id": "900", "author_id": 99, "speaker": "Double", "text": "the double's words"},
            {**base, "id": str(trigger_id), "author_id": asker_id, "speaker": "Anna", "text": f"asked {asker_id}"},
        ]
        store.call(replies.note_seen, reply_id, {"kept": kept, "left_out": [], "budget": 10})
        store.call(replies.note_sent, reply_id, 900 if trigger_id == 1 else 901, "answer", 0)
        store.call(replies.end, reply_id, ReplyState.DONE)
        item_id = store.call(items.of_reply, reply_id)
        store.call(judgements.rate, item_id, judge(store), Scale.HELPFUL, 4, **WEB)
    assert exported(store) == ([], {exchange.NOT_FOR_TRAINING: 2})
    store.call(people.set_consent, 30, training=True)
    lines, left_out = exported(store)
    assert left_out == {exchange.NOT_FOR_TRAINING: 1}
    texts = [turn["text"] for turn in json.loads(lines[0])["reply"]["context"]]
    assert texts == ["persona", "the double's words", "asked 30"]  # and not Carl's


def test_what_somebody_keeps_from_training_stays(store: Store) -> None:
    anna = judge(store)
    item_id = store.call(items.put_item, reply(3), author=anna, may_train=False)
    store.call(judgements.rate, item_id, anna, Scale.HELPFUL, 4, **WEB)
    assert exported(store) == ([], {exchange.NOT_FOR_TRAINING: 1})


def test_guesses_go_out_as_preferences_only_if_the_owner_says_so(store: Store) -> None:
    round_id = store.call(guesses.make_round, "friends")
    real, other = Writing(messages=("mine",)), Writing(messages=("its",), model="tuned", arm="double")
    store.call(guesses.add_question, round_id, [("Anna", "hi")], "Ben", real=real, other=other)
    for wanted in (("mine",), ("its",)):
        who = judge(store)
        view = store.call(guesses.next_question, round_id, who)
        assert view is not None
        side = Side.LEFT if view.replies.left.messages == wanted else Side.RIGHT
        store.call(guesses.guess, view.replies.id, who, side, seconds=3.0, **WEB)
    assert exported(store) == ([], {})
    store.call(guesses.set_as_preferences, round_id, True)
    rows = [json.loads(line) for line in exported(store)[0]]
    assert sorted(row["choice"] for row in rows) == ["a", "b"]
    assert {(row["a"]["model"], row["b"]["model"]) for row in rows} == {("human", "tuned")}
    assert store.call(standings.standings) == ()


def line(**changes: Any) -> str:
    told = {
        "type": "rating", "id": "", "at": "2026-01-02T03:04:05+00:00", "judge": "judge-1", "kind": "human",
        "seconds": None, "scale": "helpful", "value": 4,
        "reply": {"id": "", "context": [{"speaker": "A", "text": "hi"}], "speaker": "B", "messages": ["yo"],
                  "model": "m", "sampling": {}},
    }  # fmt: skip
    return json.dumps(told | changes)


PAIR = {"id": "", "context": [], "speaker": "B", "messages": ["one"], "model": "m", "sampling": {}}
BAD = {
    "not JSON": "{", "a list": "[1]", "deep": "[" * 100_000, "number": "3",
    "no judge": line(judge=" "), "odd kind": line(kind="robot"), "odd type": line(type="vote"),
    "odd scale": line(scale="funny"), "value 6": line(value=6), "value true": line(value=True),
    "value text": line(value="4"), "no time": line(at="yesterday"), "negative": line(seconds=-1),
    "endless": line(seconds=1).replace('"seconds": 1', '"seconds": Infinity'),
    "reply unknown": line(reply={"id": "ab" * 16}), "no messages": line(reply=PAIR | {"messages": [" "]}),
    "odd context": line(reply=PAIR | {"context": "hi"}), "odd turn": line(reply=PAIR | {"context": [{"speaker": 1}]}),
    "no reply": line(reply=None), "long judge": line(judge="x" * 121),
    "long text": line(type="correction", text="x" * 200_001), "empty text": line(type="flag", reason=" "),
    "one reply": line(type="comparison", a=PAIR, choice="a", shown=["a", "b"]),
    "same twice": line(type="comparison", a=PAIR, b=PAIR, choice="a", shown=["a", "b"]),
    "other context": line(
        type="comparison", a=PAIR, b=PAIR | {"speaker": "C"}, choice="a", shown=["a", "b"]),
    "odd choice": line(type="comparison", a=PAIR, b=PAIR | {"model": "n"}, choice="left", shown=["a", "b"]),
    "odd order": line(type="comparison", a=PAIR, b=PAIR | {"model": "n"}, choice="a", shown=["b", "b"]),
}  # fmt: skip


def test_bad_lines_are_listed_and_good_ones_taken(store: Store) -> None:
    good = [line(), line(judge="judge-2"), "", "\ufeff" + line(judge="judge-3")]
    mixed: list[str | bytes] = [good[0], *BAD.values(), *good[1:], b"\xff\xfe{}"]
    done = store.call(importing.import_jsonl, mixed)
    assert (done.taken, done.known) == (3, 0)
    assert done.skipped_count == len(done.skipped) == len(BAD) + 1
    assert [number for number, _ in done.skipped] == [*range(2, len(BAD) + 2), len(mixed)]
    assert all(reason for _, reason in done.skipped)
    assert store.call(summaries.totals) == {"rating": 3}


@pytest.mark.parametrize("name", sorted(BAD))
def test_each_bad_line_is_refused_with_a_reason(name: str) -> None:
    if name in ("long judge", "long text", "same twice"):  # which only the database side can tell
        return
    with pytest.raises(LineError, match=r"\w"):
        from_line(BAD[name])


def test_what_is_here_stays_when_a_file_says_something_else(store: Store) -> None:
    store.call(importing.import_jsonl, [line()])
    done = store.call(importing.import_jsonl, [line(value=1), line(kind="ai"), line(judge="judge-2", value=1)])
    assert (done.taken, done.known) == (1, 0)
    assert [number for number, _ in done.skipped] == [1, 2]
    assert sorted(json.loads(row)["value"] for row in exported(store)[0]) == [1, 4]
    store.call(judges.set_blocked, 1, True)
    assert store.call(importing.import_jsonl, [line(scale="honest")]).skipped_count == 1
    known = json.loads(exported(store)[0][0])["reply"]
    forged = line(judge="judge-9", reply=known | {"messages": ["something else"]})
    assert "something else here" in store.call(importing.import_jsonl, [forged]).skipped[0][1]


def test_only_the_first_hundred_are_listed_and_all_are_counted(store: Store) -> None:
    done = store.call(importing.import_jsonl, ["{"] * 250)
    assert (done.skipped_count, len(done.skipped)) == (250, 100)


def test_parts_of_an_export_are_the_whole(judged: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = exported(judged)
    monkeypatch.setattr(exchange, "PAGE", 7)
    start: tuple[str, int] | None = ("judgements", 0)
    lines: list[str] = []
    while start is not None:
        part = judged.call(exchange.page, start)
        assert len(part.lines) <= 7
        lines += part.lines
        start = part.next
    assert sorted(row.removesuffix("\n") for row in lines) == whole


def test_a_batch_that_is_judged_elsewhere_is_the_same_pair(judged: Store, tmp_path: Path) -> None:
    lines, _ = exported(judged)
    with open_store(f"sqlite:///{tmp_path}/other.sqlite3") as other:
        batch_id, _ = batch_of(other, 12, seed=14)  # made there, too, from the same replies
        other.call(importing.import_jsonl, lines)
        (row,) = other.call(pairs.batches)
        assert (row.id, row.pairs) == (batch_id, 12)
        assert row.left < 6
