"""Judgements from a file to contexts, to parts, to tokens; and the report's numbers."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judged_replies import comparison, correction, flag, laughing, ratings, reply, soft, written
from talkalike.alignment.judged import JudgedContext, gather, read_judgements, remarks
from talkalike.alignment.judged_parts import EncodedContext, encode_contexts, split_contexts
from talkalike.alignment.reward_report import ScoredContext, reward_report
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.examples.render import Renderer
from talkalike.store.judging.judgement_values import Choice, Kind
from talkalike.store.judging.lines import LineError, from_line
from tiny_model import byte_level_tokenizer


def test_reading_counts_what_is_left_out_and_keeps_ai_apart(tmp_path: Path) -> None:
    own = comparison(1, "a", "b", Choice.A)
    again = comparison(1, "a", "b", Choice.B)
    robot = comparison(2, "a", "b", Choice.A, judge="robot", kind=Kind.AI)
    file = written(tmp_path / "j.jsonl", [own, again, robot])
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"type": "rating"}\n\nnonsense\n')
    read = read_judgements(file)
    assert [record.judge for record in read.records] == ["judge-1"]
    assert read.left_out == {
        "the same judgement again": 1,
        "lines that are no judgement": 2,
        "given by the other kind of judge (people, AI)": 1,
    }
    assert [number for number, _ in read.skipped] == [4, 6]
    assert len(read_judgements(file, kinds=(Kind.HUMAN, Kind.AI)).judges) == 2
    written(file, [robot])
    with pytest.raises(UserError, match="kind of judges"):
        read_judgements(file)
    assert read_judgements(written(file, [own, robot])).digest == read_judgements(written(file, [robot, own])).digest


def test_the_same_two_replies_become_what_most_people_said(tmp_path: Path) -> None:
    votes = {"x": Choice.A, "y": Choice.A, "z": Choice.B}
    records = [comparison(1, "aa", "bb", choice, judge=judge) for judge, choice in votes.items()]
    records += [comparison(2, "cc", "dd", Choice.BOTH_BAD), comparison(3, "ee", "ee", Choice.A)]
    file = written(
        tmp_path / "j.jsonl", [*records, correction(1, "bb", "aa\ncc"), correction(4, "ff", "ff"), flag(4, "ff")]
    )
    gathered = gather(read_judgements(file))
    first, second, fourth = gathered.contexts
    assert [tuple(first.replies[place] for place in pair) for pair in first.pairs] == [
        (("aa",), ("bb",)),
        (("aa", "cc"), ("bb",)),
    ]
    assert first.corrections == 1
    assert second.bad == (0, 1)
    assert fourth.bad == (0,)
    assert gathered.left_out == {
        "both called bad": 1,
        "two replies with the same words": 1,
        "corrections that change nothing": 1,
    }


def test_soft_labels_stay_soft_where_nobody_chose(tmp_path: Path) -> None:
    rules = [soft(1, "aa", "bb", 0.9), soft(1, "bb", "aa", 0.4, judge="judge:wise:short")]
    torn = [soft(2, "cc", "dd", 0.75), soft(2, "cc", "dd", 0.25, judge="judge:wise:short")]
    person = [soft(3, "ee", "ff", 0.99), comparison(3, "ee", "ff", Choice.B)]
    before = [comparison(4, "gg", "hh", Choice.B, judge="robot", kind=Kind.AI)]  # as AI judges said it in old files
    file = written(tmp_path / "j.jsonl", [*rules, *torn, *person, *before, soft(5, "x", "long " * 60, 0.8)])
    gathered = gather(read_judgements(file, kinds=(Kind.HUMAN, Kind.AI)))
    assert gathered.left_out == {"two replies of which each was preferred equally often": 1}
    assert [(context.pairs, {p: round(s, 6) for p, s in context.soft.items()}) for context in gathered.contexts] == [
        (((0, 1),), {(0, 1): 0.75}),
        (((1, 0),), {}),
        (((1, 0),), {}),
        (((0, 1),), {(0, 1): 0.8}),
    ]
    made, too_long = encode_contexts(gathered.contexts, Renderer(byte_level_tokenizer()), max_tokens=60)
    assert too_long == 1
    assert [[round(share, 6) for share in context.shares] for context in made] == [[0.75], [1.0], [1.0]]
    line = file.read_text(encoding="utf-8").splitlines()[0]
    for wrong, match in (("0.4", "other reply"), ("1.5", "from 0 to 1"), ("true", "from 0 to 1"), ("NaN", "from 0")):
        with pytest.raises(LineError, match=match):
            from_line(line.replace('"probability":0.9', f'"probability":{wrong}'))


def test_remarks_tell_of_one_judge_vanished_models_and_quarrels(tmp_path: Path) -> None:
    one = read_judgements(written(tmp_path / "a.jsonl", laughing(3)))
    assert len(remarks(one, gather(one), known_models=["anna-lora", "tiny"])) == 1
    quarrel = [*ratings(3, lambda laughs: 1), *ratings(3, lambda laughs: 5, judge="judge-2")]
    two = read_judgements(written(tmp_path / "b.jsonl", quarrel))
    vanished, torn = remarks(two, gather(two), known_models=["tiny"])
    assert "anna-lora" in vanished
    assert torn.startswith("3 replies")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([0.1, 0.3, 0.5]))
def test_a_conversation_never_stands_on_both_sides(seed: int, conversations: int, share: float) -> None:
    rng = random.Random(seed)
    contexts = []
    for number in range(conversations):
        turns = tuple(("Bob", f"{number}-{turn}") for turn in range(8))
        for _ in range(rng.randint(1, 4)):
            end = rng.randint(2, 8)
            contexts.append(
                JudgedContext(turns=turns[max(0, end - 4) : end], speaker=f"s{rng.randint(0, 1)}", replies=(("a",),))
            )
    parts = split_contexts(contexts, heldout=share, seed=seed)
    assert sorted(map(str, parts.train + parts.heldout)) == sorted(map(str, contexts))
    assert not {c.turns for c in parts.train} & {c.turns for c in parts.heldout}
    if parts.by == "conversation":
        said = [{turn for context in part for turn in context.turns} for part in (parts.train, parts.heldout)]
        assert all(
            not set(zip(a.turns, a.turns[1:], strict=False)) & set(zip(b.turns, b.turns[1:], strict=False))
            for a in parts.train
            for b in parts.heldout
        ), said
    assert split_contexts(contexts, heldout=share, seed=seed) == parts


def test_replies_are_rendered_as_they_are_written(tmp_path: Path) -> None:
    renderer = Renderer(byte_level_tokenizer())
    said = reply(1, ["ok :)", "bye"])
    context = JudgedContext(
        turns=said.context, speaker="Anna", replies=(said.messages, ("long " * 60,)), pairs=((0, 1),), bad=(0,)
    )
    (one,), too_long = encode_contexts([context], renderer, max_tokens=60)
    assert too_long == 1
    assert (one.pairs, one.bad) == ((), (0,))
    sample = one.samples[0]
    text = renderer.decode_text([*sample.prompt_ids, *sample.reply_ids])
    assert text.endswith("<|im_start|>Anna\nok :)<|im_end|>\n<|im_start|>Anna\nbye<|im_end|>")
    assert len(sample.prompt_ids) + len(sample.reply_ids) <= 60
    (whole,), _ = encode_contexts([context], renderer, max_tokens=2000)
    assert [turn.text for turn in whole.samples[0].prompt_turns] == [text for _, text in said.context]


def test_the_report_equals_numbers_worked_out_by_hand() -> None:
    def scored(texts: list[str], values: list[float], **judged: tuple[tuple[int, ...], ...]) -> ScoredContext:
        samples = tuple(ReplySample(prompt_ids=(1,), reply_ids=(2,), text=text) for text in texts)
        fields = {"pairs": (), "ratings": (), "bad": ()} | judged
        return ScoredContext(
            context=EncodedContext(samples=samples, **fields),
            values=values,
            spreads=[0.5] * len(values),
            by_scale=[{"honest": value} for value in values],
        )

    heldout = [
        scored(["aaaa bbbb", "aa"], [4.0, 3.0], pairs=((0, 1),)),  # right, the longer one
        scored(["aaaa?", "bbbb"], [2.0, 2.5], pairs=((0, 1),)),  # wrong, equally long
        scored(["a" * 30, "b"], [2.0, 2.0], pairs=((0, 1),)),  # a draw
        scored(["x"], [3.5], ratings=((0, "honest", 5),)),
        scored(["y"], [4.5], ratings=((0, "honest", 3),)),
    ]
    report = reward_report(heldout, heldout, pair_scale="honest")
    assert (report.accuracy.count, report.accuracy.n) == (1.5, 3)
    assert (report.length_matched.count, report.length_matched.n) == (0.0, 1)
    assert (report.longer_preferred.count, report.longer_preferred.n) == (3, 3)
    assert (report.longer_scored.count, report.longer_scored.n) == (1, 3)
    assert report.rating_error == pytest.approx(1.5)
    assert report.rating_error_of_mean == pytest.approx(1.0)
    said = [1 / (1 + np.exp(-gap)) for gap in (1.0, 0.5)]
    assert report.calibration_error == pytest.approx((abs(said[0] - 1) + abs(said[1] - 0.0) + abs(0.5 - 0.5)) / 3)
    unsure = dataclasses.replace(heldout[0], context=dataclasses.replace(heldout[0].context, soft={(0, 1): 0.7}))
    assert reward_report([unsure], [], pair_scale="honest").calibration_error == pytest.approx(said[0] - 0.7)
    assert report.spread == 0.5
    questions = {liking.feature: liking for liking in report.likes}["question"]
    assert (questions.n, questions.correlation < 0) == (8, True)


def test_reading_judgements_loads_neither_torch_nor_django() -> None:
    code = "import sys, talkalike.alignment.judged; sys.exit(bool({'torch', 'django'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
