"""Run by torchrun from `test_training`: the same training over several processes; the first writes its losses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from talkalike.examples.dataset import ExampleSet
from talkalike.training.loop import Progress, make_accelerator, make_optimizer, training_steps
from talkalike.workspace.cards import Catalog
from test_training import CPU, LOOP, trainable_tiny

if __name__ == "__main__":
    models, examples, out = map(Path, sys.argv[1:])
    trainable = trainable_tiny(Catalog(models), "lora")
    accelerator = make_accelerator(CPU, torch.float32)
    steps = training_steps(
        trainable,
        ExampleSet(examples).split("train"),
        optimizer=make_optimizer(trainable, LOOP),
        settings=LOOP,
        accelerator=accelerator,
        progress=Progress(),
    )
    losses = [step.loss for step in steps]
    if accelerator.is_main_process:
        out.write_text(json.dumps(losses))
    accelerator.end_training()
