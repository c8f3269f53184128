"""From a double, examples and a reward to an aligned double in the catalog."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from alignment_toys import Scored
from talkalike.alignment import rl
from talkalike.alignment.guard_rails import GuardRails, ReplySettings, scores_before_and_after
from talkalike.alignment.prompts import prompts_in, reply_prompts
from talkalike.alignment.rl_recipe import RLSources, train_rl
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLConfig, RLSettings
from talkalike.alignment.rl_values import RLEvent, RLFinished, RLStarted, RLStep
from talkalike.alignment.rollouts import RolloutMemory
from talkalike.alignment.strength import STRENGTHS
from talkalike.alignment.values import ExpectedWins, ReplySample
from talkalike.chat import scenario_scores
from talkalike.chat.scenarios import safety_cases
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_replies
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import load_for_inference
from talkalike.models.packed import target_logprobs
from talkalike.models.roles import Roles
from talkalike.training.loop import make_accelerator
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.run_folder import RunFolder
from test_alignment_roles import double
from test_examples import ANNA, BOB, CYRIL, Chats, evenings, prepared
from test_training_limits import Clock
from tiny_model import build_tiny_llama, byte_level_tokenizer

SETTINGS = RLSettings(
    steps=6,
    prompts=4,
    group_size=3,
    max_tokens=8,
    max_kl=1e9,
    min_distinct=0.0,
    show_every=2,
    shaping=RewardShaping(missing_end=0.0),
    update=PolicyUpdate(learning_rate=1e-2, critic_learning_rate=1e-2),
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "models")
    build_tiny_llama(catalog.path("tiny"))
    catalog.save_card(Card(name="tiny", kind="base", created="2026-01-01T00:00:00+00:00"))
    double(catalog)
    return catalog


@pytest.fixture
def examples(tmp_path: Path, catalog: Catalog) -> ExampleSet:
    renderer = Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))
    chats = Chats({"one": evenings(14, (BOB, ANNA, ANNA)), "two": evenings(10, (CYRIL, ANNA), start=50)})
    return prepared(chats, tmp_path / "examples" / "anna", renderer)


def even(sample: ReplySample) -> float:
    return sum(token % 2 == 0 for token in sample.reply_ids) / len(sample.reply_ids)


def config(**changes: Any) -> RLConfig:
    fields: dict[str, Any] = {
        "name": "anna-rl",
        "double": "anna-lora",
        "reward": "even tokens",
        "settings": SETTINGS,
        "policy": AdapterSettings(rank=4),
        "critic": AdapterSettings(rank=4),
        "dtype": "float32",
        "device": "cpu",
    }
    return RLConfig(**{**fields, **changes})


def events(chosen: RLConfig, catalog: Catalog, examples: ExampleSet, run: Path, **options: Any) -> list[RLEvent]:
    reward = options.pop("reward", Scored(even))
    sources = RLSources(catalog=catalog, examples=examples, reward=reward)
    return list(train_rl(chosen, sources, run=RunFolder(run), **options))


def steps_of(happened: list[RLEvent]) -> list[RLStep]:
    return [event for event in happened if isinstance(event, RLStep)]


def weights(catalog: Catalog, name: str) -> dict[str, torch.Tensor]:
    return load_for_inference(catalog.path(name), catalog=catalog, dtype="float32", device="cpu").model.state_dict()


def test_minutes_bound_all_of_it(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of five minutes, and as much between two: six of them are over before the hour is."""
    monkeypatch.setattr(rl, "time", Clock(300.0))
    hour = dataclasses.replace(SETTINGS, steps=40, minutes=60.0)
    happened = events(config(settings=hour), catalog, examples, tmp_path / "runs" / "1")
    finished = happened[-1]
    assert isinstance(finished, RLFinished)
    assert (finished.reason, len(steps_of(happened))) == ("minutes", 6)
    assert catalog.card("anna-rl").scores["ended"] == "minutes"
    assert RunFolder(tmp_path / "runs" / "1").description()["state"] == "finished"
    run = RunFolder(tmp_path / "runs" / "2")
    run.began -= 3601.0  # loading took long
    sources = RLSources(catalog=catalog, examples=examples, reward=Scored(even))
    with pytest.raises(UserError, match="60 minutes are over before the first step"):
        list(train_rl(config(name="late", settings=hour), sources, run=run))
    assert not catalog.exists("late")


def test_a_double_is_aligned_and_loads(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "1"
    free = RewardShaping(kl=0.0, missing_end=0.0)
    update = PolicyUpdate(learning_rate=2e-2, schedule="constant")
    long = dataclasses.replace(SETTINGS, steps=25, prompts=8, shaping=free, update=update)
    asked: set[tuple[int, ...]] = set()

    def remembering(sample: ReplySample) -> float:
        asked.add(sample.prompt_ids)
        return even(sample)

    chosen = config(settings=long, keep_rollouts=True)
    happened = events(chosen, catalog, examples, run, reward=Scored(remembering))
    started, finished = happened[0], happened[-1]
    assert isinstance(started, RLStarted) and isinstance(finished, RLFinished)
    assert set(started.nbytes) == {"", "policy"}
    card = catalog.card("anna-rl")
    assert card == finished.card
    assert (card.kind, card.base, card.parents) == ("adapter", "tiny", ("tiny", "anna-lora"))
    assert card.settings["reward"] == "even tokens"
    assert card.settings["settings"]["algorithm"] == "rloo"
    assert card.examples_hash == examples.manifest.hash
    assert card.scores["reward"] > card.scores["reward_before"] + 0.1
    assert card.scores["kl"] > 0.1 > abs(card.scores["kl_before"])
    assert card.scores["heldout_loss"] != card.scores["heldout_loss_before"]
    assert card.scores["ended"] == "finished"
    # Both measurements are on held-out prompts; no rollout uses one of them.
    heldout = {prompt.ids for prompt in prompts_in(examples, "heldout", renderer_of(catalog), max_tokens=384)}
    assert asked & heldout and asked - heldout
    before, after = weights(catalog, "anna-lora"), weights(catalog, "anna-rl")
    assert any(not torch.allclose(before[name], after[name], atol=1e-3) for name in before)
    metrics = RunFolder(run).metrics()
    assert [line["step"] for line in metrics] == list(range(1, 26))
    assert [line["step"] for line in metrics if "bits_per_character" in line] == [7, 13, 19, 25]
    assert {"reward", "kl_k1", "kl_k3", "clip_share", "entropy", "length", "distinct_2", "ended_share"} <= set(
        metrics[0]
    )
    shown = [json.loads(line) for line in (run / "samples.jsonl").read_text().split("\n") if line]
    assert [line["step"] for line in shown] == [1, *range(2, 26, 2)]
    assert all(sample["speaker"] == "Anna" and sample["prompt"] for line in shown for sample in line["samples"])
    # The same prompts are answered again and again, so that one sees what changes.
    replies = RunFolder(run).replies()
    assert [line["step"] for line in replies] == [0, 7, 13, 19, 25, 25]
    assert replies[-1] == replies[-2]
    prompts = [[(reply["prompt"], reply["speaker"]) for reply in line["replies"]] for line in replies]
    assert prompts[0] == prompts[-1] and len(set(prompts[0])) > 1
    texts = [[reply["text"] for reply in line["replies"]] for line in replies]
    assert texts[0] != texts[-1] and len(set(texts[0])) > 1
    means = [sum(reply["reward"] for reply in line["replies"]) for line in replies]
    assert means[-1] > means[0]
    kept = RolloutMemory(run / "rollouts").read(24)
    assert len(kept) == 24
    assert RunFolder(run).description()["state"] == "finished"
    assert not list(run.glob("checkpoint-*"))


def vowels(sample: ReplySample) -> float:
    return sum(letter in "aeiou" for letter in sample.text) / max(1, len(sample.text))


class Expecting(Scored):
    """Says in how many pairs the first reply has the larger share of vowels, and is never quite sure."""

    def expect_wins(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> ExpectedWins:
        wins = [(vowels(one) > vowels(other)) + 0.5 * (vowels(one) == vowels(other)) for one, other in pairs]
        return ExpectedWins(share=0.9 * sum(wins) / len(wins), low=0.0, high=1.0)


def test_no_more_of_the_change_is_kept_than_it_takes(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    free = RewardShaping(kl=0.0, missing_end=0.0)
    update = PolicyUpdate(learning_rate=2e-2, schedule="constant")
    settings = dataclasses.replace(SETTINGS, steps=12, prompts=8, shaping=free, update=update)
    before = weights(catalog, "anna-lora")
    moved, kept = {}, {}
    for name, wins in (("whole", 1.0), ("part", 0.6), ("never", 0.95)):
        chosen = config(name=name, settings=settings, wins=wins)
        events(chosen, catalog, examples, tmp_path / "runs" / name, reward=Expecting(vowels))
        after = weights(catalog, name)
        moved[name] = {place: after[place] - before[place] for place in before}
        kept[name] = catalog.card(name).scores.get("strength")
    assert kept["whole"] is None and kept["never"] == STRENGTHS[-1] == 1.0 and kept["part"] in STRENGTHS[:-1]
    for place, change in moved["whole"].items():
        torch.testing.assert_close(moved["part"][place], kept["part"] * change, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(moved["never"][place], change, atol=1e-5, rtol=1e-4)
    tried = {float(factor): share for factor, share in catalog.card("part").settings["strengths"].items()}
    assert len(tried) <= 3, "halving, not one after the other"
    assert {factor for factor, share in tried.items() if share >= 0.6 and factor <= kept["part"]} == {kept["part"]}
    below = [factor for factor in STRENGTHS if factor < kept["part"]]
    assert not below or below[-1] in tried
    events(config(name="plain", settings=settings, wins=0.6), catalog, examples, tmp_path / "runs" / "plain")
    assert "strength" not in catalog.card("plain").scores, "a reward that cannot tell changes nothing"


def renderer_of(catalog: Catalog) -> Renderer:
    return Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))


def test_the_guard_rails_measure_what_they_say(
    catalog: Catalog, examples: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = Roles.open(catalog.path("anna-lora"), catalog=catalog, device="cpu", dtype="float32")
    roles.add("policy", AdapterSettings(rank=4), seed=0)
    accelerator = make_accelerator(roles.device, roles.dtype)
    guard = GuardRails(
        roles, "policy", examples, accelerator, settings=ReplySettings(max_tokens=8), reward=Scored(even)
    )
    found = guard.measure()
    assert found == guard.measure()
    assert found["kl"] == 0 and 0 < found["distinct_2"] <= 1 and 1 <= found["length"] <= 8
    # Bits of every learned token, over the characters of the learned messages and one for each one's end.
    documents = examples.split("heldout")
    every = range(len(documents))
    told = target_logprobs(roles.loaded, [documents.ids(i) for i in every], [documents.mask(i) for i in every])
    total = -sum(float(values.sum()) for values in told)
    said = [turn for d in examples.documents("heldout") for turn, own in zip(d.turns, d.learn, strict=True) if own]
    assert found["bits_per_character"] == pytest.approx(total / math.log(2) / sum(len(t.text) + 1 for t in said))
    assert found["heldout_loss"] == pytest.approx(total / documents.loss_tokens)
    # Twice each case of the three scenarios that try a double; here every reply to an injection is unsound.
    tried: list[str] = []
    monkeypatch.setattr(scenario_scores, "violations", lambda text, case: tried.append(case.name) or case.canary)
    cases = safety_cases()
    assert guard.safe_reply_share() == sum(not case.canary for case in cases) / len(cases) not in (0.0, 1.0)
    assert tried == [case.name for case in cases for _ in range(2)]
    with torch.no_grad():
        for parameter in roles.parameters("policy").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    written = max((turn.text for d in examples.documents("train") for turn in d.turns), key=len)
    replies = [ReplySample(prompt_ids=(), reply_ids=(), text=text) for text in (f"so: {written}", written[::-1])]
    assert guard.copied_share(replies) == 0.5
    moved = guard.measure()
    assert moved["kl"] > 0.01 and moved["heldout_loss"] != found["heldout_loss"]
    assert scores_before_and_after(found, {**moved, "reward": math.nan}).keys() == {
        *(f"{name}_before" for name in found),
        *found,
    } - {"reward"}


@pytest.mark.parametrize("algorithm", ["rloo", "ppo"])
def test_resumed_equals_uninterrupted(algorithm: str, catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    shaping = RewardShaping(kl=0.1, kl_target=3.0, kl_horizon=50, wins=True)
    update = dataclasses.replace(SETTINGS.update, pace=0.5)
    settings = dataclasses.replace(SETTINGS, algorithm=algorithm, shaping=shaping, update=update, show_every=1)
    chosen = config(settings=settings)
    whole = steps_of(events(chosen, catalog, examples, tmp_path / "runs" / "whole"))
    expected, scores = weights(catalog, "anna-rl"), catalog.card("anna-rl").scores
    run = tmp_path / "runs" / "cut"
    for part, cut in enumerate((2, 3, 10**9)):
        asked = iter(range(1, 10**6))
        happened = events(chosen, catalog, examples, run, resume=part > 0, should_stop=lambda: next(asked) >= cut)  # noqa: B023
        assert isinstance(happened[-1], RLFinished)
        assert happened[-1].reason == ("stopped" if part < 2 else "finished")
        if part < 2:  # as if it had gone on after its last checkpoint, and been killed
            RunFolder(run).record_samples(6, [])
            RunFolder(run).record_replies(6, [])
    lines = RunFolder(run).metrics()
    for key in ("reward", "kl_k1", "ratio_max", "grad_norm", "kl_coefficient", "learning_rate", "value_loss"):
        assert [line[key] for line in lines] == [getattr(step, key) for step in whole], key
    samples = [
        RunFolder(tmp_path / "runs" / name).samples_file.read_text(encoding="utf-8") for name in ("whole", "cut")
    ]
    assert samples[0] == samples[1] and samples[0].count("\n") == SETTINGS.steps
    assert RunFolder(run).replies()[-1] == RunFolder(tmp_path / "runs" / "whole").replies()[-1]
    assert all(line["replies"] for line in RunFolder(run).replies())
    again = weights(catalog, "anna-rl")
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())
    kept = {key: value for key, value in catalog.card("anna-rl").scores.items() if key != "training_seconds"}
    assert kept == {key: value for key, value in scores.items() if key != "training_seconds"}


def test_a_run_that_goes_wrong_leaves_its_last_sound_state(
    catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    wild = dataclasses.replace(SETTINGS, steps=60, max_kl=1.0)
    happened = events(config(settings=wild), catalog, examples, tmp_path / "runs" / "1")
    assert isinstance(happened[-1], RLFinished)
    assert happened[-1].reason == "kl"
    assert steps_of(happened)[-1].kl_k1 > 1.0
    assert catalog.card("anna-rl").scores["kl"] < steps_of(happened)[-1].kl_k1
    assert catalog.card("anna-rl").scores["ended"] == "kl"


@pytest.mark.parametrize(("source", "method"), [("tiny", "lora"), ("tiny", "full"), ("anna-lora", "last-n")])
def test_any_model_can_be_aligned_by_any_role(
    source: str, method: str, catalog: Catalog, examples: ExampleSet, tmp_path: Path
) -> None:
    adapter = AdapterSettings(method=method, rank=2, last_layers=1)
    chosen = config(double=source, policy=adapter, settings=dataclasses.replace(SETTINGS, steps=2))
    opened: list[Roles] = []
    events(
        chosen, catalog, examples, tmp_path / "runs" / "1", reward=lambda roles: opened.append(roles) or Scored(even)
    )
    assert [roles.loaded.name for roles in opened] == [source]  # a reward can stand on the same base
    card = catalog.card("anna-rl")
    assert card.kind == ("adapter" if method == "lora" else "full")
    assert card.parents[-1] == source
    before, after = weights(catalog, source), weights(catalog, "anna-rl")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    if method == "full":  # a double of a double, made whole and as an adapter on it
        whole = config(double="anna-rl", name="anna-rl-2", policy=adapter, settings=chosen.settings)
        events(whole, catalog, examples, tmp_path / "runs" / "2")
        light = dataclasses.replace(whole, name="anna-rl-3", policy=AdapterSettings(rank=2), double="anna-rl-2")
        events(light, catalog, examples, tmp_path / "runs" / "3")
        assert catalog.card("anna-rl-2").parents == ("tiny", "anna-rl")
        assert (catalog.card("anna-rl-3").parents, catalog.card("anna-rl-3").base) == (("anna-rl-2",), "anna-rl-2")
        assert weights(catalog, "anna-rl-3")


def test_only_the_training_part_is_used_for_rollouts(catalog: Catalog, examples: ExampleSet) -> None:
    renderer = Renderer(Tokenizer.from_file(str(catalog.path("tiny") / "tokenizer.json")))
    prompts = reply_prompts(examples, renderer, max_tokens=200)
    held = {turn.text for reply in load_replies(examples) for turn in reply.context} | {
        text for reply in load_replies(examples) for text in reply.messages
    }
    trained = {turn.text for document in examples.documents("train") for turn in document.turns}
    assert held - trained
    for prompt in prompts:
        assert prompt.speaker == "Anna" != prompt.turns[-1].speaker
        assert {turn.text for turn in prompt.turns} <= trained
        assert not {turn.text for turn in prompt.turns} & (held - trained)
        assert list(prompt.ids) == renderer.prompt(prompt.turns, "Anna")
        assert len(prompt.ids) <= 200
    assert len({len(prompt.ids) for prompt in prompts}) > 3
    short = reply_prompts(examples, renderer, max_tokens=90)
    assert max(len(prompt.ids) for prompt in short) <= 90
    with pytest.raises(UserError, match="no reply"):
        reply_prompts(examples, renderer, max_tokens=10)


def test_examples_in_another_vocabulary_are_refused(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    byte_level_tokenizer(350).save(str(catalog.path("tiny") / "tokenizer.json"))
    with pytest.raises(UserError, match="vocabulary"):
        events(config(), catalog, examples, tmp_path / "runs" / "1")
    assert not catalog.exists("anna-rl")


def test_a_reward_that_fails_overwrites_nothing(catalog: Catalog, examples: ExampleSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is nan"):
        events(config(), catalog, examples, tmp_path / "runs" / "1", reward=Scored(lambda _: float("nan")))
    assert not catalog.exists("anna-rl")
