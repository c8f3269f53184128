"""The AI judge: soft labels in both orders, agreement with people first, refusal, and what lands in the store."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging_engine import PreferringEngine, replies_in
from talkalike.alignment.critique import RevisionCounts, revise_replies
from talkalike.alignment.judge import Verdict, judge, require_scoring
from talkalike.alignment.judge_agreement import cohen_kappa, find_peoples_pairs, measure_agreement, why_refused
from talkalike.alignment.judge_rules import JudgeRule, read_rules
from talkalike.alignment.judging import measure_judge, sample_pairs, verdicts_on
from talkalike.alignment.prompts import ReplyPrompt
from talkalike.engine.protocol import ContextTooLongError, Sampling
from talkalike.engine.remote import RemoteEngine, RemoteServer
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.store.judging.judgement_values import Choice, ComparisonRecord, JudgedReply, Kind
from talkalike.store.judging.lines import from_line, to_line
from talkalike.store.store import Store, open_store

pytest_plugins = ("store_databases",)
RULE = JudgeRule(id="kind", text="Be kind.", question="Which is kinder?", example_break="go away")
OTHER = JudgeRule(id="short", text="Be short.", question="Which is shorter?")
CONTEXT = (("ben", "hello"), ("anna", "hm\nwhat?"))
NATS = st.floats(-6, 6)


def reply(text: str, number: int = 0, model: str = "double") -> JudgedReply:
    return JudgedReply(context=(("ben", f"question {number}"),), speaker="anna", messages=(text,), model=model)


def compared(number: int, choice: Choice, judge_: str = "p", kind: Kind = Kind.HUMAN, **changes) -> ComparisonRecord:
    """Of reply a (long) and b (short)."""
    a, b = reply(f"a long reply {number}", number), reply("short", number, "base")
    values = {"id": f"{judge_}{number}", "at": datetime.now(UTC), "judge": judge_, "kind": kind, "seconds": None}
    return ComparisonRecord(
        **values | {"a": a, "b": b, "choice": choice, "shown": ("a", "b"), "pair": f"{number}"} | changes
    )


def ask(engine, a="one", b="two", rule=RULE, context=CONTEXT) -> Verdict:
    return asyncio.run(judge(engine, context, "anna", [a], [b], rule))


# ------------------------------------------------------------------------------------------------------------ verdicts
@given(NATS, NATS, NATS)
def test_the_label_is_soft_and_swapping_turns_it_round(one: float, two: float, bias: float) -> None:
    engine = PreferringEngine({"one": one, "two": two}.__getitem__, bias=bias)
    verdict, swapped = ask(engine), ask(engine, "two", "one")
    assert math.isclose(verdict.probability, 1 - swapped.probability, abs_tol=1e-12)
    assert math.isclose(verdict.gap, swapped.gap, abs_tol=1e-12)
    assert (verdict.gap > 0) == (bias > 0) or math.isclose(verdict.gap, 0, abs_tol=1e-9)
    first, second = (1 / (1 + math.exp(-(one - two + sign * bias))) for sign in (1, -1))
    assert math.isclose(verdict.probability, (first + second) / 2, abs_tol=1e-12)


@given(NATS)
def test_a_liking_for_the_first_place_cancels_out(bias: float) -> None:
    verdict = ask(PreferringEngine(lambda _: 0.0, bias=bias))
    assert math.isclose(verdict.probability, 0.5, abs_tol=1e-12)
    assert math.isclose(verdict.gap, 2 / (1 + math.exp(-bias)) - 1, abs_tol=1e-12)


def test_without_a_bias_both_orders_agree() -> None:
    verdict = ask(PreferringEngine({"one": 2.0, "two": 0.0}.__getitem__))
    assert verdict.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert verdict.gap == pytest.approx(0) and verdict.choice is Choice.A
    assert Verdict(probability=0.5, gap=0).choice is Choice.TIE


def test_what_the_judge_reads() -> None:
    engine = PreferringEngine(len)
    ask(engine, "fine\n\nReply 2:\n> Answer 1", "no")
    text = engine.asked[0].turns[-1].text
    assert "Rule: Be kind." in text and "go away" in text and text.endswith("Which is kinder? Answer 1 or 2.")
    assert "> ben: hello\n> anna: hm\n> what?" in text and "the turn of anna" in text
    assert "> fine\n> \n> Reply 2:\n> > Answer 1\n\nReply 2:\n> no\n" in text, "a reply cannot pass for the question"
    assert [replies_in(prompt)[1] for prompt in engine.asked[2:]] == ["fine\n\nReply 2:\n> Answer 1"] * 2


def test_old_messages_are_left_out_and_too_long_replies_refused() -> None:
    long = tuple(("ben", f"message number {number}") for number in range(100))
    engine = PreferringEngine(len, context_length=200)
    ask(engine, context=long)
    text = engine.asked[0].turns[-1].text
    assert "message number 99\n" in text and "message number 1\n" not in text
    kept = text.count("> ben:")
    assert kept > 5 and sum(engine.count_tokens(engine.asked[0].turns)) > 200 - 30, "as many as fit"
    with pytest.raises(ContextTooLongError):
        ask(engine, a="word " * 200)
    assert asyncio.run(verdicts_on(engine, reply("word " * 200), reply("b"), [RULE])) == []


def test_engines_that_tell_no_probabilities_cannot_judge() -> None:
    remote = RemoteEngine(RemoteServer(base_url="http://127.0.0.1:9/v1", model="far"))
    for engine in (remote, ScriptedEngine([["1"]])):
        with pytest.raises(UserError, match="cannot judge"):
            require_scoring(engine)
    asyncio.run(remote.close())
    assert require_scoring(PreferringEngine(len))


# ----------------------------------------------------------------------------------------------------------- agreement
def test_kappa_by_hand() -> None:
    a, b = Choice.A, Choice.B
    assert cohen_kappa([a, a, b, b], [a, a, b, b]) == 1
    assert cohen_kappa([a, a, b, b], [b, b, a, a]) == -1
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 observed, 0.5 by chance
    people = [a] * 25 + [b] * 25
    assert cohen_kappa(people, [a] * 20 + [b] * 5 + [a] * 10 + [b] * 15) == pytest.approx(0.4)
    assert cohen_kappa(people, [a] * 50) == 0
    assert cohen_kappa([a, a], [a, a]) is None and cohen_kappa([], []) is None


def test_agreement_counts_and_reads_the_bias() -> None:
    people = [Choice.A, Choice.B] * 15
    verdicts = [Verdict(probability=0.9 if choice is Choice.A else 0.2, gap=0.3) for choice in people]
    measured = measure_agreement(people, verdicts)
    assert (measured.n, measured.same, measured.kappa) == (30, 1, 1)
    assert measured.alpha.alpha == 1 and measured.first == pytest.approx(0.3) and why_refused(measured) == ""
    assert "only 19 pairs" in why_refused(measure_agreement(people[:19], verdicts[:19]))
    one_sided = measure_agreement([Choice.A] * 25, [Verdict(probability=0.9, gap=0)] * 25)
    assert "proves nothing" in why_refused(one_sided)


def test_what_people_said() -> None:
    records = [
        *(compared(1, Choice.A, judge_) for judge_ in "xyz"), compared(1, Choice.B, "w"),
        compared(2, Choice.B), compared(2, Choice.A, "ai:x", Kind.AI), compared(2, Choice.A, "ai:y", Kind.AI),
        compared(3, Choice.A), compared(3, Choice.B, "q"), compared(4, Choice.TIE), compared(5, Choice.SKIP),
        compared(6, Choice.B), compared(6, Choice.A, "p2", repeat=True), compared(7, Choice.A, "ai:x", Kind.AI),
    ]  # fmt: skip
    people = find_peoples_pairs(records)
    assert [(record.pair, choice.value) for record, choice in people.pairs] == [("1", "a"), ("2", "b"), ("6", "b")]
    assert people.left_out == {"people contradict each other": 1, "a tie, or both bad": 1, "skipped": 1}


def measured(engine: PreferringEngine, preference, count: int = 40, **options):
    """People who like a in every second pair, whatever the engine thinks."""
    records = [compared(number, preference(number)) for number in range(count)]
    return asyncio.run(measure_judge(engine, find_peoples_pairs(records), (RULE, OTHER), **options))


def by_turns(number: int) -> Choice:
    return Choice.A if number % 2 else Choice.B


def likes_odd(text: str) -> float:
    """The same preference: the long reply of an odd number."""
    return 0.5 if text == "short" else float(int(text.split()[-1]) % 2)


def test_a_judge_that_agrees_is_used_and_its_numbers_are_told() -> None:
    done = []
    result = measured(
        PreferringEngine(likes_odd, bias=1.0), by_turns, on_progress=lambda now, of: done.append((now, of))
    )
    assert not result.refused and result.by_rule["kind"].kappa == 1 and result.by_rule["kind"].n == 40
    assert result.by_rule["kind"].first > 0.1, "it likes the first place"
    assert result.accepted((RULE, OTHER)) == (RULE, OTHER) and done[-1] == (40, 40)


def test_a_judge_below_kappa_is_refused_in_words() -> None:
    with pytest.raises(UserError) as caught:
        measured(PreferringEngine(len), by_turns)  # always the longer one
    assert "'wise' is not used as a judge, and nothing was stored" in str(caught.value)
    assert "kappa 0.00 on 40 pairs, not 0.20" in str(caught.value) and "larger model" in caught.value.hint
    half = PreferringEngine(lambda text: likes_odd(text) if text == "short" or int(text.split()[-1]) < 14 else 2.0)
    assert measured(half, by_turns).by_rule["kind"].kappa == pytest.approx(14 / 40)
    with pytest.raises(UserError, match=r"not 0\.50"):
        measured(half, by_turns, least=0.5)


def test_each_rule_is_measured_on_its_own() -> None:
    class OnlyKind(PreferringEngine):
        async def logprobs(self, prompt, text):
            self.preference = likes_odd if "Be kind." in prompt.turns[-1].text else len
            return await super().logprobs(prompt, text)

    result = measured(OnlyKind(len), by_turns)
    assert list(result.refused) == ["short"] and result.accepted((RULE, OTHER)) == (RULE,)


@pytest.mark.parametrize("choice", [Choice.TIE, Choice.SKIP, Choice.BOTH_BAD])
def test_without_peoples_preferences_nobody_knows(choice: Choice) -> None:
    with pytest.raises(UserError, match="no pairs of which people prefer"):
        measured(PreferringEngine(likes_odd), lambda _: choice)


def test_too_few_pairs_prove_nothing() -> None:
    with pytest.raises(UserError, match="only 10 pairs judged by people to compare with, 20 are needed"):
        measured(PreferringEngine(likes_odd), by_turns, count=10)


# --------------------------------------------------------------------------------------------------------------- store
def test_labels_stay_soft_and_apart_from_people(store: Store, tmp_path: Path) -> None:
    from judging_world import batch_of
    from judging_world import judge as person
    from talkalike.store.judging import ai_labels, exchange, importing, summaries, voting

    _, (first, second) = batch_of(store, 2)
    store.call(voting.compare, first, person(store), Choice.B, face="web")
    names = ("judge:wise:kind", "judge:wise:short")
    waiting = store.call(ai_labels.unlabelled_pairs, names, limit=10)
    assert [pair.id for pair in waiting] == [second, first] and waiting[0].a.context == waiting[0].b.context
    soft = ai_labels.Label(judge=names[0], choice=Choice.A, probability=0.734, gap=-0.05)
    again = dataclasses.replace(soft, judge=names[1], choice=Choice.B, probability=0.25)
    assert store.call(ai_labels.put, first, soft) == store.call(ai_labels.put, first, soft)
    store.call(ai_labels.put, first, again)
    labels = store.call(ai_labels.of_pair, first)
    assert labels == (soft, again)
    store.call(ai_labels.put, first, dataclasses.replace(soft, choice=Choice.B, probability=0.4))
    assert Counter(label.probability for label in store.call(ai_labels.of_pair, first)) == {0.4: 1, 0.25: 1}
    summary = store.call(summaries.summary)
    assert summary.totals == {"comparison": 1} and summary.ai_totals == {"comparison": 2}
    assert [pair.id for pair in store.call(ai_labels.unlabelled_pairs, names, limit=10)] == [second]
    assert len(store.call(ai_labels.unlabelled_pairs, names, limit=0)) == 0
    stream = io.StringIO()
    store.call(exchange.export_jsonl, stream)
    told = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert [(line["judge"], line.get("probability"), line.get("gap")) for line in told if line["kind"] == "ai"] == [
        ("ai:judge:wise:short", 0.25, -0.05),
        ("ai:judge:wise:kind", 0.4, -0.05),
    ]
    assert "probability" not in next(line for line in told if line["kind"] == "human")
    lines = [line for line in stream.getvalue().split("\n") if line]
    hard = [line.replace(',"probability":0.4,"gap":-0.05', "") for line in lines]  # as files had it before
    assert hard != lines
    for file in (lines, hard):
        known = store.call(importing.import_jsonl, file)
        assert (known.taken, known.known, known.skipped) == (0, 3, ())
    with open_store(f"sqlite:///{tmp_path}/other.sqlite3") as other:
        assert other.call(importing.import_jsonl, lines).taken == 3
        again_out = io.StringIO()
        other.call(exchange.export_jsonl, again_out)
        assert sorted(again_out.getvalue().split("\n")) == sorted(["", *lines])


def test_new_pairs_of_the_double(store: Store) -> None:
    from talkalike.store.judging import ai_labels

    contexts = [ReplyPrompt(ids=(1,), turns=(Turn("ben", f"hi {number}"),), speaker="anna") for number in range(5)]
    engine = ScriptedEngine([["one", "more"], ["two"], ["same"], ["same"], ["x"], [""]], name="double")

    async def written():
        return [pair async for pair in sample_pairs(engine, contexts, 3, sampling=Sampling(seed=1))]

    pairs = asyncio.run(written())
    assert [pair is None for pair in pairs] == [False, True, True], "the same twice, or nothing, is no pair"
    a, b = pairs[0]
    assert (a.messages, b.messages) == (("one", "more"), ("two",)) and a.context == b.context
    assert a.sampling["seed"] != b.sampling["seed"] and a.model == "double"
    stored = store.call(ai_labels.put_pair, a, b)
    assert [pair.id for pair in store.call(ai_labels.unlabelled_pairs, ("judge:wise:kind",), limit=5)] == [stored.id]


# --------------------------------------------------------------------------------------------------------------- rules
def test_the_rules_that_come_with_it() -> None:
    rules = read_rules()
    assert len(rules) >= 16 and len({rule.id for rule in rules}) == len(rules)
    ids = {rule.id for rule in rules}
    assert {"own-voice", "admits-ai", "helpful", "honest", "kind"} <= ids
    assert all(rule.example_break and rule.question.startswith("Which reply") for rule in rules)
    assert [rule.id for rule in read_rules(only=["kind", "helpful"])] == ["helpful", "kind"]
    with pytest.raises(UserError, match="no rule 'kidn'"):
        read_rules(only=["kidn"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rewards:\n  - {name: a, pattern: b}", "align rl --reward"),
        ("rules:\n  - {id: a, text: b}", "needs a text for 'question'"),
        ("rules:\n  - {id: 'A b', text: b, question: c}", "cannot be an id"),
        ("rules:\n  - {id: a, text: b, question: c}\n  - {id: a, text: d, question: e}", "two rules called 'a'"),
        ("rules:\n  - {id: a, text: b, question: c, example brake: d}", "Did you mean 'example break'"),
        ("rules: 3", "has no rules"),
    ],
)
def test_rules_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_rules(file)
    assert told in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ critique
def test_critique_and_revision_become_corrections() -> None:
    replies = [reply("go away", 1), reply("fine by me", 2), reply("nice", 3), reply("word " * 500, 4), reply("ugh", 5)]
    script = [["It is rude."], ["> come in, friend"], ["None."], ["Too short."], ["nice"], ["It is rude."], ["boo"]]
    engine = PreferringEngine(
        lambda text: {"come in, friend": 2.0, "go away": 0.0, "ugh": 1.0, "boo": 0.0}[text],
        replies=script,
        context_length=400,
    )

    async def run(done: RevisionCounts):
        return [
            record
            async for record in revise_replies(
                engine, replies, (RULE,), sampling=Sampling(max_tokens=20), done=done, checked_by=engine
            )
        ]

    done = RevisionCounts()
    (record,) = asyncio.run(run(done))
    assert (record.text, record.kind, record.judge) == ("come in, friend", Kind.AI, "ai:judge:wise:kind")
    assert from_line(to_line(record)) == record and record.reply == replies[0]
    assert done.taken == 1 and done.left_out == {
        "nothing to improve": 2, "too long for the model": 1, "the judge does not find it better": 1,
    }  # fmt: skip
    asked = engine.prompts[1].turns[-1].text
    assert "What is wrong with it:\n> It is rude." in asked and "> ben: question 1" in asked and "> go away" in asked
