"""Loss tokens per second of our loop beside TRL's SFTTrainer, on the same Llama, tokens and labels.

24 synthetic chats of 4 speakers (10 to 40 messages of 5 to 25 random tokens), one of them learned; a Llama of 8 layers
and width 384 with 49,152 words; all weights trained. Every arm runs one whole epoch, `--rounds` times, in turn, in this
process (a round takes four minutes, of which one reply per example takes nearly three). Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import LlamaConfig, LlamaForCausalLM

from opponents import Example, one_per_reply, trl_train
from talkalike.examples.dataset import Documents
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable
from talkalike.training.loop import Progress, make_optimizer, training_steps
from talkalike.training.values import LoopSettings

VOCABULARY = 49_152


def chats(seed: int = 0) -> list[Example]:
    """The synthetic chats; speaker 0 of 4 is learned, with the marker that closes the turn."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(24):
        ids: list[int] = []
        mask: list[bool] = []
        for _ in range(rng.integers(10, 41)):
            speaker = int(rng.integers(0, 4))
            text = rng.integers(100, VOCABULARY, size=rng.integers(5, 26)).tolist()
            ids += [1, 10 + speaker, 3, *text, 2, 3]
            mask += [False] * 3 + [speaker == 0] * (len(text) + 1) + [False]
        made.append(Example(np.asarray(ids[:1024], dtype=np.int32), np.asarray(mask[:1024])))
    return made


def new_model() -> LlamaForCausalLM:
    """The same random weights every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=6,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def ours(documents: list[Example]) -> float:
    """Loss tokens per second of our loop at its defaults (bf16 autocast, packed rows, head at loss positions)."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "train.ids.npy", np.concatenate([d.ids_T for d in documents]))
        np.save(Path(folder) / "train.mask.npy", np.concatenate([d.mask_T for d in documents]))
        np.save(Path(folder) / "train.offsets.npy", np.cumsum([0, *(len(d.ids_T) for d in documents)]))
        model = new_model()
        trainable = make_trainable(model, AdapterSettings(method="full"), seed=0)
        settings = LoopSettings(learning_rate=2e-5, epochs=1)
        steps = training_steps(
            trainable,
            Documents(Path(folder), "train"),
            optimizer=make_optimizer(trainable, settings),
            settings=settings,
            accelerator=Accelerator(mixed_precision="bf16", cpu=True),
            progress=Progress(),
        )
        start = time.perf_counter()
        tokens = sum(step.loss_tokens for step in steps)
        return tokens / (time.perf_counter() - start)


def trl(examples: list[Example], **options: Any) -> float:
    """Loss tokens per second of TRL."""
    seconds, tokens = trl_train(new_model(), examples, options={"num_train_epochs": 1, **options})
    return tokens / seconds


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    documents = chats()
    replies = one_per_reply(documents, 1024)
    best = {"bf16": True, "packing": True, "gradient_checkpointing": False, "per_device_train_batch_size": 2}
    arms = {
        "talkalike": lambda: ours(documents),
        "trl_per_reply_defaults": lambda: trl(replies),
        "trl_per_chat_own_labels": lambda: trl(documents),
        "trl_best": lambda: trl(documents, **best),
    }
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, run in arms.items():
            speeds[name].append(run())
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    result = {
        "loss_tokens_per_second": {name: round(value, 1) for name, value in medians.items()},
        "range": {name: [round(min(v), 1), round(max(v), 1)] for name, v in speeds.items()},
        "times_faster_than": {
            name: round(medians["talkalike"] / value, 2) for name, value in medians.items() if name != "talkalike"
        },
        "wanted": {"trl_per_reply_defaults": 25, "trl_per_chat_own_labels": 4, "trl_best": 1.5},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
