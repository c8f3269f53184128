"""Reinforcement learning: it solves what can be solved, and nothing happens that should not."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alignment_toys import (
    OBJECTIVES,
    PLAIN,
    STOP,
    VOCABULARY,
    Scored,
    even_share,
    judged_steps,
    learner,
    mixed_prompts,
    settings,
    task,
    tiny_network,
    train_steps,
)
from talkalike.alignment.learner import CRITIC, POLICY, Learner, UpdateStatistics, entropy_sum
from talkalike.alignment.prompts import ReplyPrompt, prompts_of_step
from talkalike.alignment.rl import _plan, collect_rollouts, measure_batch
from talkalike.alignment.rl_settings import RewardShaping
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.models.adapter_settings import AdapterSettings

ALGORITHMS = ("rloo", "grpo", "dr-grpo", "raft", "ppo")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_bandit_is_solved(algorithm: str) -> None:
    """One draw decides; which arm pays depends on the prompt, of which the last token tells."""
    arms = {1: 10, 2: 20, 3: 30}
    prompts = [ReplyPrompt(ids=(*range(4, 4 + extra), arm)) for arm in arms for extra in range(2)]
    chosen = settings(
        algorithm=algorithm, steps=50, prompts=6, group_size=16, max_tokens=1, update={"learning_rate": 5e-3}
    )
    paid = task(lambda sample: float(sample.reply_ids[0] == arms[sample.prompt_ids[-1]]), prompts)
    steps = train_steps(learner(chosen), paid)
    assert steps[0].reward < 0.2
    assert np.mean([step.reward for step in steps[-5:]]) > 0.9


@pytest.fixture(scope="module")
def walker() -> tuple[Any, dict[int, list[int]]]:
    """A model that has seen random walks on a graph, and the graph."""
    rng = np.random.default_rng(0)
    edges = {node: sorted({(node + 1) % 12, *rng.choice(12, 3).tolist()} - {node}) for node in range(12)}
    network = tiny_network(layers=2, width=48)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for _ in range(120):
        walks = rng.integers(0, 12, (48, 1))
        for _ in range(8):
            walks = np.concatenate([walks, [[rng.choice(edges[node])] for node in walks[:, -1].tolist()]], axis=1)
        ids = torch.from_numpy(walks)
        network(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.state_dict(), edges


def shortest(edges: dict[int, list[int]], goal: int) -> dict[int, int]:
    """Steps to the goal from everywhere."""
    distance = {goal: 0}
    for length in range(1, len(edges) + 1):
        for node, following in edges.items():
            if node not in distance and any(distance.get(other) == length - 1 for other in following):
                distance[node] = length
    return distance


@pytest.mark.parametrize(
    ("algorithm", "method"), [("rloo", "lora"), ("grpo", "full"), ("ppo", "lora"), ("rloo", "last-n")]
)
def test_random_walks_find_their_goal(algorithm: str, method: str, walker: tuple[Any, dict[int, list[int]]]) -> None:
    """The walks of trlx: reach node 0 by edges that exist, in as few steps as possible; 1 is the shortest way."""
    state, edges = walker
    distance = shortest(edges, 0)

    def optimality(sample: ReplySample) -> float:
        node = sample.prompt_ids[-1]
        for count, following in enumerate(sample.reply_ids, start=1):
            if following not in edges.get(node, []):
                return 0.0
            if following == 0:
                return distance[sample.prompt_ids[-1]] / count
            node = following
        return 0.0

    network = tiny_network(layers=2, width=48)
    network.load_state_dict(state)
    chosen = settings(
        algorithm=algorithm,
        steps=40,
        prompts=11,
        group_size=8,
        max_tokens=7,
        update={"learning_rate": 4e-3, "critic_learning_rate": 4e-3, "epochs": 2, "minibatches": 1},
    )
    steps = train_steps(
        learner(chosen, network, method=method, rank=8, last_layers=1),
        task(optimality, [ReplyPrompt(ids=(node,)) for node in range(1, 12)]),
    )
    before, after = steps[0].reward, float(np.mean([step.reward for step in steps[-5:]]))
    assert before < 0.45
    assert after > before + 0.3


def test_a_reward_for_a_style_moves_the_style() -> None:
    """Even tokens please; the KL to the reference then grows, and a price on it holds the policy back."""
    moved = {}
    for kl in (0.0, 2.0):
        chosen = settings(
            steps=30, prompts=8, max_kl=1e9, shaping=dataclasses.replace(PLAIN, kl=kl), update={"minibatches": 1}
        )
        steps = train_steps(learner(chosen), task())
        moved[kl] = (np.mean([s.reward for s in steps[-5:]]), np.mean([s.kl_k1 for s in steps[-5:]]))
        assert abs(steps[0].kl_k1) < 1e-5 and abs(steps[0].kl_k3) < 1e-5
        assert steps[-1].entropy < steps[0].entropy
    assert moved[0.0][0] > 0.75
    assert moved[2.0][1] < 0.5 * moved[0.0][1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("method", ["full", "lora", "last-n"])
def test_the_ratio_is_exactly_one_before_the_first_update(algorithm: str, method: str) -> None:
    chosen = settings(algorithm=algorithm, steps=2, prompts=8, temperature=0.7, update={"epochs": 2})
    who = learner(chosen, method=method, rank=4, last_layers=1)
    steps = train_steps(who, task())
    assert [step.first_ratio_off for step in steps] == [0.0, 0.0]
    assert steps[0].ratio_min < 1 < steps[0].ratio_max  # later ones have moved
    rollouts, _, _ = collect_rollouts(who, task(), 5)
    assert len({len(r.prompt_ids) for r in rollouts}) > 4
    assert len({len(r.reply_ids) for r in rollouts}) > 1
    plan, _ = _plan(who, 5, rollouts)
    old, _, _ = who.measure([row for rows in plan for row in rows], size=len(rollouts) * 6)
    for row in (row for rows in plan for row in rows):
        now = who._logprobs(row, POLICY)[0]
        assert torch.equal(torch.exp(now - old[row.places_L]), torch.ones_like(now))
    # and what decoding said is the same distribution
    said = np.concatenate([np.pad(r.logprobs, (0, 6 - len(r.logprobs))) for r in rollouts])
    np.testing.assert_allclose(old.numpy(), said, atol=2e-5)


def slow_gradients(who: Learner, rollouts: list[Any], advantages: list[float]) -> dict[str, torch.Tensor]:
    """The policy gradient one reply at a time through transformers' own attention, without rows or rectangles."""
    tokens = sum(len(rollout.reply_ids) for rollout in rollouts)
    with who.roles.use(POLICY) as network:
        network.set_attn_implementation("eager")
        for rollout, advantage in zip(rollouts, advantages, strict=True):
            ids = torch.from_numpy(np.concatenate([rollout.prompt_ids, rollout.reply_ids])).long()
            logits = network(ids[None]).logits[0] / who.settings.temperature
            start = len(rollout.prompt_ids)
            logprobs = logits.log_softmax(-1)[torch.arange(start - 1, len(ids) - 1), ids[start:]]
            (-(advantage / tokens) * logprobs.sum()).backward()  # at ratio 1 the clipped loss has this gradient
    gradients = {name: p.grad.clone() for name, p in who.roles.parameters(POLICY).items() if p.grad is not None}
    who.optimizer.zero_grad()
    return gradients


@pytest.mark.parametrize("row_tokens", [16, 10_000])
def test_the_packed_update_has_the_gradient_of_separate_replies(row_tokens: int) -> None:
    chosen = settings(prompts=6, temperature=0.8, update={"minibatches": 1, "row_tokens": row_tokens})
    who = learner(chosen)
    rollouts, _, scores = collect_rollouts(who, task(), 0)
    values = np.asarray(scores).reshape(6, 4)
    raw = (values - values.mean(1, keepdims=True)) * 4 / 3
    expected = slow_gradients(who, rollouts, (raw / raw.std()).flatten().tolist())
    before = {name: p.detach().clone() for name, p in who.roles.parameters(POLICY).items()}
    caught: dict[str, torch.Tensor] = {}

    def catch(_statistics: UpdateStatistics) -> None:
        caught.update({name: p.grad.clone() for name, p in who.roles.parameters(POLICY).items() if p.grad is not None})

    who._step = catch  # type: ignore[method-assign]
    who.settings = dataclasses.replace(who.settings, steps=1)
    train_steps(who, task())
    assert caught.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(caught[name], gradient, atol=1e-5, rtol=1e-3)
    assert all(torch.equal(p, before[name]) for name, p in who.roles.parameters(POLICY).items())


def test_using_a_batch_once_needs_no_old_log_probabilities() -> None:
    """With one update for each batch the measured ones would only divide a number by itself."""
    once = settings(steps=5, update={"minibatches": 1})
    assert once.on_policy and not once.measures_kl
    measuring = dataclasses.replace(once, max_kl=1e9)
    quick, thorough = learner(once), learner(measuring)
    assert [s.reward for s in train_steps(quick, task())] == [s.reward for s in train_steps(thorough, task())]
    for name, parameter in quick.roles.parameters(POLICY).items():
        torch.testing.assert_close(parameter, thorough.roles.parameters(POLICY)[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "last-n"])
def test_the_base_is_frozen_and_each_role_learns_its_own(method: str) -> None:
    chosen = settings(algorithm="ppo", steps=3, max_kl=1e9, shaping=dataclasses.replace(PLAIN, kl=0.1))
    who = learner(chosen, method=method, rank=4, last_layers=1)
    checksum = who.roles.checksum()
    start = {role: [p.clone() for p in who.roles.parameters(role).values()] for role in (POLICY, CRITIC)}
    assert who.head is not None and not any(p.any() for p in who.head.parameters())  # starts at zero
    train_steps(who, task())
    assert who.roles.checksum() == checksum
    assert all(p.grad is None for p in who.roles.network.parameters())
    for role, tensors in start.items():
        assert any(not torch.equal(a, b) for a, b in zip(tensors, who.roles.parameters(role).values(), strict=True))
    assert who.head.weight.any()
    who.roles.add("idle", AdapterSettings(rank=2), seed=9)
    idle = [p.clone() for p in who.roles.parameters("idle").values()]
    train_steps(who, task())
    assert all(torch.equal(a, b) for a, b in zip(idle, who.roles.parameters("idle").values(), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"shaping": RewardShaping(kl=0.1, kl_target=2.0, kl_horizon=50)},
        {"shaping": RewardShaping(overlong=3, missing_end=0.5, normalise=True, clip=1.0)},
        {"shaping": RewardShaping(kl_target=1.0, wins=True), "update": {"pace": 0.5}},
        {"temperature": 0.7, "update": {"epochs": 3, "minibatches": 3, "clip_high": 0.28, "max_grad_norm": 0.1}},
        {"update": {"gamma": 0.9, "gae_lambda": 0.5, "value_clip": 0.05, "schedule": "cosine", "warmup": 0.1}},
        {"max_kl": 50.0, "min_distinct": 0.01, "shown": 2, "show_every": 1, "group_size": 2, "max_tokens": 3},
    ],
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_option_runs(changes: dict[str, Any], algorithm: str) -> None:
    steps = train_steps(learner(settings(algorithm=algorithm, steps=2, **changes)), task())
    assert [step.index for step in steps] == [1, 2]
    for step in steps:
        numbers = [value for value in dataclasses.asdict(step).values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()


def test_an_adaptive_price_moves_towards_its_target() -> None:
    shaping = RewardShaping(kl=0.1, kl_target=5.0, kl_horizon=100, missing_end=0.0, normalise=False)
    steps = train_steps(learner(settings(steps=4, shaping=shaping)), task())
    prices = [step.kl_coefficient for step in steps]
    assert prices[0] == 0.1
    assert prices == sorted(prices, reverse=True) and prices[-1] < prices[0]  # the KL is far below 5


def test_it_stops_when_the_kl_is_too_high_and_goes_back_to_the_last_sound_state() -> None:
    chosen = settings(steps=200, prompts=8, max_kl=0.5, update={"learning_rate": 1e-2, "minibatches": 1})
    who = learner(chosen)
    steps = train_steps(who, task())
    assert steps[-1].stop == "kl" and len(steps) < 200
    assert steps[-1].kl_k1 > 0.5 >= max(step.kl_k1 for step in steps[:-1])
    now = {name: p.detach().clone() for name, p in who.trainable.parameters.items()}
    who.restore_safe_state()
    assert any(not torch.equal(p, now[name]) for name, p in who.trainable.parameters.items())
    rollouts, _, scores = collect_rollouts(who, task(), len(steps) - 2)
    batch, _, _ = measure_batch(who, _plan(who, len(steps) - 2, rollouts)[0], rollouts, scores)
    assert float(batch.k1_NT.sum() / len(scores)) == pytest.approx(steps[-2].kl_k1, abs=1e-4)


def test_it_stops_when_everything_sounds_the_same() -> None:
    """A reward that one repeated token pleases most."""
    chosen = settings(steps=200, prompts=8, max_tokens=8, min_distinct=0.5, update={"learning_rate": 2e-2})
    steps = train_steps(learner(chosen), task(lambda sample: sample.reply_ids.count(12) / 8))
    assert steps[-1].stop == "collapse"
    assert steps[-1].distinct_2 < 0.5 * steps[0].distinct_2
    assert steps[-1].shown


def test_replies_learn_to_end() -> None:
    """Nothing but the price of a missing end, paid by half of the first replies at least."""
    shaping = dataclasses.replace(PLAIN, missing_end=1.0)
    chosen = settings(steps=40, prompts=8, shaping=shaping, update={"learning_rate": 1e-2, "minibatches": 1})
    steps = train_steps(learner(chosen), task(lambda _sample: 0.0))
    assert steps[0].ended_share < 0.5
    assert steps[-1].ended_share > 0.9


def test_a_price_on_length_makes_replies_shorter() -> None:
    shaping = dataclasses.replace(PLAIN, overlong=12)
    chosen = settings(steps=40, prompts=8, max_tokens=12, shaping=shaping, update={"learning_rate": 1e-2})
    steps = train_steps(learner(chosen), task(lambda _sample: 0.0))
    assert np.mean([s.length for s in steps[-5:]]) < 0.6 * steps[0].length


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_told_with_the_reply(value: float) -> None:
    with pytest.raises(UserError, match="reward of the reply"):
        train_steps(learner(settings()), task(lambda sample: value if 3 in sample.reply_ids else 0.0))


def test_a_reward_that_forgets_a_reply_is_told() -> None:
    class Short:
        def score(self, samples: Any) -> list[float]:
            return [0.0] * (len(samples) - 1)

    with pytest.raises(UserError, match="15 numbers for 16"):
        train_steps(learner(settings()), dataclasses.replace(task(), reward=Short()))


def test_samples_carry_what_a_reward_needs() -> None:
    seen: list[ReplySample] = []
    train_steps(learner(settings(steps=1)), task(lambda sample: float(seen.append(sample) or 0.0)))
    assert len(seen) == 16
    for sample in seen:
        assert sample.speaker == "Anna"
        words = [int(word) for word in sample.text.split()]
        assert words == [token for token in sample.reply_ids if token != STOP]
    assert any(STOP in sample.reply_ids for sample in seen)
    assert len({sample.prompt_ids for sample in seen}) == 4


def test_entropy_is_positive_and_that_of_the_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(37, VOCABULARY) * 2
    expected = torch.distributions.Categorical(logits=logits).entropy().sum()
    assert entropy_sum(logits) == pytest.approx(float(expected), rel=1e-5)


def test_every_prompt_comes_once_before_any_comes_again() -> None:
    chosen = [index for step in range(7) for index in prompts_of_step(14, step, prompts=4, seed=0)]
    assert sorted(chosen[:14]) == sorted(chosen[14:]) == list(range(14))
    assert chosen[:14] != chosen[14:]


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    from distributed_rl import CHOSEN

    one = train_steps(learner(CHOSEN, method="lora", rank=4), task())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
    command = [*launcher, str(Path(__file__).with_name("distributed_rl.py")), str(tmp_path / "steps.json")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    both = json.loads((tmp_path / "steps.json").read_text())
    for key in (
        "reward",
        "kl_k1",
        "ratio_mean",
        "ratio_max",
        "clip_share",
        "entropy",
        "length",
        "distinct_2",
        "grad_norm",
    ):
        assert [step[key] for step in both] == pytest.approx([getattr(step, key) for step in one], abs=5e-4), key
    judged = json.loads((tmp_path / "judged.json").read_text())
    for kind in OBJECTIVES:  # what is learned from judgements
        alone = judged_steps(kind, tmp_path / "cache")
        assert len(alone) == len(judged[kind]) == 4
        for key in ("loss", "accuracy", "margin", "judgements", "tokens", "grad_norm"):
            found = [step[key] for step in judged[kind]]
            assert found == pytest.approx([step[key] for step in alone], abs=5e-4), (kind, key)
    with pytest.raises(UserError, match="multiple"):
        uneven = learner(settings(prompts=3, update={"minibatches": 1}))
        uneven.accelerator = type("Two", (), {"num_processes": 2, "process_index": 0})()  # type: ignore[assignment]
        train_steps(uneven, task())


def test_prompts_are_mixed_in_length() -> None:
    assert len({len(prompt.ids) for prompt in mixed_prompts()}) > 8
    assert isinstance(Scored(even_share).score([]), list)
