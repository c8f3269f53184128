"""Llama's forward pass without its wrapping is transformers' own: states, logits, gradients, with and without roles."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from talkalike.models import forward
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.forward import attention
from talkalike.models.load import LoadedModel
from talkalike.models.packed import PACKED_ATTENTION
from talkalike.models.roles import Roles

SHAPE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
SCALED = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "biases, tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "another width of heads": {"head_dim": 12, "rms_norm_eps": 1e-3, "hidden_act": "gelu"},
    "scaled positions": {"rope_parameters": {**SCALED, "original_max_position_embeddings": 16}},
}
IDS_T = torch.tensor([5, 9, 30, 17, 44, 12, 8, 8, 3])
LENGTHS = (6, 3)
POSITIONS_T = torch.cat([torch.arange(length) for length in LENGTHS])
KEPT_L = torch.tensor([2, 5, 8])


def llama(**variant: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(**{**SHAPE, **variant})).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name or "bias" in name:  # ones and zeros would hide what is done with them
                parameter += torch.randn_like(parameter) * 0.3
    return network


def usual_logits(network: PreTrainedModel) -> torch.Tensor:
    row = {"input_ids": IDS_T[None], "position_ids": POSITIONS_T[None], "logits_to_keep": KEPT_L}
    with attention(network, PACKED_ATTENTION):
        logits: torch.Tensor = network(**row, use_cache=False, document_lengths=LENGTHS).logits[0]
    return logits


def direct_logits(network: PreTrainedModel) -> torch.Tensor:
    return forward.logits(network, IDS_T, POSITIONS_T, KEPT_L, attends=PACKED_ATTENTION, document_lengths=LENGTHS)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_logits_and_gradients_are_those_of_transformers(variant: dict[str, Any]) -> None:
    network = llama(**variant)
    expected, logits = usual_logits(network), direct_logits(network)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad(expected.square().sum(), list(network.parameters()))
    gradients = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-4 * float(other.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("settings", [AdapterSettings(rank=3), AdapterSettings(method="last-n", last_layers=1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_role_acts_as_always(settings: AdapterSettings, dtype: torch.dtype) -> None:
    """Copied blocks are float32 on whatever base."""
    network = llama().to(dtype)
    roles = Roles(LoadedModel(name="toy", model=network, tokenizer=Tokenizer(models.BPE()), context_length=64))
    roles.add("policy", settings)
    with torch.no_grad():
        for parameter in roles.parameters("policy").values():
            parameter += 0.1 * torch.randn_like(parameter)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)
    near = 1e-5 if dtype is torch.float32 else 0.1
    with torch.no_grad(), autocast, roles.use("policy") as network:
        expected, logits = usual_logits(network), direct_logits(network)
    off = (logits - expected).float().square().mean().sqrt() / expected.float().square().mean().sqrt()
    assert float(off) < near
    with torch.no_grad(), autocast, roles.use(None) as network:
        assert not torch.allclose(direct_logits(network), logits, atol=0.1)


def test_another_architecture_takes_its_own_way() -> None:
    torch.manual_seed(0)
    network = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=2)).eval()
    before = network.config._attn_implementation
    torch.testing.assert_close(direct_logits(network), usual_logits(network))
    states_TD = forward.states(network, IDS_T, POSITIONS_T, attends=PACKED_ATTENTION, document_lengths=LENGTHS)
    torch.testing.assert_close(network.lm_head(states_TD[KEPT_L]), usual_logits(network), atol=1e-5, rtol=1e-5)
    assert network.config._attn_implementation == before


def test_a_class_of_ones_own_takes_its_own_way() -> None:
    class Louder(LlamaForCausalLM):
        def forward(self, *args: Any, **options: Any) -> Any:
            output = super().forward(*args, **options)
            output.logits = 2 * output.logits
            return output

    plain = llama()
    louder = Louder(copy.deepcopy(plain.config)).eval()
    louder.load_state_dict(plain.state_dict())
    torch.testing.assert_close(direct_logits(louder), 2 * direct_logits(plain), atol=1e-4, rtol=1e-4)
