"""What is kept about those who judge, and that forgetting them or a server leaves every count right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from judging_world import counts, judge, paired, put, reply
from store_child import beginning
from talkalike.store import people, replies
from talkalike.store.judging import (
    erasing,
    exchange,
    guesses,
    items,
    judgements,
    judges,
    pairs,
    serving,
    standings,
    summaries,
    undoing,
    voting,
)
from talkalike.store.judging.guesses import Writing
from talkalike.store.judging.judgement_values import Choice, Reason, RefusedError, Scale, Side
from talkalike.store.replies import ReplyState
from talkalike.store.store import Store

pytest_plugins = ("store_databases",)
WEB = {"face": "web"}
ANNA, BEN = 7_000_000_000_000_000_007, 8_000_000_000_000_000_008
ONE, TWO = 10, 11


def on_server(store: Store, server_id: int, trigger_id: int) -> tuple[int, int, int]:
    """Two replies to one message on that server, and their pair in a batch of the server."""
    made = []
    for again in (False, True):
        from dataclasses import replace

        told = replace(beginning(trigger_id, again=again), server_id=server_id, model=f"m{again}")
        reply_id = store.call(replies.begin, told)
        assert reply_id is not None
        store.call(replies.note_sent, reply_id, server_id * 1000 + trigger_id * 10 + again, f"on {server_id}", 0)
        store.call(replies.end, reply_id, ReplyState.DONE)
        made.append(store.call(items.of_reply, reply_id))
    batch_id = store.call(pairs.make_batch, f"of {server_id}", seed=1, server_id=server_id)
    return made[0], made[1], store.call(pairs.make_pair, *made, batch_id)


def judge_all(store: Store, who: int, item_ids: list[int], pair_ids: list[int], words: str) -> None:
    """One of everything, with a change."""
    for item_id in item_ids:
        store.call(judgements.rate, item_id, who, Scale.HELPFUL, 1 + who % 5, **WEB)
        store.call(judgements.rate, item_id, who, Scale.HELPFUL, 1 + (who + 1) % 5, **WEB)
        store.call(judgements.correct, item_id, who, f"correction by {words}", **WEB)
        store.call(judgements.flag, item_id, who, f"flag by {words}", **WEB)
        store.call(judgements.skip, item_id, who, **WEB)
    for pair_id in pair_ids:
        store.call(voting.compare, pair_id, who, (Choice.A, Choice.B)[who % 2], **WEB)


@pytest.fixture
def world(store: Store) -> dict[str, Any]:
    """Two servers and the web; Anna and Ben judged, and guessed, all of it."""
    anna, ben = store.call(judges.of_discord, ANNA), store.call(judges.of_discord, BEN)
    one, two = on_server(store, ONE, 1), on_server(store, TWO, 2)
    web = [put(store, 1), put(store, 2)]
    pair_ids = [one[2], two[2], paired(store, 3, None)]
    rounds = [store.call(guesses.make_round, f"of {server_id}", server_id=server_id) for server_id in (ONE, TWO)]
    for round_id in rounds:
        real, other = Writing(messages=(f"real {round_id}",)), Writing(messages=("its",), model="m", arm="double")
        context = [("Anna", f"held out {round_id}")]
        store.call(guesses.add_question, round_id, context, "Ben", real=real, other=other)
    for row, words in ((ben, "ben"), (anna, "anna")):
        judge_all(store, row.id, [one[0], two[0], *web], pair_ids, words)
        for round_id in rounds:
            view = store.call(guesses.next_question, round_id, row.id)
            assert view is not None
            store.call(guesses.guess, view.replies.id, row.id, Side.LEFT, **WEB)
    return {"store": store, "anna": anna, "ben": ben, "one": one, "two": two, "web": web, "rounds": rounds}


def everything(store: Store) -> str:
    def rows() -> str:
        from django.apps import apps

        tables = apps.get_app_config("store").get_models()
        return json.dumps([[t.__name__, *t.objects.values_list()] for t in tables], default=str, ensure_ascii=False)

    return store.call(rows)


def test_a_person_sees_what_they_judged_and_nobody_elses(world: dict[str, Any]) -> None:
    store = world["store"]
    kept = store.call(people.count_about, ANNA)
    assert kept["judgements"] == 4 * 5 + 3  # the rating that was changed is kept, too
    assert kept["judgement_characters"] == 4 * len("correction by anna" + "flag by anna")
    assert kept["guesses"] == 2
    told = store.call(people.export_about, ANNA)["judging"]
    assert len(told["judgements"]) == kept["judgements"]
    assert len(told["guesses"]) == 2
    assert told["judge"]["pseudonym"] == world["anna"].pseudonym
    text = json.dumps(told)
    assert "by anna" in text and "by ben" not in text and world["ben"].pseudonym not in text
    assert store.call(people.export_about, 12345)["judging"]["judge"] is None


def test_forgetting_a_person_leaves_the_counts_of_the_others(store: Store, world: dict[str, Any]) -> None:
    before = store.call(people.export_about, BEN)
    gone = store.call(people.forget_user, ANNA)
    assert (gone["judgements"], gone["guesses"]) == (23, 2)
    left = everything(store)
    for trace in ("by anna", str(ANNA), world["anna"].pseudonym):
        assert trace not in left, trace
    assert store.call(people.export_about, BEN) == before
    assert store.call(summaries.totals) == {"comparison": 3, "correction": 4, "flag": 4, "rating": 4, "skip": 4}
    assert counts(store)["agreement"] == []  # nobody agrees with nobody
    assert all(row.count == 1 for row in store.call(scores))
    assert [result.taken_for_real.n for result in store.call(guesses.results)] == [2]
    assert [row.guesses for row in store.call(guesses.rounds)] == [1, 1]
    assert set(store.call(people.count_about, ANNA).values()) == {0}
    new = store.call(judges.of_discord, ANNA)
    assert new.id != world["anna"].id and new.pseudonym != world["anna"].pseudonym


def scores() -> list[Any]:
    from talkalike.store.judging import models

    return list(models.ItemScore.objects.all())


def test_forgetting_both_leaves_nothing_to_count(store: Store, world: dict[str, Any]) -> None:
    store.call(people.forget_user, ANNA)
    store.call(people.forget_user, BEN)
    assert store.call(summaries.totals) == {}
    assert store.call(standings.standings) == ()
    assert counts(store)["tally"] == counts(store)["scores"] == []
    assert {judged for _, judged, _ in counts(store)["pairs"]} == {0}


def test_who_was_shut_out_stays_so(store: Store, world: dict[str, Any]) -> None:
    store.call(judges.set_blocked, world["anna"].id, True)
    store.call(people.forget_user, ANNA)
    again = store.call(judges.of_discord, ANNA)
    assert again.blocked and again.pseudonym != world["anna"].pseudonym
    with pytest.raises(RefusedError) as told:
        store.call(judgements.rate, world["web"][0], again.id, Scale.HONEST, 1, **WEB)
    assert told.value.reason is Reason.BLOCKED


def test_forgetting_a_server_takes_its_judgements_and_no_others(store: Store, world: dict[str, Any]) -> None:
    gone = store.call(people.forget_server, ONE)
    assert gone["judgements"] == 2 * (5 + 1)
    assert (gone["pairs"], gone["batches"], gone["blind_tests"], gone["judged_replies"]) == (1, 1, 1, 4)
    left = everything(store)
    for trace in ("of 10", "on 10", f"held out {world['rounds'][0]}", f"real {world['rounds'][0]}"):
        assert trace not in left, trace
    assert store.call(items.item, world["one"][0]) is None
    assert store.call(items.item, world["two"][0]) is not None
    assert store.call(summaries.totals) == {"comparison": 4, "correction": 6, "flag": 6, "rating": 6, "skip": 6}
    assert [row.name for row in store.call(pairs.batches)] == ["of 11"]
    assert [row.name for row in store.call(guesses.rounds)] == ["of 11"]
    assert len(store.call(judgements.of_item, world["two"][0], world["anna"].id)) == 4
    assert store.call(people.forget_server, ONE)["judgements"] == 0


def test_what_was_said_to_somebody_on_the_web_goes_with_them(store: Store) -> None:
    asker, other = judge(store), judge(store)
    item_id = store.call(items.put_item, reply(1, context=(("Me", "my secret"),), messages=("told",)), author=asker)
    kept = put(store, 2)
    for who in (asker, other):
        store.call(judgements.rate, item_id, who, Scale.HELPFUL, 2, **WEB)
        store.call(judgements.rate, kept, who, Scale.HELPFUL, 3, **WEB)
    assert "my secret" in json.dumps(store.call(erasing.about_judge, asker))
    assert store.call(erasing.forget_judge, asker) == {"judgements": 2, "guesses": 0, "judged_replies": 1}
    assert "my secret" not in everything(store)
    assert store.call(items.item, item_id) is None and store.call(items.item, kept) is not None
    (score, _) = store.call(summaries.worst, Scale.HELPFUL)
    assert (score.item_id, score.n, score.reply) == (item_id, 1, None)
    page = store.call(exchange.page)
    assert (len(page.lines), dict(page.left_out)) == (1, {exchange.NOT_FOR_TRAINING: 1})
    assert store.call(erasing.forget_judge, asker)["judgements"] == 0


def test_forgetting_one_who_judged_twice_forgets_both(store: Store) -> None:
    batch_id = store.call(pairs.make_batch, "b", seed=14)
    for number in range(12):
        paired(store, number, batch_id)
    anna, twice = judge(store), 0
    while (view := store.call(serving.next_pair, anna, batch_id)) is not None:
        choice = Choice.B if view.repeat and twice else Choice.A
        twice += view.repeat
        store.call(voting.compare, view.id, anna, choice, repeat=view.repeat, **WEB)
    assert twice == 2
    same = store.call(summaries.habits).same
    assert (same.count, same.n) == (1, 2)
    undone = store.call(undoing.undo, anna)
    assert undone is not None and undone.taken_back.repeat
    assert store.call(summaries.habits).same.n == 1
    store.call(erasing.forget_judge, anna)
    assert store.call(summaries.habits).same.n == 0
    assert counts(store)["tally"] == []
