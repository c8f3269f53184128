"""Many judges in many threads and processes: none lost, none doubled, and what was acknowledged survives kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from judging_child import choice_of, value_of
from judging_world import batch_of, counts, judge, put
from talkalike.store.judging import judgements, judges, serving, summaries
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.judging.judges import Group
from talkalike.store.store import Store, open_store

pytest_plugins = ("store_databases",)
CHILD = Path(__file__).with_name("judging_child.py")
# MANY_JUDGEMENTS=84 makes 10,000 of them; the suite is to be quick.
TIMES = int(os.environ.get("MANY_JUDGEMENTS", "1"))


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, CHILD, *map(str, arguments)], stdin=-1, stdout=-1, text=True)


def go(*children: subprocess.Popen[str]) -> list[str]:
    """Lets all begin at the same moment and returns the lines that they printed."""
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=600)[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return [line for text in printed for line in text.split("\n") if line]


def world(url: str, judges_: int) -> tuple[int, list[int], list[int]]:
    """A database with judges, 10 pairs and 5 replies; the first judge's id, the pairs, the items."""
    with open_store(url) as store:
        first, *_ = [judge(store) for _ in range(judges_)]
        _, made = batch_of(store, 10)
        return first, made, [put(store, number) for number in range(5)]


def test_judgements_of_many_are_all_there_once(database_url: str) -> None:
    """Two processes with four stores each; the same judges in both, as with double clicks and retries."""
    count = 8 * TIMES
    first, pairs_, items_ = world(database_url, count)
    lines = go(
        start("votes", database_url, first, first + count, *pairs_),
        start("votes", database_url, first, first + count, *pairs_),
        start("rates", database_url, first, first + count, *items_),
    )
    assert len(lines) == count * (2 * len(pairs_) + len(items_))
    with open_store(database_url) as store:
        assert store.call(summaries.totals) == {"comparison": count * len(pairs_), "rating": count * len(items_)}
        judging = range(first, first + count)
        expected = [Counter(choice_of(who, pair_id).value for who in judging) for pair_id in pairs_]
        assert [votes for votes, _, _ in counts(store)["pairs"]] == [dict(sorted(votes.items())) for votes in expected]
        for item_id in items_:
            history = store.call(judgements.history, item_id=item_id)
            assert {row.judge_id: row.value for row in history} == {who: value_of(who, item_id) for who in judging}
            assert len(history) == count
        for pair_id in pairs_:
            assert len(store.call(judgements.history, pair_id=pair_id)) == count
        agreement = store.call(summaries.agreement)
        assert agreement["comparisons"].judgements == count * len(pairs_)
        assert agreement["helpful"].judgements == count * len(items_)


def test_what_was_acknowledged_survives_kill_nine(database_url: str) -> None:
    first, pairs_, items_ = world(database_url, 30)
    child = start("votes", database_url, first, first + 30, *pairs_)
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    lines = [child.stdout.readline() for _ in range(37)]
    child.kill()
    lines += child.communicate(timeout=60)[0].splitlines(keepends=True)
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    assert 37 <= len(acknowledged) < 30 * len(pairs_)
    with open_store(database_url) as store:
        for judge_id, pair_id, choice in acknowledged:
            (row,) = store.call(judgements.of_pair, int(pair_id), int(judge_id))
            assert row.choice == choice
        # What was being written is there as a whole or not at all.
        stored = store.call(summaries.totals)["comparison"]
        assert len(acknowledged) <= stored <= len(acknowledged) + 4
        assert sum(judged for _, judged, _ in counts(store)["pairs"]) == stored
        store.call(judgements.rate, items_[0], first, Scale.HELPFUL, 3, face="web")


def test_a_pair_is_given_to_one_at_a_time_and_an_invitation_used_once(database_url: str) -> None:
    with open_store(database_url) as store:
        who = [judge(store) for _ in range(8)]
        batch_id, _ = batch_of(store, 8)
        token, _ = store.call(judges.invite, Group.JUDGE, by=None, uses=3)
    stores = [open_store(database_url) for _ in range(4)]
    try:
        with ThreadPoolExecutor(8) as threads:
            shown = list(threads.map(lambda n: stores[n % 4].call(serving.next_pair, who[n], batch_id), range(8)))
            came = list(threads.map(lambda n: stores[n % 4].call(judges.redeem, token), range(8)))
    finally:
        for store in stores:
            store.close()
    assert len({view.id for view in shown if view}) == 8
    assert sum(judge_ is not None for judge_ in came) == 3


def test_the_same_discord_user_and_the_same_reply_at_once_are_one(database_url: str) -> None:
    open_store(database_url).close()
    stores: list[Store] = [open_store(database_url) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as threads:
            known = list(threads.map(lambda store: store.call(judges.of_discord, 7).id, stores))
            made = list(threads.map(lambda store: put(store, 1), stores))
    finally:
        for store in stores:
            store.close()
    assert len(set(known)) == len(set(made)) == 1
