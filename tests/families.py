"""Tiny models with random weights of every family that is tried, and what their real ones read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tiny_model import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
_IDS = {"vocab_size": TOKENIZER.get_vocab_size(), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.2}
_LLAMA = {
    **_IDS,
    **_SIZES,
    "intermediate_size": 96,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_GPT2 = {**_IDS, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.2}
_META = {**_IDS, "max_position_embeddings": 256, "init_std": 0.2}
_SCALED = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
_HEADS = {"head_dim": 16}

OURS: dict[str, dict[str, Any]] = {  # they attend as they are told: several conversations share a pass
    "cohere": {**_LLAMA, "logit_scale": 1.0},
    "gemma": {**_LLAMA, **_HEADS},
    "gemma2": {**_LLAMA, **_HEADS, "sliding_window": 16, "query_pre_attn_scalar": 16},  # scores are capped
    "gemma3_text": {**_LLAMA, **_HEADS, "sliding_window": 16, "query_pre_attn_scalar": 16},
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neox": _LLAMA,
    "granite": _LLAMA,
    "llama": {**_LLAMA, "attention_bias": True, "rope_parameters": _SCALED},
    "mistral": {**_LLAMA, "sliding_window": 16},
    "mixtral": {**_LLAMA, "num_local_experts": 4},
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "opt": {
        **_META,
        "hidden_size": 64,
        "ffn_dim": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 64,
    },
    "phi": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, **_HEADS},
    "qwen3_moe": {**_LLAMA, **_HEADS, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "smollm3": _LLAMA,
    "starcoder2": _LLAMA,
}
OWN: dict[str, dict[str, Any]] = {  # they attend in a way of their own: one conversation at a time
    "bloom": {**_IDS, "hidden_size": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.2},
    "codegen": {**_GPT2, "rotary_dim": 8},
    "falcon": {**_IDS, **_SIZES},
    "gpt_neo": {
        **_IDS,
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 256,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 16,
        "initializer_range": 0.2,
    },
    "gptj": {**_GPT2, "rotary_dim": 8},
    "mpt": {**_IDS, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 256, "initializer_range": 0.2},
    "openai-gpt": _GPT2,  # keeps no keys and values: each token reads everything anew
    "stablelm": _LLAMA,
    "xglm": {**_META, "d_model": 64, "ffn_dim": 96, "num_layers": 2, "attention_heads": 4},
}


def build(family: str, folder: Path, *, markers: bool = True, **changes: Any) -> Path:
    """Saves a tiny model of the family with random weights and a tokenizer, which has the markers of turns or not."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **{**(OURS | OWN)[family], **changes})
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    if markers:
        PreTrainedTokenizerFast(tokenizer_object=TOKENIZER, **names).save_pretrained(folder)
    else:  # as GPT-2's: one special token, and none to pad with
        plain = byte_level_tokenizer(markers=["<|endoftext|>"])
        PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>").save_pretrained(folder)
    return folder
