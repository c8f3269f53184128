"""A connector and a small model from scratch learn captions of drawn pictures in seconds, and keep them in 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from drawn_pictures import COLOURS, HELD_OUT, PLACES, SEEN, Drawing, draw, some_drawings
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.eyes.adapter import make_adapter, trained_tensors
from talkalike.models.eyes.connector import ConnectorShape
from talkalike.models.eyes.rows import seen_target_logits
from talkalike.models.int8 import held_bytes, keep_in_int8
from talkalike.training.loop import Progress, make_accelerator, make_optimizer, training_steps
from talkalike.training.seen_documents import Chunk, ChunkTokens, SeenDocuments, chunk_documents
from talkalike.training.values import LoopSettings

WORDS = ["<|endoftext|>", "Output:", *COLOURS, *PLACES]
CPU = torch.device("cpu")


def grid(drawing: Drawing, seed: int) -> Tensor:
    """Colours in 4 x 4 parts of a picture, each of 2 x 2 spots: what a frozen encoder might say."""
    spots = draw(drawing, side=32, seed=seed).reshape(4, 2, 4, 4, 2, 4, 3).mean(axis=(2, 5))
    return torch.from_numpy(spots.transpose(0, 2, 1, 3, 4).reshape(16, 12).astype(np.float32))


def documents(places: ChunkTokens, pairs, *, count: int, seed: int) -> SeenDocuments:
    """A caption of two words for each picture: its colour and its place."""
    drawings = some_drawings(count, pairs=pairs, seed=seed)
    chunks = [
        Chunk(picture=str(n), prompt="Output:", text=f" {one.colour} {one.place}") for n, one in enumerate(drawings)
    ]
    return chunk_documents(chunks, {str(n): grid(one, seed * 9999 + n) for n, one in enumerate(drawings)}, places)


@torch.inference_mode()
def right(model: Trainable, asked: SeenDocuments) -> float:
    """The share of captions whose words are each the likeliest."""
    model.network.eval()
    row = asked.row(range(len(asked)), CPU)
    assert model.eye is not None
    found = seen_target_logits(model.network, model.eye, row).argmax(dim=-1)
    return float((found == row.ids_T[row.targets_L]).reshape(len(asked), -1).all(dim=1).float().mean())


def test_captions_of_unseen_pairs_are_learned_and_8_bits_say_the_same():
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            initializer_range=0.05,
        )
    )
    eye = make_adapter(ConnectorShape(cells=16, channels=12, width=64, tokens=4, inner=64), network)
    parameters = {**{f"network.{name}": p for name, p in network.named_parameters()}, **trained_tensors(eye)}
    model = Trainable(network=network, parameters=parameters, settings=AdapterSettings(), eye=eye)
    places = ChunkTokens(tokenizer=tokenizer, image=eye.places, end=0)
    train = documents(places, SEEN, count=1600, seed=1)
    eye.scaling.fit(torch.stack([train.grids[str(n)] for n in range(400)]))
    settings = LoopSettings(learning_rate=3e-3, epochs=4, batch_tokens=512, row_tokens=512)
    optimizer = make_optimizer(model, settings)
    accelerator = make_accelerator(CPU, torch.float32)
    for _ in training_steps(
        model, train, optimizer=optimizer, settings=settings, accelerator=accelerator, progress=Progress()
    ):
        pass
    asked = documents(places, HELD_OUT, count=200, seed=2)
    found = right(model, asked)
    assert found >= 0.9
    before = held_bytes(network)
    keep_in_int8(network)
    assert held_bytes(network) <= 0.35 * before
    assert right(model, asked) == pytest.approx(found, abs=0.01)
