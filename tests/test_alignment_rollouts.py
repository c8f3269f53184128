"""Drawn replies: the right distribution, whatever they are batched with."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from talkalike.alignment import rollouts as rollouts_module
from talkalike.alignment.prompts import ReplyPrompt
from talkalike.alignment.rollouts import (
    Rollout,
    RolloutMemory,
    RolloutSampling,
    draw_numbers,
    reply_samples,
    sample_replies,
    split_messages,
)
from talkalike.alignment.shared_prefix import SharedPrefix
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.load import LoadedModel
from talkalike.models.roles import Roles

torch.set_num_threads(1)
VOCABULARY = 40
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,
    "pad_token_id": 0,
}
STOP = 7
STOPS = {"llama": 7, "mistral": 7, "gemma2": 13}  # tokens that these random models do draw
PROMPTS = [[1, 2, 3], [4, 5, 6, 8, 9, 10, 11, 12, 13], [14], [15, 16, 17, 18]]
SAMPLING = RolloutSampling(stop_id=STOP, temperature=0.8, max_tokens=12)


def roles_on(kind: str, dtype: torch.dtype = torch.float32) -> Roles:
    torch.manual_seed(0)
    network: Any
    if kind == "mistral":  # a window shorter than prompt and reply
        network = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=5, head_dim=8))
    elif kind == "gemma2":  # soft-capped scores, windows in every other layer
        network = Gemma2ForCausalLM(Gemma2Config(**SHAPE, sliding_window=5, head_dim=8, attn_logit_softcapping=2.0))
    else:
        network = LlamaForCausalLM(LlamaConfig(**SHAPE))
    network = network.to(dtype).eval()
    network.set_attn_implementation("eager")
    loaded = LoadedModel(name=kind, model=network, tokenizer=Tokenizer(models.BPE()), context_length=128)
    return Roles(loaded)


@pytest.fixture
def roles() -> Roles:
    return roles_on("llama")


def drawn(
    roles: Roles, prompts: list[list[int]], *, samples: int = 3, role: str | None = None, step: int = 0
) -> list[Rollout]:
    numbers = draw_numbers(0, step, range(len(prompts)), group_size=samples, length=SAMPLING.max_tokens)
    return sample_replies(roles, prompts, role=role, sampling=SAMPLING, random_NT=numbers)


def slow_logprobs(network: Any, prompt: list[int], reply: list[int], temperature: float) -> torch.Tensor:
    """One unpadded sequence through transformers' own attention."""
    with torch.no_grad():
        logits = network(torch.tensor([prompt + reply])).logits[0].float() / temperature
    places = torch.arange(len(prompt) - 1, len(prompt) + len(reply) - 1)
    return logits.log_softmax(-1)[places, torch.tensor(reply)]


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
@pytest.mark.parametrize("prompts", [PROMPTS, [PROMPTS[3], PROMPTS[3][::-1]]], ids=["mixed lengths", "one length"])
def test_log_probabilities_are_those_of_a_plain_forward_at_the_temperature(prompts: list[list[int]], kind: str) -> None:
    roles = roles_on(kind)
    sampling = dataclasses.replace(SAMPLING, stop_id=STOPS[kind])
    numbers = draw_numbers(0, 0, range(len(prompts)), group_size=16, length=SAMPLING.max_tokens)
    replies = sample_replies(roles, prompts, role=None, sampling=sampling, random_NT=numbers)
    if prompts is PROMPTS:  # some end early, so that holes are left
        assert len({len(rollout.reply_ids) for rollout in replies}) > 2
        assert any(rollout.ended for rollout in replies) and any(not rollout.ended for rollout in replies)
    for index, rollout in enumerate(replies):
        prompt = prompts[index // 16]
        assert rollout.prompt_ids.tolist() == prompt
        expected = slow_logprobs(roles.network, prompt, rollout.reply_ids.tolist(), SAMPLING.temperature)
        np.testing.assert_allclose(rollout.logprobs, expected.numpy(), atol=2e-5)


def slow_burst(
    network: Any, prompt: list[int], header: list[int], numbers: Any, sampling: RolloutSampling
) -> list[int]:
    """A whole burst, drawn token by token: after the marker the header's tokens have to come, or it was the last."""
    ids: list[int] = []
    closed = inside = 0  # inside: how many tokens after a marker we are
    for number in numbers[: sampling.max_tokens]:
        with torch.no_grad():
            shares = (network(torch.tensor([prompt + ids])).logits[0, -1].float() / sampling.temperature).softmax(-1)
        reached = shares.cumsum(0)
        token = int(torch.searchsorted(reached, torch.tensor(float(number)) * reached[-1], right=True))
        ids.append(token)
        if inside:
            if token != header[inside - 1]:
                return ids[:closed]
            inside = 0 if inside == len(header) else inside + 1
        elif token == sampling.stop_id:
            closed, inside = len(ids), 1
            if not header:
                return ids
    return ids[:closed] if inside else ids


def likely_headers(roles: Roles, singles: list[Rollout], sizes: list[int]) -> list[list[int]]:
    """For each prompt so many tokens that the model likes to write after the marker."""
    headers = []
    for index, size in enumerate(sizes):
        after: list[list[int]] = [
            [*PROMPTS[index], *rollout.reply_ids.tolist()]
            for rollout in singles[index * 40 : (index + 1) * 40]
            if rollout.ended
        ]
        header: list[int] = []
        for _ in range(size):
            with torch.no_grad():
                shares = [roles.network(torch.tensor([ids + header])).logits[0, -1].softmax(-1) for ids in after]
            header.append(int(torch.stack(shares).mean(dim=0).argmax()))
        headers.append(header)
    return headers


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [1, 2, 0, 1]], ids=["one token", "of their own"])
def test_whole_bursts_go_on_as_long_as_the_same_header_comes(sizes: list[int]) -> None:
    roles = roles_on("llama")
    sampling = dataclasses.replace(SAMPLING, max_tokens=16)
    numbers = draw_numbers(3, 0, range(4), group_size=40, length=16)
    single = sample_replies(roles, PROMPTS, role=None, sampling=sampling, random_NT=numbers)
    headers = likely_headers(roles, single, sizes)
    replies = sample_replies(roles, PROMPTS, role=None, sampling=sampling, random_NT=numbers, going_on=headers)
    counts = set()
    for row, (rollout, alone) in enumerate(zip(replies, single, strict=True)):
        prompt, header, ids = PROMPTS[row // 40], headers[row // 40], rollout.reply_ids.tolist()
        assert ids == slow_burst(roles.network, prompt, header, numbers[row], sampling)
        assert ids[: len(alone.reply_ids)] == alone.reply_ids.tolist(), "the first message is the same"
        assert rollout.ended == (ids[-1] == STOP)
        expected = slow_logprobs(roles.network, prompt, ids, SAMPLING.temperature)
        np.testing.assert_allclose(rollout.logprobs, expected.numpy(), atol=2e-5)
        messages = split_messages(ids, STOP, header)
        counts.add(len(messages))
        rebuilt = [token for message in messages for token in (*message, STOP, *header)]
        assert rebuilt[: len(ids)] == ids and all(STOP not in message for message in messages)
    assert max(counts) > 1 and any(not rollout.ended for rollout in replies)


def test_the_text_of_a_burst_has_a_line_for_each_message() -> None:
    prompt = ReplyPrompt(ids=(1,), going_on=(20, 21))
    ids = np.asarray([3, 4, STOP, 20, 21, 5, STOP], dtype=np.int32)
    whole = Rollout(prompt_ids=ids[:1], reply_ids=ids, logprobs=np.zeros(7, dtype=np.float32), ended=True)
    cut = dataclasses.replace(whole, reply_ids=ids[:6], ended=False)
    samples = reply_samples([prompt], [whole, cut], lambda tokens: "-".join(map(str, tokens)), stop_id=STOP)
    assert [sample.text for sample in samples] == ["3-4\n5", "3-4\n5"]
    assert samples[0].reply_ids == tuple(ids.tolist())


def test_a_role_draws_from_its_own_distribution(roles: Roles) -> None:
    roles.add("policy", AdapterSettings(rank=2))
    with torch.no_grad():
        for parameter in roles.parameters("policy").values():
            parameter += 0.2
    rollout = drawn(roles, PROMPTS, role="policy")[0]
    reply = rollout.reply_ids.tolist()
    with roles.use("policy") as network:
        expected = slow_logprobs(network, PROMPTS[0], reply, SAMPLING.temperature)
    np.testing.assert_allclose(rollout.logprobs, expected.numpy(), atol=2e-5)
    other = slow_logprobs(roles.network, PROMPTS[0], reply, SAMPLING.temperature)
    assert not np.allclose(rollout.logprobs, other.numpy(), atol=1e-2)


def test_the_company_changes_nothing(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    together = drawn(roles, PROMPTS)
    monkeypatch.setattr(rollouts_module, "_TOKENS_AT_ONCE", 1)  # each prompt by itself
    apart = drawn(roles, PROMPTS)
    for one, other in zip(together, apart, strict=True):
        assert one.reply_ids.tolist() == other.reply_ids.tolist()
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
    monkeypatch.undo()
    swapped = drawn(roles, [PROMPTS[0], PROMPTS[2], PROMPTS[1], PROMPTS[3]])
    assert [r.reply_ids.tolist() for r in swapped[:3]] == [r.reply_ids.tolist() for r in together[:3]]


def test_siblings_differ_and_a_step_repeats_itself(roles: Roles) -> None:
    first, again, later = drawn(roles, PROMPTS), drawn(roles, PROMPTS), drawn(roles, PROMPTS, step=1)
    texts = [[tuple(r.reply_ids.tolist()) for r in rollouts] for rollouts in (first, again, later)]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0][:3])) == 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_every_token_is_drawn_as_often_as_the_model_says(roles: Roles, temperature: float) -> None:
    """No filter: also the rare ones come."""
    count = 20_000
    sampling = RolloutSampling(stop_id=STOP, temperature=temperature, max_tokens=1)
    numbers = draw_numbers(1, 0, range(1), group_size=count, length=1)
    replies = sample_replies(roles, [PROMPTS[0]], role=None, sampling=sampling, random_NT=numbers)
    seen = np.bincount([int(r.reply_ids[0]) for r in replies], minlength=VOCABULARY)
    with torch.no_grad():
        expected = (roles.network(torch.tensor([PROMPTS[0]])).logits[0, -1] / temperature).softmax(-1).numpy()
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(seen / count - expected) < 5 * deviation + 1e-4).all()
    assert all(r.ended == (r.reply_ids[-1] == STOP) for r in replies)


def test_replies_end_at_the_marker_or_at_the_limit(roles: Roles) -> None:
    for rollout in itertools.chain.from_iterable(drawn(roles, PROMPTS, step=step) for step in range(4)):
        reply = rollout.reply_ids.tolist()
        assert STOP not in reply[:-1]
        assert rollout.ended == (reply[-1] == STOP)
        assert rollout.ended or len(reply) == SAMPLING.max_tokens
        assert len(rollout.logprobs) == len(reply)


def test_a_prompts_memory_is_kept_once_for_all_its_replies(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[SharedPrefix] = []

    class Watched(SharedPrefix):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            held.append(self)

    monkeypatch.setattr(rollouts_module, "SharedPrefix", Watched)
    for samples in (1, 8):
        drawn(roles, PROMPTS[:1], samples=samples)
    assert (
        held[0].prompt_bytes == held[1].prompt_bytes == 2 * 2 * 2 * 3 * 8 * 4
    )  # k and v, layers, heads, S, width, f32


def test_bfloat16_is_as_near_to_the_truth_as_a_plain_forward(roles: Roles) -> None:
    """The truth: the same rounded weights, calculated with in float32."""
    half, exact = roles_on("llama", torch.bfloat16), roles_on("llama", torch.bfloat16)
    half.add("policy", AdapterSettings(rank=2))
    exact.network.float()
    off: dict[str, list[np.ndarray]] = {"drawn": [], "plain": []}
    for rollout in itertools.chain.from_iterable(drawn(half, PROMPTS, role="policy", step=step) for step in range(6)):
        what = rollout.prompt_ids.tolist(), rollout.reply_ids.tolist(), SAMPLING.temperature
        truth = slow_logprobs(exact.network, *what).numpy()
        off["drawn"].append(rollout.logprobs - truth)
        off["plain"].append(slow_logprobs(half.network, *what).numpy() - truth)
    mean = {name: float(np.sqrt(np.mean(np.concatenate(each) ** 2))) for name, each in off.items()}
    assert 0 < mean["drawn"] < 1.2 * mean["plain"] < 0.1


def test_rollouts_on_disk_are_the_same_and_mapped(roles: Roles, tmp_path: Path) -> None:
    memory = RolloutMemory(tmp_path / "rollouts")
    kept = {step: drawn(roles, PROMPTS, step=step) for step in (3, 4)}
    for step, replies in kept.items():
        memory.write(step, replies)
    for step, replies in kept.items():
        back = memory.read(step)
        assert len(back) == len(replies)
        for one, other in zip(replies, back, strict=True):
            assert isinstance(other.reply_ids, np.memmap)
            assert one.prompt_ids.tolist() == other.prompt_ids.tolist()
            assert one.reply_ids.tolist() == other.reply_ids.tolist()
            assert one.logprobs.tolist() == other.logprobs.tolist()
            assert one.ended == other.ended
    per_token = sum(file.stat().st_size for file in (tmp_path / "rollouts").iterdir())
    assert per_token < 4000 * 2  # nothing as wide as the vocabulary


def test_settings_that_cannot_be_drawn_with_are_refused(roles: Roles) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RolloutSampling(stop_id=STOP, temperature=0.0)
    with pytest.raises(ValueError, match="random numbers"):
        sample_replies(roles, PROMPTS, role=None, sampling=SAMPLING, random_NT=np.zeros((4, 2), dtype=np.float32))
