"""Packed rows equal separate documents, for logits and gradients, with and without soft prompts and windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from talkalike.models.attention import _attend_in_blocks
from talkalike.models.forward import attention
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.models.packed import (
    PACKED_ATTENTION,
    attend_within_documents,
    pack,
    target_logits,
    target_logprobs,
)
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama

CPU = torch.device("cpu")
Documents = tuple[list[NDArray[np.int32]], list[NDArray[np.bool_]]]


def documents(vocabulary: int, lengths: tuple[int, ...] = (5, 17, 1, 30)) -> Documents:
    rng = np.random.default_rng(0)
    ids = [rng.integers(3, vocabulary, size=length).astype(np.int32) for length in lengths]
    masks = [rng.random(length) < 0.5 for length in lengths]
    masks[1][-1] = masks[3][1] = True
    return ids, masks


def separate_logprobs(model: torch.nn.Module, docs: Documents) -> list[torch.Tensor]:
    results = []
    for ids_T, mask_T in zip(*docs, strict=True):
        tokens_1T = torch.from_numpy(ids_T.astype(np.int64))[None]
        logprobs_TV = F.log_softmax(model(tokens_1T).logits[0].float(), dim=-1)
        targets = [t for t in range(1, len(ids_T)) if mask_T[t]]
        results.append(torch.stack([logprobs_TV[t - 1, ids_T[t]] for t in targets]) if targets else torch.zeros(0))
    return results


@pytest.fixture
def tiny(tmp_path: Path) -> LoadedModel:
    folder = build_tiny_llama(tmp_path / "tiny")
    return load_for_inference(folder, catalog=Catalog(tmp_path), dtype="float32", device="cpu")


def loaded(model: torch.nn.Module, tiny: LoadedModel) -> LoadedModel:
    return LoadedModel(name="other", model=model, tokenizer=tiny.tokenizer, context_length=64)  # type: ignore[arg-type]


def other_architectures() -> dict[str, torch.nn.Module]:
    small = {
        "vocab_size": 90,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    gemma = Gemma2Config(
        **small,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=9.0,
    )
    torch.manual_seed(0)
    return {
        "absolute positions": GPT2LMHeadModel(
            GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        ),
        "sliding window": MistralForCausalLM(MistralConfig(**small, num_key_value_heads=2, sliding_window=6)),
        "soft-capped logits": Gemma2ForCausalLM(gemma),
    }


def test_packed_equals_separate(tiny: LoadedModel) -> None:
    docs = documents(350)
    packed = target_logprobs(tiny, *docs, batch_tokens=40)
    with torch.inference_mode():
        separate = separate_logprobs(tiny.model, docs)
    assert [len(p) for p in packed] == [len(s) for s in separate]
    assert len(packed[2]) == 0
    for p, s in zip(packed, separate, strict=True):
        np.testing.assert_allclose(p, s.numpy(), atol=2e-5)


@pytest.mark.parametrize("name", ["absolute positions", "sliding window", "soft-capped logits"])
def test_packed_equals_separate_in_other_architectures(name: str, tiny: LoadedModel) -> None:
    model = other_architectures()[name].eval()
    model.set_attn_implementation("eager")  # type: ignore[operator]
    docs = documents(90)
    packed = target_logprobs(loaded(model, tiny), *docs)
    with torch.inference_mode():
        separate = separate_logprobs(model, docs)
    for p, s in zip(packed, separate, strict=True):
        np.testing.assert_allclose(p, s.numpy(), atol=2e-5)


def test_documents_do_not_see_each_other(tiny: LoadedModel) -> None:
    ids, masks = documents(350)
    before = target_logprobs(tiny, ids, masks)
    ids[0] = ids[0][::-1].copy()
    after = target_logprobs(tiny, ids, masks)
    assert not np.allclose(before[0], after[0])
    for b, a in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(b, a)


def test_gradients_of_a_packed_row_are_those_of_its_documents(tiny: LoadedModel) -> None:
    docs = documents(350)
    model = tiny.model
    separate = -torch.cat(separate_logprobs(model, docs)).sum()
    separate.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    row = pack(*docs, CPU)
    with attention(model, PACKED_ATTENTION):
        F.cross_entropy(target_logits(model, row), row.ids_T[row.targets_L], reduction="sum").backward()
    assert expected
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=2e-4, rtol=1e-4)


def test_a_soft_prompt_stands_before_every_document(tiny: LoadedModel) -> None:
    docs = documents(350)
    soft_PD = torch.randn(3, 64)
    row = pack(*docs, CPU)
    with torch.inference_mode(), attention(tiny.model, PACKED_ATTENTION):
        packed_LV = target_logits(tiny.model, row, soft_prompt_PD=soft_PD)
    expected = []
    with torch.inference_mode():
        for ids_T, mask_T in zip(*docs, strict=True):
            embedded_TD = tiny.model.get_input_embeddings()(torch.from_numpy(ids_T.astype(np.int64)))
            logits_TV = tiny.model(inputs_embeds=torch.cat([soft_PD, embedded_TD])[None]).logits[0]
            expected += [logits_TV[3 + t - 1] for t in range(1, len(ids_T)) if mask_T[t]]
    torch.testing.assert_close(packed_LV, torch.stack(expected), atol=2e-5, rtol=1e-4)


def test_what_no_loss_can_see_is_left_out() -> None:
    row = pack(*documents(350), CPU)
    ids, masks = documents(350)
    last = [int(mask[1:].nonzero()[0][-1]) + 2 if mask[1:].any() else 0 for mask in masks]
    assert row.lengths == tuple(end for end in last if end)
    assert sum(row.lengths) < sum(map(len, ids))
    assert row.loss_tokens == sum(int(mask[1:].sum()) for mask in masks)


@pytest.mark.parametrize("length", [7, 256, 600])
def test_attention_in_blocks_is_attention(length: int) -> None:
    torch.manual_seed(0)
    exact = [torch.randn(1, 2, length, 16, requires_grad=True) for _ in range(3)]
    rounded = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    expected = F.scaled_dot_product_attention(*exact, is_causal=True)
    found = _attend_in_blocks(*rounded, 16**-0.5)
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (found.float() * weights).sum().backward()
    for one, other in zip(rounded, exact, strict=True):
        difference = (one.grad.float() - other.grad).norm() / other.grad.norm()
        assert difference < 0.02
    again = _attend_in_blocks(*rounded, 16**-0.5)
    rounded[1].data[:, :, -1] += 1  # the last key: only the last query may notice
    assert torch.equal(_attend_in_blocks(*rounded, 16**-0.5)[:, :, :-1], again[:, :, :-1])


def test_under_autocast_float32_weights_attend_in_bfloat16(tiny: LoadedModel) -> None:
    """The rotation makes queries and keys float32 there, which would take the slow way through the fused kernel."""
    torch.manual_seed(0)
    query_BHTD, key_BHTD, value_BHTD = (torch.randn(1, 2, 40, 16, requires_grad=True) for _ in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found_BTHD = attend_within_documents(query_BHTD, key_BHTD, value_BHTD, 0, {"document_lengths": (25, 15)})
    halves = [
        _attend_in_blocks(
            query_BHTD[:, :, part].bfloat16(),
            key_BHTD[:, :, part].bfloat16(),
            value_BHTD[:, :, part].bfloat16(),
            16**-0.5,
        )
        for part in (slice(0, 25), slice(25, 40))
    ]
    assert found_BTHD.dtype is torch.bfloat16
    assert torch.equal(found_BTHD, torch.cat(halves, dim=2).transpose(1, 2))


def test_attention_is_given_back(tiny: LoadedModel) -> None:
    before = tiny.model.config._attn_implementation
    with pytest.raises(KeyError), attention(tiny.model, PACKED_ATTENTION):
        assert tiny.model.config._attn_implementation == PACKED_ATTENTION
        raise KeyError
    assert tiny.model.config._attn_implementation == before
