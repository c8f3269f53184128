"""The training loop, as a generator of steps that the caller drives.

One step: rows of packed documents go through the network one after the other, the summed losses are divided by the
loss tokens of the whole batch (of all processes), gradients are summed over processes, clipped and applied. There is no
wrapper around the network: with several processes the base is replicated and only the trained tensors' gradients
travel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from talkalike.examples.dataset import Documents
from talkalike.models.adapters import Trainable
from talkalike.models.eyes.rows import seen_target_logits
from talkalike.models.packed import Row, pack, target_logits
from talkalike.training.batches import Rows, epoch_batches
from talkalike.training.losses import clip_gradients, learning_rate_factor, negative_log_likelihood
from talkalike.training.memory import keep_freed_memory
from talkalike.training.seen_documents import SeenDocuments
from talkalike.training.values import LoopSettings, Step


@dataclass(slots=True, kw_only=True)
class Progress:
    """The progress of a training; with the trained tensors and the optimiser's state all that a resumed one needs.

    `seconds`: all that the training took so far; `loading`: the part of it before the first step; `ending`: what has to
    be left for the last evaluation and for saving.
    """

    step: int = 0
    seconds: float = 0.0
    loading: float = 0.0
    ending: float = 0.0

    def share(self, steps: int, minutes: float | None) -> float:
        """The share of the training that is done: of its steps, or of its time where that ends earlier."""
        if minutes is None:
            return self.step / steps
        time_for_steps = max(1e-9, 60 * minutes - self.loading - self.ending)
        return min(1.0, max(self.step / steps, (self.seconds - self.loading) / time_for_steps))

    def has_time(self, needed: float, minutes: float | None) -> bool:
        """Whether something that takes so many seconds still fits before the end of the minutes."""
        return minutes is None or self.seconds + needed + self.ending <= 60 * minutes


def make_accelerator(device: torch.device, dtype: torch.dtype, **options: Any) -> Accelerator:
    """Device, precision and processes of one training; `options` go to accelerate.

    accelerate keeps the precision of a process's first training and refuses another, so that is forgotten first.
    """
    AcceleratorState._reset_state()
    mixed = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype, "no")
    return Accelerator(mixed_precision=mixed, cpu=device.type == "cpu", **options)


def make_optimizer(trainable: Trainable, settings: LoopSettings) -> torch.optim.Optimizer:
    """AdamW over the trained tensors (decay on matrices only), fused where the device has it."""
    matrices = [p for p in trainable.parameters.values() if p.ndim >= 2]
    vectors = [p for p in trainable.parameters.values() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    device = next(iter(trainable.parameters.values())).device.type
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, fused=device in {"cpu", "cuda"}
    )


def steps_per_epoch(documents: Documents | SeenDocuments, settings: LoopSettings) -> int:
    """Optimiser steps in one pass over the documents."""
    return len(_batches(documents, settings, epoch=0))


def training_steps(
    trainable: Trainable,
    documents: Documents | SeenDocuments,
    *,
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    accelerator: Accelerator,
    progress: Progress,
) -> Iterator[Step]:
    """Trains until epochs or minutes are used up, yielding after each step. `progress` is kept up to date.

    What the caller does between two steps (evaluations, checkpoints) counts against the minutes, too.
    """
    per_epoch = steps_per_epoch(documents, settings)
    total = max(1, round(settings.epochs * per_epoch))
    parameters = list(trainable.parameters.values())
    batches: list[Rows] = []
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    trainable.network.train()
    seconds = 0.0  # of the latest step: the next one takes as long
    while progress.step < total and progress.has_time(seconds, settings.minutes):
        start = time.perf_counter()
        epoch, within = divmod(progress.step, per_epoch)
        if not batches or within == 0:
            batches = _batches(documents, settings, epoch=epoch)
        done = progress.share(total, settings.minutes)
        factor = learning_rate_factor(done, schedule=settings.schedule, warmup=settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        # Dropout (where a model has it) depends on the step alone, so that a resumed training draws the same.
        torch.manual_seed(hash((settings.seed, progress.step, accelerator.process_index)) & 0x7FFFFFFF)
        mine = batches[within][accelerator.process_index :: accelerator.num_processes]
        rows = [make_row(documents, row, accelerator.device) for row in mine]
        loss, loss_tokens = accumulate(trainable, rows, accelerator)
        gradients = [p.grad for p in parameters if p.grad is not None]
        grad_norm = clip_gradients(gradients, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        shown = time.perf_counter()
        seconds = shown - start
        progress.seconds += seconds
        yield Step(
            index=progress.step,
            epoch=progress.step / per_epoch,
            loss=loss,
            loss_tokens=loss_tokens,
            tokens=sum(len(row.ids_T) for row in rows),
            seconds=seconds,
            learning_rate=settings.learning_rate * factor,
            grad_norm=grad_norm,
            done=progress.share(total, settings.minutes),
        )
        progress.seconds += time.perf_counter() - shown


def accumulate(trainable: Trainable, rows: Sequence[Row], accelerator: Accelerator) -> tuple[float, int]:
    """Adds the gradient of the mean loss over all processes' rows to the trained tensors.

    Returns that loss (nats per loss token) and the number of loss tokens.
    """
    device = accelerator.device
    counted = torch.tensor(sum(row.loss_tokens for row in rows), device=device)
    loss_tokens = int(accelerator.reduce(counted, reduction="sum"))
    total = torch.zeros((), device=device)
    for row in rows:
        if row.loss_tokens == 0:
            continue
        with accelerator.autocast():
            logits_LV = _row_logits(trainable, row)
        loss = negative_log_likelihood(logits_LV, row.ids_T[row.targets_L]) / max(1, loss_tokens)
        loss.backward()
        total += loss.detach()
    sum_gradients(trainable.parameters.values(), accelerator)
    return float(accelerator.reduce(total, reduction="sum")), loss_tokens


def mean_loss(
    trainable: Trainable, documents: Documents | SeenDocuments, indices: Sequence[int], accelerator: Accelerator
) -> float:
    """Loss (nats per loss token) over some documents, without training on them; NaN where nothing has loss."""
    trainable.network.eval()
    total, count = 0.0, 0
    with torch.inference_mode(), accelerator.autocast():
        for start in range(0, len(indices), 4):
            row = make_row(documents, indices[start : start + 4], accelerator.device)
            if row.loss_tokens == 0:
                continue
            logits_LV = _row_logits(trainable, row)
            total += float(negative_log_likelihood(logits_LV, row.ids_T[row.targets_L]))
            count += row.loss_tokens
    trainable.network.train()
    return total / count if count else math.nan


def make_row(documents: Documents | SeenDocuments, indices: Sequence[int], device: torch.device) -> Row:
    """The documents of these indices, packed."""
    if isinstance(documents, SeenDocuments):
        return documents.row(indices, device)
    return pack([documents.ids(i) for i in indices], [documents.mask(i) for i in indices], device)


def _row_logits(trainable: Trainable, row: Row) -> Tensor:
    """Logits (L, vocabulary) for the targets of a row, as the network gives them with what is trained."""
    if trainable.eye is not None:
        return seen_target_logits(trainable.network, trainable.eye, row)
    return target_logits(trainable.network, row, soft_prompt_PD=trainable.soft_prompt_PD)


def sum_gradients(parameters: Iterable[Tensor], accelerator: Accelerator) -> None:
    """Sums the gradients over all processes."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        parameter.grad = accelerator.reduce(gradient, reduction="sum")


def _batches(documents: Documents | SeenDocuments, settings: LoopSettings, *, epoch: int) -> list[Rows]:
    return epoch_batches(
        documents.lengths.tolist(),
        seed=settings.seed,
        epoch=epoch,
        row_tokens=settings.row_tokens,
        batch_tokens=settings.batch_tokens,
    )
