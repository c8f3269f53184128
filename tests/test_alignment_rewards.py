"""Rewards: sentiment, rules, classifiers and a person's own function, and what bad ones say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkalike.alignment.classifier_reward import ClassifierReward
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.rule_reward import read_rule_reward
from talkalike.alignment.sentiment import SentimentReward
from talkalike.alignment.values import ReplySample, Reward, checked_scores
from talkalike.errors import UserError
from talkalike.workspace.cards import Card, Catalog
from tiny_model import byte_level_tokenizer

torch.set_num_threads(1)

RULES = r"""
rewards:
  - {name: no capitals, pattern: '\p{Lu}', weight: -1, count: 3}
  - {name: says hi, pattern: '(?i)^hi\b', weight: 2}
  - {name: short, length: {of: words, at_least: 2, at_most: 4}}
"""


def sample(text: str) -> ReplySample:
    return ReplySample(prompt_ids=(1,), reply_ids=(2,), text=text)


def scores(reward: Reward, *texts: str) -> list[float]:
    return checked_scores(reward, [sample(text) for text in texts])


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "models")


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of this test's own in the current folder, named so that no other test imported it."""
    monkeypatch.chdir(tmp_path)
    name = f"reward_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(
        "def long(samples): return [len(sample.text) for sample in samples]\n"
        "def nan(samples): return [float('nan') if 'bad' in s.text else 1 for s in samples]\n"
        "def raises(samples):\n    for s in samples:\n        if 'bad' in s.text: raise ValueError('no opinion')\n"
        "    return [0.0] * len(samples)\n"
        "def together(samples):\n    if len(samples) > 1: raise KeyError('two')\n    return [0.0]\n"
        "def few(samples): return [1.0]\n"
        "def none(samples): return None\n"
        "def words(samples): return ['1.0'] * len(samples)\n"
        "def infinite(samples): return [-float('inf')] * len(samples)\n"
        "async def later(samples): return []\n"
        "number = 3\n",
        encoding="utf-8",
    )
    return f"python:{name}"


# ------------------------------------------------------------------------------------------------------------ sentiment
def test_sentiment_knows_chat() -> None:
    glad, sad, neutral, emoji, empty = scores(
        SentimentReward(), "this is great, love it :)", "this is horrible, hate it", "the train is at six", "😂", ""
    )
    assert glad > 0.8 and sad < -0.7 and neutral == 0 == empty and emoji > 0
    assert scores(SentimentReward(), "GREAT!!!")[0] > scores(SentimentReward(), "great")[0]


@given(st.text(max_size=60))
def test_sentiment_is_a_number_for_any_text(text: str) -> None:
    reward = SENTIMENT
    first, again = scores(reward, text, text)
    assert first == again and -1 <= first <= 1


SENTIMENT = SentimentReward()


# ---------------------------------------------------------------------------------------------------------------- rules
def test_rules_add_up(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES, encoding="utf-8")
    reward = open_reward(str(file), catalog=catalog)
    got = scores(reward, "hi there", "HELLO THERE", "hi", "a b c d e f g h", "ok then X", "hides in here")
    assert got == [3.0, -3 + 1.0, 2.5, 0.5, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rewards: []", "has no rules"),
        ("nothing", "has no rules"),
        ("rules:\n  - {id: a, text: b, question: c}", "align judge"),
        ("rewards:\n  - {name: a, pattern: '('}", r"rule 1 \(a\): the pattern cannot be read"),
        ("rewards:\n  - {name: a, pattern: x, wieght: 2}", "Did you mean 'weight'"),
        ("rewards:\n  - {name: a}", "either a pattern or a length"),
        ("rewards:\n  - {name: a, pattern: x, length: {at_least: 1}}", "either a pattern or a length"),
        ("rewards:\n  - {name: a, pattern: x, weight: .nan}", "weight has to be a number"),
        ("rewards:\n  - {name: a, pattern: x, count: 0}", "count has to be"),
        ("rewards:\n  - {name: a, length: {of: lines}}", "not in 'lines'"),
        ("rewards:\n  - {name: a, length: {at_least: 5, at_most: 2}}", "at_least and at_most"),
        ("rewards:\n  - {name: a, length: {at_most: 0}}", "at_least and at_most"),
        ("rewards:\n  - {pattern: x}", "needs a text for 'name'"),
        ("rewards:\n  - [x", "line 2 is no YAML"),
        ("!!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_rules_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_rule_reward(file)
    assert re.search(told, str(caught.value)), str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_rule_reward(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_rule_reward(tmp_path / "binary.yaml")


def test_a_pattern_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkalike.alignment.rule_reward._SECONDS", 0.05)
    file = tmp_path / "rules.yaml"
    file.write_text("rewards:\n  - {name: slow, pattern: '(a|aa|b?a)+$'}", encoding="utf-8")
    with pytest.raises(UserError, match="'slow' takes too long on the reply 'aaa"):
        scores(read_rule_reward(file), "a" * 200 + "!")


# ----------------------------------------------------------------------------------------------------------- a function
def test_a_function_of_ones_own(own_module: str, catalog: Catalog) -> None:
    assert scores(open_reward(f"{own_module}.long", catalog=catalog), "four", "") == [4, 0]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("nan", "gave 'nan' for the reply 'bad one'"),
        ("infinite", "gave '-inf' for the reply 'good one'"),
        ("raises", r"of the reply 'bad one' failed: ValueError: no opinion \(reward_\d+.py, line 5\)"),
        ("together", "of 3 replies together, the first of which is 'good one' failed: KeyError"),
        ("few", "gave 1 numbers for 3 replies, the first of which is 'good one'"),
        ("none", "of the reply 'good one' failed: TypeError"),
        ("words", "gave '1.0' for the reply 'good one'"),
    ],
)
def test_a_function_that_fails_names_the_reply(own_module: str, catalog: Catalog, function: str, told: str) -> None:
    reward = open_reward(f"{own_module}.{function}", catalog=catalog)
    with pytest.raises(UserError, match=told):
        scores(reward, "good one", "bad one", "another")


def test_a_function_that_is_none(own_module: str, catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "breaks_when_read.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "needs_more.py").write_text("import not_there_at_all\n", encoding="utf-8")
    for spec, told in [
        (f"{own_module}.number", "no ordinary function 'number'"),
        (f"{own_module}.later", "no ordinary function 'later'"),
        (f"{own_module}.missing", "no ordinary function 'missing'"),
        ("python:nothing_here_9.fn", "There is no module 'nothing_here_9'"),
        ("python:nofunction", "names no function"),
        ("python:os;x.fn", "names no function"),
        ("python:breaks_when_read.fn", "fails when it is imported: ZeroDivisionError"),
        ("python:needs_more.fn", "needs 'not_there_at_all'"),
    ]:
        with pytest.raises(UserError, match=told):
            open_reward(spec, catalog=catalog)


# ------------------------------------------------------------------------------------------ classifiers and models
@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = byte_level_tokenizer()
    shape = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, initializer_range=0.5, pad_token_id=0,
        id2label={0: "NEGATIVE", 1: "POSITIVE", 2: "NEUTRAL"}, label2id={"NEGATIVE": 0, "POSITIVE": 1, "NEUTRAL": 2},
    )  # fmt: skip
    torch.manual_seed(0)
    BertForSequenceClassification(shape).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>").save_pretrained(folder)
    return folder


def test_a_classifier_gives_the_probability_of_a_label(classifier: Path, catalog: Catalog) -> None:
    texts = ("hello there", "haha that was great, do it again " * 20, "no")
    each = [
        scores(open_reward(f"classifier:{classifier}{label}", catalog=catalog), *texts)
        for label in ("#negative", "#Positive", "#NEUTRAL")
    ]
    for values in zip(*each, strict=True):
        assert math.isclose(sum(values), 1, abs_tol=1e-5)
    positive = open_reward(str(classifier), catalog=catalog)
    assert scores(positive, *texts) == pytest.approx(each[1])
    alone = [scores(positive, text)[0] for text in texts]
    assert alone == pytest.approx(each[1], abs=1e-6), "padding changes nothing"
    assert len({round(value, 3) for value in each[1]}) > 1


def test_a_classifier_that_cannot_be_used(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no label 'glad'.*NEGATIVE, POSITIVE"):
        ClassifierReward(str(classifier), label="glad")
    with pytest.raises(UserError, match="cannot be loaded"):
        ClassifierReward(str(tmp_path / "none"))


def test_what_is_no_reward_is_told(catalog: Catalog) -> None:
    with pytest.raises(UserError, match=r"There is no reward 'sentimnt'.*Did you mean 'sentiment'"):
        open_reward("sentimnt", catalog=catalog)
    catalog.save_card(Card(name="double", kind="adapter", created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(UserError, match="'double' is no reward model"):
        open_reward("double", catalog=catalog)
