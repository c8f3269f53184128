"""How soon our training reaches the held-out loss that TRL has after one epoch of one example per reply.

Real chats: an IRC archive, one speaker, SmolLM2-135M, LoRA of the same rank on both sides. TRL gets the usual form
(each reply an example with its history, up to the same 1,024 tokens) and LoRA's usual rate of 2e-4; ours the same
documents, once each. The held-out loss is measured by the same code on both, and its time is not counted.

    python bench/learning_speed.py EXPORT --speaker NAME --models DIR [--replies 400]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer

from opponents import Example, one_per_reply, trl_train
from talkalike.chats.archive import Archive
from talkalike.chats.importing import import_paths
from talkalike.chats.people import find_person, people
from talkalike.examples.dataset import Documents, ExampleSet
from talkalike.examples.prepare import PrepareSettings, Target, prepare
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable, make_trainable
from talkalike.models.load import load_network
from talkalike.training.loop import Progress, make_optimizer, mean_loss, training_steps
from talkalike.training.values import LEARNING_RATES, LoopSettings
from talkalike.workspace.cards import Catalog

BASE = "smollm2-135m-instruct"
RANK = 16


def prepare_examples(export: Path, speaker: str, models: Path, folder: Path) -> ExampleSet:
    """The speaker's examples at our defaults."""
    archive = Archive(folder / "chats")
    import_paths([export], archive=archive)
    rows = people((chat, archive.messages(chat.id)) for chat in archive.conversations())
    renderer = Renderer(Tokenizer.from_file(str(models / BASE / "tokenizer.json")))
    target = Target(folder=folder / "examples", base=BASE)
    prepare(archive, [find_person(rows, speaker)], renderer=renderer, settings=PrepareSettings(), target=target)
    return ExampleSet(target.folder)


def subset(documents: Documents, replies: int, folder: Path) -> Documents:
    """The newest documents that hold about `replies` learned stretches (all for 0), as a split of their own."""
    start, count = len(documents), 0
    while start > 0 and (replies == 0 or count < replies):
        start -= 1
        count += len(one_per_reply([Example(documents.ids(start), documents.mask(start))], 1024))
    chosen = range(start, len(documents))
    folder.mkdir()
    np.save(folder / "train.ids.npy", np.concatenate([documents.ids(i) for i in chosen]))
    np.save(folder / "train.mask.npy", np.concatenate([documents.mask(i) for i in chosen]))
    np.save(folder / "train.offsets.npy", np.cumsum([0, *(len(documents.ids(i)) for i in chosen)]))
    return Documents(folder, "train")


@dataclass(frozen=True, slots=True)
class Task:
    """What both sides train on, and what both are judged by."""

    base: Path
    train: Documents
    heldout: Documents
    accelerator: Accelerator

    @property
    def judged(self) -> list[int]:
        """About 16 held-out documents, spread over all."""
        return list(range(0, len(self.heldout), max(1, len(self.heldout) // 16)))

    def loss(self, trainable: Trainable) -> float:
        """The held-out loss."""
        return mean_loss(trainable, self.heldout, self.judged, self.accelerator)


def train_theirs(task: Task, replies: list[Example]) -> tuple[float, float]:
    """(seconds of TRL's epoch, held-out loss after it)."""
    network = load_network(task.base, dtype=torch.float32, device=task.accelerator.device)
    lora = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    model = get_peft_model(network, lora)
    seconds, _ = trl_train(model, replies, options={"num_train_epochs": 1, "learning_rate": 2e-4, "max_length": 1024})
    plain = model.get_base_model()
    return seconds, task.loss(Trainable(network=plain, parameters={}, settings=AdapterSettings()))


def train_ours(task: Task, wanted: float, epochs: float) -> tuple[list[tuple[float, float]], float | None]:
    """(seconds and held-out loss along the way, seconds at which the loss was as low as `wanted`)."""
    network = load_network(task.base, dtype=torch.bfloat16, device=task.accelerator.device)
    trainable = make_trainable(network, AdapterSettings(rank=RANK), seed=0)
    settings = LoopSettings(learning_rate=LEARNING_RATES["lora"], epochs=epochs)
    seconds = 0.0  # of steps alone
    curve = [(0.0, round(task.loss(trainable), 4))]
    for step in training_steps(
        trainable,
        task.train,
        optimizer=make_optimizer(trainable, settings),
        settings=settings,
        accelerator=task.accelerator,
        progress=Progress(),
    ):
        seconds += step.seconds
        if step.index % 4 == 0 or step.done >= 1:
            curve.append((round(seconds, 1), round(task.loss(trainable), 4)))
            if curve[-1][1] <= wanted:
                return curve, seconds
    return curve, None


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--models", type=Path, required=True, help="a workspace's models folder with the base in it")
    parser.add_argument("--replies", type=int, default=400, help="the newest learned replies; 0: all")
    parser.add_argument("--epochs", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        examples = prepare_examples(options.export, options.speaker, options.models, Path(scratch))
        train = subset(examples.split("train"), options.replies, Path(scratch) / "subset")
        task = Task(
            base=Catalog(options.models).path(BASE),
            train=train,
            heldout=examples.split("heldout"),
            accelerator=Accelerator(mixed_precision="bf16", cpu=True),
        )
        replies = one_per_reply([Example(train.ids(i), train.mask(i)) for i in range(len(train))], 1024)
        theirs, wanted = train_theirs(task, replies)
        curve, reached = train_ours(task, wanted, options.epochs)
    result = {
        "speaker": options.speaker,
        "replies": len(replies),
        "tokens_per_reply_form": sum(len(example.ids_T) for example in replies),
        "tokens_once": train.tokens,
        "trl_epoch": {"seconds": round(theirs, 1), "heldout_loss": round(wanted, 4)},
        "talkalike_reached_it_after": reached and round(reached, 1),
        "times_sooner": reached and round(theirs / reached, 1),
        "wanted_times_sooner": 8,
        "curve": curve,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
