"""Trains a base for two steps in a process of its own for each plan and prints the bytes that came on top, as JSON.

`python tests/memory_child.py FOLDER METHOD,DTYPE,ROW,DOCUMENT[,recompute][,4bit] ...`, also for real bases.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import make_trainable, recompute_layers
from talkalike.models.footprint import TrainingPlan, estimate, read_shape
from talkalike.models.load import load_network
from talkalike.models.memory import memory_in_use, peak_memory, reset_peak_memory
from talkalike.models.packed import pack
from talkalike.training.loop import accumulate, make_accelerator, make_optimizer
from talkalike.training.memory import keep_freed_memory
from talkalike.training.values import LoopSettings

LEARNED = 0.25
CPU = torch.device("cpu")


def plan_of(words: list[str]) -> TrainingPlan:
    """The plan that a word of the command line means."""
    return TrainingPlan(
        method=words[0],
        half=words[1] == "bfloat16",
        row=int(words[2]),
        document=int(words[3]),
        learned=LEARNED,
        recompute="recompute" in words,
        quantize="4bit" if "4bit" in words else "none",
    )


def growth(folder: Path, plan: TrainingPlan) -> int:
    """Bytes that two steps of this training take on top of the program."""
    dtype = torch.bfloat16 if plan.half else torch.float32
    accelerator = make_accelerator(CPU, dtype)
    keep_freed_memory()
    reset_peak_memory()
    before = memory_in_use()
    network = load_network(folder, dtype=dtype, device=CPU, quantize=plan.quantize)
    trainable = make_trainable(network, AdapterSettings(method=plan.method), seed=0)
    if plan.recompute:
        recompute_layers(network, folder.name)
    optimizer = make_optimizer(trainable, LoopSettings(learning_rate=1e-3))
    network.train()
    rng = np.random.default_rng(0)
    ids = [
        rng.integers(3, network.config.vocab_size, size=plan.document).astype(np.int32)
        for _ in range(plan.row // plan.document)
    ]
    row = pack(ids, [rng.random(plan.document) < LEARNED for _ in ids], CPU)
    for _ in range(2):
        accumulate(trainable, [row], accelerator)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (peak_memory() or 0) - (before or 0)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    shape = read_shape(folder)
    assert shape is not None
    for words in sys.argv[2:]:
        plan = plan_of(words.split(","))
        print(end="", flush=True)
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        reckoned = estimate(shape, plan)
        found = {"plan": words, "measured": growth(folder, plan), "estimated": reckoned.total - reckoned.program}
        print(json.dumps(found), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
