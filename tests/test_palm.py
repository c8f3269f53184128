"""PaLM: its equations, its memory, its samples, and that a saved one goes through loading, chatting and training."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkalike.errors import UserError
from talkalike.models.palm import PalmConfig, PalmForCausalLM

SIZES = {"num_tokens": 90, "dim": 48, "depth": 3, "heads": 4, "dim_head": 8, "max_position_embeddings": 64}
VARIANTS = {"plain": {}, "normed queries and keys": {"qk_norm": True}, "decay": {"xpos_scale_base": 16}}


def palm(**changes: object) -> PalmForCausalLM:
    """A small network whose logits differ clearly and whose norms are not all ones."""
    torch.manual_seed(0)
    network = PalmForCausalLM(PalmConfig(**{**SIZES, "initializer_range": 0.05, **changes})).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return network


def tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(3, 90, shape, generator=torch.Generator().manual_seed(seed))


def by_the_equations(network: PalmForCausalLM, ids_T: list[int]) -> Tensor:
    """Logits (T, V) of the published equations, written once more: one head, one position and one pair at a time."""
    weights = {name: value.double() for name, value in network.state_dict().items()}
    config = network.config
    heads, width, hidden = config.heads, config.dim_head, config.dim

    def normed(vector: Tensor, name: str) -> Tensor:
        centred = vector - vector.mean()
        return centred / (centred.square().mean() + config.layer_norm_eps).sqrt() * weights[name]

    def turned(vector: Tensor, position: int, sign: int) -> Tensor:
        result = vector.clone()
        for pair in range(width // 2):
            angle = position * config.rope_theta ** (-2 * pair / width)
            x, y = vector[pair], vector[pair + width // 2]
            factor = 1.0
            if config.xpos_scale_base is not None:
                factor = ((2 * pair / width + 0.4) / 1.4) ** (sign * position / config.xpos_scale_base)
            result[pair] = factor * (x * math.cos(angle) - y * math.sin(angle))
            result[pair + width // 2] = factor * (y * math.cos(angle) + x * math.sin(angle))
        return result

    def rms(vector: Tensor, name: str) -> Tensor:
        return vector / (vector.square().mean() + 1e-6).sqrt() * weights[name] if config.qk_norm else vector

    stream = [weights["model.embed_tokens.weight"][token] for token in ids_T]
    for layer in range(config.depth):
        at = f"model.layers.{layer}."
        inner = [weights[at + "in_proj.weight"] @ normed(x, at + "norm.weight") for x in stream]
        keys, values = [], []
        for position, row in enumerate(inner):
            start = heads * width
            keys.append(turned(rms(row[start : start + width], at + "key_norm.weight"), position, -1))
            values.append(row[start + width : start + 2 * width])
            attended = []
            for head in range(heads):
                query = rms(row[head * width : (head + 1) * width], at + "query_norm.weight")
                query = turned(query, position, 1)
                scores = torch.stack([query @ key for key in keys]) / math.sqrt(width)
                attended.append(sum(p * v for p, v in zip(scores.softmax(0), values, strict=True)))
            up, gate = row[start + 2 * width :].split(config.ff_mult * hidden)
            fed = weights[at + "feed_forward_out.weight"] @ (gate * torch.sigmoid(gate) * up)
            stream[position] = stream[position] + weights[at + "attention_out.weight"] @ torch.cat(attended) + fed
    return torch.stack([weights["model.embed_tokens.weight"] @ normed(x, "model.norm.weight") for x in stream])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_it_computes_the_papers_equations(variant: str, attention: str) -> None:
    network = palm(**VARIANTS[variant])
    network.set_attn_implementation(attention)
    ids_T = tokens(9)
    ours_TV = network(ids_T[None]).logits[0]
    torch.testing.assert_close(ours_TV.double(), by_the_equations(network, ids_T.tolist()), atol=1e-4, rtol=1e-4)


def test_parameters_are_the_papers_and_nothing_else() -> None:
    network = palm()
    sizes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    block = {"norm.weight": (48,), "in_proj.weight": (32 + 8 + 8 + 2 * 192, 48)}
    block |= {"attention_out.weight": (48, 32), "feed_forward_out.weight": (48, 192)}
    expected: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (90, 48), "model.norm.weight": (48,)}
    expected |= {f"model.layers.{layer}.{name}": size for layer in range(3) for name, size in block.items()}
    assert sizes == expected  # no biases, and the output's weights are the embeddings
    assert network.lm_head.weight is network.model.embed_tokens.weight


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_future_changes_nothing_and_gets_no_gradient(variant: str) -> None:
    network = palm(**VARIANTS[variant])
    ids_1T = tokens(1, 20)
    other_1T = ids_1T.clone()
    other_1T[0, 12:] = tokens(8, seed=2)
    torch.testing.assert_close(network(ids_1T).logits[:, :12], network(other_1T).logits[:, :12])
    assert not torch.allclose(network(ids_1T).logits[:, 12], network(other_1T).logits[:, 12])
    embedded = network.get_input_embeddings()(ids_1T).detach().requires_grad_()
    network(inputs_embeds=embedded).logits[0, 11].square().sum().backward()
    assert embedded.grad is not None
    assert embedded.grad[0, 12:].abs().max() == 0.0
    assert (embedded.grad[0, :12].abs().amax(dim=-1) > 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_memory_as_without(variant: str) -> None:
    network = palm(**VARIANTS[variant])
    ids_BT = tokens(2, 15)
    whole = network(ids_BT).logits
    memory = None
    parts = []
    for part in ids_BT.split([6, 1, 1, 7], dim=1):
        output = network(part, past_key_values=memory, use_cache=True)
        memory = output.past_key_values
        parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)
    assert memory.layers[0].keys.shape == (2, 1, 15, 8)  # one head of keys for all


def test_padding_on_the_left_changes_nothing() -> None:
    network = palm()
    short, long = tokens(5), tokens(11, seed=2)
    ids_BT = torch.stack([F.pad(short, (6, 0)), long])
    mask_BT = torch.tensor([[0] * 6 + [1] * 5, [1] * 11])
    logits = network(ids_BT, attention_mask=mask_BT).logits
    torch.testing.assert_close(logits[0, 6:], network(short[None]).logits[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits[1], network(long[None]).logits[0], atol=1e-5, rtol=1e-4)


def test_a_new_network_knows_nothing_and_its_stream_keeps_its_size() -> None:
    for depth in (2, 24):
        torch.manual_seed(0)
        network = PalmForCausalLM(PalmConfig(num_tokens=500, dim=128, depth=depth, heads=2, dim_head=32)).eval()
        ids = torch.randint(0, 500, (2, 64))
        output = network(ids, labels=ids, output_hidden_states=True)
        assert abs(output.loss.item() - math.log(500)) < 0.1
        assert len(output.hidden_states) == depth + 1
        before_norm = output.hidden_states[-2].std().item()
        assert 0.2 < before_norm < 1.5


def test_bfloat16_is_close_and_checkpointing_exact() -> None:
    network = palm()
    ids_BT = tokens(2, 30)
    exact = network(ids_BT, labels=ids_BT)
    rounded = palm().to(torch.bfloat16)(ids_BT, labels=ids_BT)
    assert rounded.logits.dtype is torch.bfloat16
    assert rounded.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    exact.loss.backward()
    again = palm().train()
    again.activation_checkpointing_enable()
    loss = again(ids_BT, labels=ids_BT, use_cache=False).loss
    assert loss.item() == pytest.approx(exact.loss.item(), abs=1e-6)
    loss.backward()
    for (name, ours), theirs in zip(again.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_transformers_generate_writes_the_likeliest(attention: str) -> None:
    network = palm()
    network.set_attn_implementation(attention)
    prompt = torch.stack([tokens(4, seed=2), tokens(4, seed=3)])  # after these it writes various words
    written = network.generate(prompt, max_new_tokens=10, do_sample=False, pad_token_id=0)
    ids_BT = prompt
    for _ in range(10):
        ids_BT = torch.cat([ids_BT, network(ids_BT).logits[:, -1:].argmax(dim=-1)], dim=1)
    assert written.tolist() == ids_BT.tolist()


def test_sample_at_temperature_0_writes_the_likeliest_until_the_end() -> None:
    network = palm()
    prompt = tokens(4, seed=3)
    written = network.generate(prompt[None], max_new_tokens=12, do_sample=False, pad_token_id=0)[0, 4:].tolist()
    assert network.sample(prompt, num_samples=2, max_new_tokens=12, temperature=0.0) == [written, written]
    end = next(token for token in written[3:] if token not in written[:3])
    network.config.eos_token_id = end
    stopped = network.sample(prompt, num_samples=2, max_new_tokens=12, temperature=0.0)
    assert stopped == [written[: written.index(end) + 1]] * 2


def test_samples_come_from_the_models_distribution_and_end_one_by_one() -> None:
    network = palm(num_tokens=6, eos_token_id=[4, 5], initializer_range=0.3)
    with torch.no_grad():
        for block in network.model.layers:
            block.attention_out.weight.mul_(8)  # much depends on what was written before
    prompt, temperature = [3, 1, 2], 3.0
    generator = torch.Generator().manual_seed(0)
    replies = network.sample(prompt, num_samples=20_000, max_new_tokens=3, temperature=temperature, generator=generator)
    counts: dict[tuple[int, ...], int] = {}
    for reply in replies:
        assert all(token not in (4, 5) for token in reply[:-1])
        assert len(reply) == 3 or reply[-1] in (4, 5)
        counts[tuple(reply)] = counts.get(tuple(reply), 0) + 1
    assert {len(reply) for reply in counts} == {1, 2, 3}
    surprise = cells = 0.0
    for reply in [*product(range(6)), *product(range(4), range(6)), *product(range(4), range(4), range(6))]:
        if reply[-1] < 4 and len(reply) < 3:
            continue  # goes on
        logits_TV = network(torch.tensor([[*prompt, *reply]])).logits[0, 2:-1] / temperature
        expected = 20_000 * logits_TV.log_softmax(dim=-1)[range(len(reply)), list(reply)].sum().exp().item()
        surprise += (counts.get(reply, 0) - expected) ** 2 / expected
        cells += 1
    assert cells == 2 + 4 * 2 + 16 * 6
    assert surprise < cells + 6 * math.sqrt(2 * cells)  # Pearson's chi square: mean `cells`, variance twice that
    again = network.sample(
        prompt, num_samples=20_000, max_new_tokens=3, temperature=temperature, generator=generator.manual_seed(0)
    )
    assert again == replies


def test_generate_best_gives_the_reply_the_reward_likes() -> None:
    network = palm(eos_token_id=7)
    prompt = tokens(5)
    seen: list[list[int]] = []

    def share_of_even(prompt_ids: list[int], replies: list[list[int]]) -> list[float]:
        assert prompt_ids == prompt.tolist()
        seen.extend(replies)
        return [sum(token % 2 == 0 for token in reply) / len(reply) for reply in replies]

    best = network.generate_best(prompt, num_samples=10, reward=share_of_even, max_new_tokens=8)
    assert len(seen) == 10
    assert len({tuple(reply) for reply in seen}) > 5
    scores = share_of_even(prompt.tolist(), list(seen))
    assert seen[:10][scores.index(max(scores))] == best


@pytest.mark.parametrize("scores", [[float("nan")] * 3, [1.0, 2.0], [0.0, float("inf"), 1.0]])
def test_a_reward_without_a_number_for_each_reply_is_told(scores: list[float]) -> None:
    with pytest.raises(UserError, match="3 replies"):
        palm().generate_best([3, 4], num_samples=3, reward=lambda _prompt, _replies: scores, max_new_tokens=2)


@pytest.mark.parametrize(
    "wrong", [{"prompt": []}, {"num_samples": 0}, {"temperature": -1.0}, {"prompt": [1] * 60, "max_new_tokens": 5}]
)
def test_sampling_that_cannot_be_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        palm().sample(**{"prompt": [3], "max_new_tokens": 4, **wrong})  # type: ignore[arg-type]
