"""The linear reward model: its fit beside scikit-learn's, what it learns from which judgements, how honest it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

from judged_replies import comparison, correction, flag, laughing, ratings, sentence, soft, written
from talkalike.alignment.feedback_values import FeedbackStarted
from talkalike.alignment.judged import Judgements, gather, read_judgements
from talkalike.alignment.linear_recipe import (
    LinearRewardConfig,
    compare_replies,
    fit_judgements,
    train_linear_reward,
)
from talkalike.alignment.linear_reward import FORM_FILE, WEIGHTS_FILE, LinearReward
from talkalike.alignment.preference_fit import Comparisons, PreferenceFit, fit_dual, fit_preferences, side_by_side
from talkalike.alignment.reward_values import RewardFinished
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.text_features import different_pairs, message_word_features, word_features
from talkalike.alignment.uncertain_pairs import Ensemble
from talkalike.alignment.values import ReplySample, Reward
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.models.roles import Roles
from talkalike.store.judging.judgement_values import Choice, Kind
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import read_json, write_json
from talkalike.workspace.run_folder import RunFolder
from tiny_model import build_tiny_llama

CONFIG = LinearRewardConfig(name="liking", reference="tiny", dtype="float32", device="cpu")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    for name in ("tiny", "other"):
        build_tiny_llama(catalog.path(name))
        catalog.save_card(Card(name=name, kind="base", created="2026-01-01T00:00:00+00:00"))
    return catalog


def judgements(tmp_path: Path, *records: Any, kinds: tuple[Kind, ...] = (Kind.HUMAN,)) -> Judgements:
    return read_judgements(written(tmp_path / "judgements.jsonl", records), kinds=kinds)


def trained(catalog: Catalog, given: Judgements, run: Path) -> tuple[FeedbackStarted, RewardFinished]:
    started, finished = train_linear_reward(CONFIG, catalog=catalog, judgements=given, run=RunFolder(run))
    assert isinstance(started, FeedbackStarted) and isinstance(finished, RewardFinished)
    return started, finished


def sample(text: str, turn: str = "7 plan") -> ReplySample:
    return ReplySample(prompt_ids=(), reply_ids=(), text=text, prompt_turns=(Turn("Bob", turn),), speaker="Anna")


def drawn(seed: int, *, count: int = 90, signal: float = 1.0) -> tuple[dict[str, Any], Comparisons]:
    """Features of two blocks, of which the first alone matters, and comparisons with ties; five of a conversation."""
    rng = np.random.default_rng(seed)
    blocks = {"good": rng.normal(size=(2 * count, 4)), "noise": rng.normal(size=(2 * count, 30))}
    places = np.arange(2 * count)
    gaps = signal * 4 * (blocks["good"][:count, 0] - blocks["good"][count:, 0])
    shares = (rng.random(count) < 1 / (1 + np.exp(-gaps))).astype(float)
    shares[::9] = 0.5
    comparisons = Comparisons(
        first_C=places[:count],
        second_C=places[count:],
        shares_C=shares,
        weights_C=np.where(np.arange(count) % 2, 1.0, 0.5),
        groups_C=np.arange(count) // 5,
    )
    return blocks, comparisons


def fitted(seed: int, **options: Any) -> tuple[dict[str, Any], Comparisons, PreferenceFit]:
    blocks, comparisons = drawn(seed, **options)
    return blocks, comparisons, fit_preferences(blocks, comparisons, members=4, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_the_one_that_scikit_learn_finds(seed: int) -> None:
    blocks, comparisons = drawn(seed)
    differences = comparisons.differences(side_by_side(blocks, ("good", "noise")))
    dual = fit_dual(differences @ differences.T, comparisons, 10.0)
    shares, weights = comparisons.shares_C, comparisons.weights_C
    theirs = LogisticRegression(C=10.0, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(
        np.vstack([differences, differences]),
        np.repeat([1, 0], len(comparisons)),
        sample_weight=np.concatenate([weights * shares, weights * (1 - shares)]),
    )
    assert differences.T @ dual == pytest.approx(theirs.coef_[0], abs=1e-4)


def test_what_matters_is_chosen_and_what_was_not_seen_is_told_honestly() -> None:
    right = []
    for seed in range(4):
        _, comparisons, fit = fitted(seed)
        assert "good" in fit.choice.blocks
        sided = comparisons.shares_C != 0.5
        right += list(np.sign(fit.unseen_C[sided]) == np.sign(comparisons.shares_C[sided] - 0.5))
        assert fit.weights_MF.shape[0] == 4 and fit.weights_MF.std(axis=0).max() > 0
    assert np.mean(right) > 0.75
    # Where there is nothing to know, nothing is claimed: a fit that had seen what it is measured on would be right.
    blind = [fitted(seed, signal=0.0) for seed in range(8)]
    chance = [
        np.sign(fit.unseen_C[comparisons.shares_C != 0.5])
        == np.sign(comparisons.shares_C[comparisons.shares_C != 0.5] - 0.5)
        for _, comparisons, fit in blind
    ]
    assert 0.4 < np.mean(np.concatenate(chance)) < 0.6


def test_a_conversation_is_never_on_both_sides() -> None:
    """Comparisons of one conversation are all alike here, and the features tell conversations apart, nothing else."""
    count = 60
    conversation = np.arange(count) // 6
    features = np.eye(10)[conversation]
    blocks = {"conversation": np.vstack([features, np.zeros((count, 10))])}
    comparisons = Comparisons(
        first_C=np.arange(count),
        second_C=np.arange(count, 2 * count),
        shares_C=(conversation % 2).astype(float),
        weights_C=np.ones(count),
        groups_C=conversation,
    )
    fit = fit_preferences(blocks, comparisons, members=2)
    assert np.abs(fit.unseen_C).max() < 1e-6


def test_a_planted_liking_is_learned_from_few_judgements(catalog: Catalog, tmp_path: Path) -> None:
    ties = [
        comparison(900 + n, sentence(random.Random(n)), sentence(random.Random(n + 50)), Choice.TIE) for n in range(9)
    ]
    given = judgements(tmp_path, *laughing(50), *ties)
    started, finished = trained(catalog, given, tmp_path / "run")
    assert (started.pairs, started.judgements, started.left_out) == (50, 50, {})
    report, card = finished.report, catalog.card("liking")
    assert report.accuracy.share is not None and report.accuracy.share > 0.9 and report.accuracy.n == 50
    assert report.likes[0].feature == "laughter"
    assert (card.kind, card.method, card.parents) == ("reward", "linear", ("tiny",))
    assert card.settings["learned_from"] == {
        "judgements": given.digest,
        "judges": 1,
        "pairs": 50,
        "ratings": 0,
        "ties": 9,
    }
    assert (card.scores["accuracy"], card.scores["heldout_pairs"]) == (
        pytest.approx(report.accuracy.share, abs=1e-4),
        50,
    )
    assert RunFolder(tmp_path / "run").description()["state"] == "finished"
    # On disk it is the same, whatever base it stands on; and a reply has the same score in any company.
    plain_roles = Roles.open(catalog.path("tiny"), catalog=catalog, device="cpu", dtype="float32")
    model = open_reward("liking", catalog=catalog, roles=plain_roles)
    assert isinstance(model, LinearReward) and isinstance(model, Reward) and isinstance(model, Ensemble)
    alone = LinearReward.load(catalog, "liking", device="cpu", dtype="float32")
    replies = [sample("see you haha"), sample("see you there"), sample("at eight", turn="9 cinema tonight")]
    assert model.score(replies) == pytest.approx(alone.score(replies), abs=1e-5)
    assert model.score(replies)[0] > model.score(replies)[1] + 1
    assert [alone.score([one])[0] for one in replies] == pytest.approx(alone.score(replies), abs=1e-4)
    assert all(score.spread > 0 for score in alone.scores(replies))
    # Most is to be learned of a pair in which something differs that was found to matter.
    laughs, alike = alone.disagreements([(replies[0], replies[1]), (sample("fine thanks"), sample("thanks fine"))])
    assert 0 <= alike < laughs < 1


def test_ratings_corrections_flags_and_soft_labels_become_comparisons(tmp_path: Path) -> None:
    records = [
        comparison(1, "yes", "no", Choice.A),
        comparison(2, "oh", "ah", Choice.BOTH_BAD),
        comparison(3, "same", "same", Choice.TIE),
        correction(4, "said", "meant"),
        flag(5, "awful"),
        soft(6, "wise", "unwise", 0.8),
        *ratings(6, lambda laughs: 5 if laughs else 2, first=20),
    ]
    given = judgements(tmp_path, *records, kinds=(Kind.HUMAN, Kind.AI))
    compared = compare_replies(gather(given), seed=0)
    comparisons = compared.comparisons
    told = {
        (compared.samples[one].text, compared.samples[other].text): (round(float(share), 2), float(weight))
        for one, other, share, weight in zip(
            comparisons.first_C, comparisons.second_C, comparisons.shares_C, comparisons.weights_C, strict=True
        )
    }
    assert told["yes", "no"] == told["meant", "said"] == (1.0, 1.0)
    assert told["wise", "unwise"] == (0.8, 1.0)
    assert told["oh", "ah"] == (0.5, 1.0)
    assert ("same", "same") not in told
    assert int(compared.preferred_C.sum()) == 3
    rated = [(one, other) for (one, other), (_, weight) in told.items() if weight < 1 or "awful" in (one, other)]
    assert {other for _, other in rated} >= {"awful"}  # a flag is the worst rating
    assert all("haha" in one or other in ("awful", "oh", "ah") for one, other in rated)


def test_what_cannot_be_learned_from_or_read_is_a_sentence(catalog: Catalog, tmp_path: Path) -> None:
    ties = judgements(tmp_path, *(comparison(n, f"a{n}", f"b{n}", Choice.TIE) for n in range(5)))
    with pytest.raises(UserError, match="ties"):
        list(train_linear_reward(CONFIG, catalog=catalog, judgements=ties, run=RunFolder(tmp_path / "none")))
    with pytest.raises(UserError, match="ties"):
        fit_judgements(CONFIG, catalog=catalog, judgements=ties)
    assert not catalog.exists("liking")
    given = judgements(tmp_path, *laughing(20))
    trained(catalog, given, tmp_path / "run")
    with pytest.raises(UserError, match="There is a model 'liking' already"):
        list(train_linear_reward(CONFIG, catalog=catalog, judgements=given, run=RunFolder(tmp_path / "again")))
    weights = catalog.path("liking") / WEIGHTS_FILE
    weights.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="cannot be read"):
        LinearReward.load(catalog, "liking")
    catalog.path("tiny").rename(catalog.path("gone"))
    with pytest.raises(UserError, match="stands on 'tiny', which is gone"):
        LinearReward.load(catalog, "liking")


def test_of_several_replies_those_that_differ_most_are_asked_about() -> None:
    groups = [
        ["ok", "ok.", "what do you mean by that, are you coming?", "oh"],
        ["yes", "yes"],
        [],
        ["no", "never ever", "no"],
    ]
    found = different_pairs(groups)
    assert len(found[0]) == 2 and 2 in found[0][0][:2]
    assert sorted(place for pair in found[0] for place in pair[:2]) == [0, 1, 2, 3], "each reply in one pair"
    assert found[0][0][2] > found[0][1][2], "the most different first"
    assert found[1] == [] and found[2] == []
    assert len(found[3]) == 1 and 1 in found[3][0][:2], "two equal ones are no pair"


def test_a_word_counts_by_the_share_of_messages_it_stands_in() -> None:
    """Else a reward grows with every further message, and training writes as many as fit."""
    vocabulary = ("you", "plan")
    one, twice, half, empty = message_word_features(["you", "you\nyou\n", "you\nplan", "\n"], vocabulary)
    assert one.tolist() == twice.tolist() == word_features(["you"], vocabulary)[0].tolist()
    assert half.tolist() == pytest.approx([one[0] / 2, one[0] / 2])
    assert empty.tolist() == [0.0, 0.0]
    assert message_word_features([], vocabulary).shape == (0, 2)


def test_a_model_of_an_earlier_version_still_scores(catalog: Catalog, tmp_path: Path) -> None:
    """It read each reply as one text; its features have another name since."""
    trained(catalog, judgements(tmp_path, *laughing(20)), tmp_path / "run")
    folder, replies = catalog.path("liking"), [sample("haha ok"), sample("haha\nok\nok")]
    now = LinearReward.load(catalog, "liking").score(replies)
    form, tensors = read_json(folder / FORM_FILE), load_file(folder / WEIGHTS_FILE)
    renamed = {name.replace(".message words", ".words"): table for name, table in tensors.items()}
    save_file(renamed, folder / WEIGHTS_FILE)
    write_json(folder / FORM_FILE, {**form, "blocks": [name.replace("message ", "") for name in form["blocks"]]})
    earlier = LinearReward.load(catalog, "liking").score(replies)
    assert earlier[0] == pytest.approx(now[0]) and earlier[1] > now[1] + 0.1
