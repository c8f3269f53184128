"""Tiny models on disk for tests: real architectures, real tokenizers, random weights, built in well under a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

torch.set_num_threads(1)  # these models are too small to share out, and threads that wait for each other cost seconds

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SENTENCES = [
    "hello there, how are you today?",
    "i am fine, thanks. what is the plan for tonight?",
    "no idea :) let us go to the cinema and see something",
    "ok, see you there at eight! bring the others too",
    "ahoj, jak se máš? já se mám dobře, děkuji",
    "haha 😂 that was great, do it again",
]


def byte_level_tokenizer(vocab_size: int = 400, *, markers: Sequence[str] = MARKERS) -> Tokenizer:
    """A byte-level BPE with the ChatML markers (or others) as special tokens; their ids are 0, 1, 2 in order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(markers),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return tokenizer


def unigram_tokenizer(vocab_size: int = 120) -> Tokenizer:
    """A Unigram vocabulary with word-start marks as T5 has; ids: <pad> 0, </s> 1, <unk> 2."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return tokenizer


def build_tiny_llama(folder: Path, *, layers: int = 2, width: int = 64, seed: int = 0) -> Path:
    """Saves a Llama with random weights (wide enough that logits differ clearly) and its tokenizer."""
    tokenizer = byte_level_tokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    return folder


def build_tiny_t5(folder: Path, *, layers: int = 2, width: int = 32, seed: int = 0) -> Path:
    """Saves an encoder-decoder of the T5 family with random weights and its tokenizer."""
    tokenizer = unigram_tokenizer()
    config = T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=layers,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return folder
