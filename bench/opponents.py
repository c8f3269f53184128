"""The other side of the training benchmarks: TRL's SFTTrainer on exactly our tokens and labels."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens and loss mask of one training example, both (T,)."""

    ids_T: Ids
    mask_T: Mask

    @property
    def loss_tokens(self) -> int:
        """Tokens with loss."""
        return int(self.mask_T[1:].sum())


def one_per_reply(documents: Sequence[Example], max_length: int) -> list[Example]:
    """The usual form: each learned stretch is an example of its own, with all that stood before it as its prompt."""
    examples = []
    for document in documents:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], document.mask_T, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            first = max(0, int(stop) - max_length)
            mask_T = np.zeros(int(stop) - first, dtype=np.bool_)
            mask_T[int(start) - first :] = True
            examples.append(Example(document.ids_T[first:stop], mask_T))
    return examples


def trl_train(
    model: Any,
    examples: Sequence[Example],
    *,
    options: dict[str, Any],
    after_step: Callable[[int, float], None] | None = None,
) -> tuple[float, int]:
    """Trains with TRL's SFTTrainer; returns (seconds inside the training loop, loss tokens trained).

    `options` go to SFTConfig on top of what a CPU needs. `after_step(step, seconds)` is called after each update; its
    own time is not counted.
    """
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from transformers.utils import logging as transformers_logging
    from trl import SFTConfig, SFTTrainer

    transformers_logging.set_verbosity_error()
    clock = {"start": 0.0, "paused": 0.0, "end": 0.0}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            clock["start"] = time.perf_counter()

        def on_step_end(self, _args: Any, state: Any, *_rest: Any, **_kwargs: Any) -> None:
            now = clock["end"] = time.perf_counter()
            if after_step is not None:
                after_step(state.global_step, now - clock["start"] - clock["paused"])
                clock["paused"] += time.perf_counter() - now

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **options,
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list([_row(example) for example in examples]),
            processing_class=PreTrainedTokenizerFast(
                tokenizer_object=_any_tokenizer(), pad_token="<pad>", eos_token="<pad>"
            ),
            callbacks=[Clock()],
        )
        trainer.train()
        steps, total = trainer.state.global_step, trainer.state.max_steps
    share = min(1.0, steps / max(1, total))
    if config.max_steps > 0:  # a sample of the epoch: the loss tokens of what was seen
        share = min(1.0, config.max_steps * config.per_device_train_batch_size / len(examples))
    seconds = clock["end"] - clock["start"] - clock["paused"]
    return seconds, round(share * sum(example.loss_tokens for example in examples))


def _row(example: Example) -> dict[str, list[int]]:
    labels = [int(t) if m else -100 for t, m in zip(example.ids_T, example.mask_T, strict=True)]
    return {"input_ids": example.ids_T.tolist(), "labels": labels}


def _any_tokenizer() -> Any:
    """TRL asks for one even where everything is tokenised already."""
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_special_tokens(["<pad>"])
    return tokenizer
