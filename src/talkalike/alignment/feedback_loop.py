"""The training loop over judged contexts, as a generator of steps: for the reward model and the preference losses.

A step: a few contexts, each once with all its judged replies, whatever the number of judgements about them; the summed
loss is divided by the judgements of the batch. An ensemble's members are trained side by side, each in its own order.
No dropout: networks stay in evaluation mode, so that a resumed training does exactly what an uninterrupted one would.
Several processes share the contexts of each batch and sum their gradients: the same update as by one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from talkalike.alignment.feedback_values import FeedbackSettings, FeedbackStep
from talkalike.alignment.judged_parts import EncodedContext
from talkalike.alignment.rollouts import Rollout
from talkalike.alignment.shared_rows import SharedRow, shared_rows
from talkalike.alignment.values import ReplySample
from talkalike.models.roles import Roles
from talkalike.training.batches import fill_rows
from talkalike.training.loop import Progress, sum_gradients
from talkalike.training.losses import clip_gradients, learning_rate_factor

_NO_LIMIT = 2**31
_NOTHING = np.zeros(0, dtype=np.float32)


@dataclass(slots=True, kw_only=True)
class FeedbackSums:
    """Sums over a batch, or over several."""

    loss: float = 0.0  # summed over judgements
    judgements: int = 0
    pairs: int = 0
    right: float = 0.0  # a draw is half right
    margin: float = 0.0  # summed over pairs
    tokens: int = 0

    @classmethod
    def of_gaps(cls, gaps_P: Tensor) -> FeedbackSums:
        """The sums over pairs, from the scores of the better reply minus those of the worse one."""
        right = float((gaps_P > 0).sum() + 0.5 * (gaps_P == 0).sum())
        return cls(pairs=len(gaps_P), right=right, margin=float(gaps_P.sum()))

    def add(self, other: FeedbackSums) -> None:
        """Adds the sums of another batch to these."""
        self.loss += other.loss
        self.judgements += other.judgements
        self.pairs += other.pairs
        self.right += other.right
        self.margin += other.margin
        self.tokens += other.tokens

    @property
    def mean_loss(self) -> float:
        """The mean loss per judgement."""
        return self.loss / max(1, self.judgements)

    @property
    def accuracy(self) -> float:
        """The share of pairs in the right order; NaN where there is no pair."""
        return self.right / self.pairs if self.pairs else float("nan")

    @property
    def mean_margin(self) -> float:
        """The mean margin of the pairs; NaN where there is no pair."""
        return self.margin / self.pairs if self.pairs else float("nan")


class Objective(Protocol):
    """The loss that a training on judged contexts minimises."""

    contexts: Sequence[EncodedContext]

    def accumulate(self, member: int, batch: Sequence[int], mine: Sequence[int]) -> FeedbackSums:
        """Adds the gradients of the batch's mean loss that come from `mine`, a part of it, to one member."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRow:
    """A forward pass: contexts with their N replies. `last_N` and `owner_L` count predicted tokens and replies."""

    row: SharedRow
    contexts: tuple[int, ...]
    starts: tuple[int, ...]  # which of the N replies is each context's first
    owner_L: Tensor  # whose reply a predicted token belongs to
    last_N: Tensor  # among the L places, the one after the reply's last token (only where `after_last`)
    lengths_N: Tensor

    @property
    def tokens(self) -> int:
        """The number of tokens in the forward pass."""
        return len(self.row.ids_T)


def reply_rows(
    contexts: Sequence[EncodedContext],
    indices: Sequence[int],
    *,
    row_tokens: int,
    device: torch.device,
    after_last: bool = False,
) -> list[ContextRow]:
    """Rows of whole contexts, at most `row_tokens` where one alone is not longer.

    `after_last` reads the replies' last tokens too, which no prediction needs but a head does.
    """
    rows = fill_rows(indices, (contexts[index].tokens for index in indices), row_tokens)
    return [_row(contexts, row, device, after_last) for row in rows]


def feedback_steps(
    objective: Objective,
    members: Sequence[Sequence[nn.Parameter]],
    *,
    optimizer: torch.optim.Optimizer,
    settings: FeedbackSettings,
    accelerator: Accelerator,
    progress: Progress,
) -> Iterator[FeedbackStep]:
    """Trains on the objective's contexts until the epochs are over, yielding after each step."""
    count = len(objective.contexts)
    per_epoch = steps_per_epoch(count, settings)
    total = total_steps(count, settings)
    rates = [float(group["initial_lr"]) for group in optimizer.param_groups]
    while progress.step < total:
        start = time.perf_counter()
        epoch, within = divmod(progress.step, per_epoch)
        factor = learning_rate_factor(progress.step / total, schedule=settings.schedule, warmup=settings.warmup)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        tally, norms = FeedbackSums(), []
        for member, parameters in enumerate(members):
            batch = batches(count, settings, epoch=epoch, member=member)[within]
            mine = batch[accelerator.process_index :: accelerator.num_processes]
            tally.add(_sum_over_processes(objective.accumulate(member, batch, mine), parameters, accelerator))
            gradients = [p.grad for p in parameters if p.grad is not None]
            norms.append(clip_gradients(gradients, settings.max_grad_norm) if gradients else 0.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        seconds = time.perf_counter() - start
        progress.seconds += seconds
        yield FeedbackStep(
            index=progress.step,
            epoch=progress.step / per_epoch,
            loss=tally.mean_loss,
            accuracy=tally.accuracy,
            margin=tally.mean_margin,
            judgements=tally.judgements,
            tokens=tally.tokens,
            seconds=seconds,
            learning_rate=rates[0] * factor,
            grad_norm=sum(norms) / len(norms),
            done=progress.step / total,
        )


def _sum_over_processes(
    tally: FeedbackSums, parameters: Sequence[nn.Parameter], accelerator: Accelerator
) -> FeedbackSums:
    """Sums gradients over the processes, and returns the sums of all of them."""
    if accelerator.num_processes == 1:
        return tally
    sum_gradients(parameters, accelerator)
    sums = torch.tensor(dataclasses.astuple(tally), device=accelerator.device)
    loss, judgements, pairs, right, margin, tokens = accelerator.reduce(sums, reduction="sum").tolist()
    counts = {"judgements": round(judgements), "pairs": round(pairs), "tokens": round(tokens)}
    return FeedbackSums(loss=loss, right=right, margin=margin, **counts)


def steps_per_epoch(count: int, settings: FeedbackSettings) -> int:
    """Steps in one pass over the contexts."""
    return max(1, round(count / settings.batch))


def total_steps(count: int, settings: FeedbackSettings) -> int:
    """Steps of the whole training."""
    return max(1, round(settings.epochs * steps_per_epoch(count, settings)))


def batches(count: int, settings: FeedbackSettings, *, epoch: int, member: int = 0) -> list[list[int]]:
    """The contexts of each step of an epoch, every one once; a member of an ensemble has its own order."""
    order = np.random.default_rng((settings.seed, epoch, member)).permutation(count)
    return [part.tolist() for part in np.array_split(order, steps_per_epoch(count, settings))]


def make_optimizer(groups: Sequence[tuple[Sequence[nn.Parameter], float]]) -> torch.optim.Optimizer:
    """AdamW without weight decay over groups of (parameters, learning rate); eps as in OpenAI's runs (N-details)."""
    device = groups[0][0][0].device.type
    named = [{"params": list(parameters), "lr": rate, "initial_lr": rate} for parameters, rate in groups]
    return torch.optim.AdamW(named, eps=1e-5, weight_decay=0.0, fused=device in {"cpu", "cuda"})


def group_by_prompt(samples: Sequence[ReplySample]) -> tuple[list[EncodedContext], list[tuple[int, int]]]:
    """The samples grouped by equal prompts; for each sample the indices (context, reply) at which it is found."""
    gathered: dict[tuple[int, ...], list[ReplySample]] = {}
    order: dict[tuple[int, ...], int] = {}
    places = []
    for sample in samples:
        order.setdefault(sample.prompt_ids, len(order))
        replies = gathered.setdefault(sample.prompt_ids, [])
        places.append((order[sample.prompt_ids], len(replies)))
        replies.append(sample)
    contexts = [EncodedContext(samples=tuple(replies), pairs=(), ratings=(), bad=()) for replies in gathered.values()]
    return contexts, places


def autocast(roles: Roles) -> torch.autocast:
    """Computes in the dtype of the frozen weights, for float32 adapters on a base in bfloat16."""
    return torch.autocast(roles.device.type, dtype=roles.dtype, enabled=roles.dtype is not torch.float32)


def _row(contexts: Sequence[EncodedContext], indices: list[int], device: torch.device, after_last: bool) -> ContextRow:
    rollouts: list[Rollout] = []
    groups, starts = [], []
    for index in indices:
        starts.append(len(rollouts))
        prompt_ids = np.asarray(contexts[index].samples[0].prompt_ids, dtype=np.int32)
        for sample in contexts[index].samples:
            ids = (*sample.reply_ids, 0) if after_last else sample.reply_ids  # what is "predicted" last never matters
            reply = np.asarray(ids, dtype=np.int32)
            rollouts.append(Rollout(prompt_ids=prompt_ids, reply_ids=reply, logprobs=_NOTHING, ended=True))
        groups.append(range(starts[-1], len(rollouts)))
    lengths = [len(rollout.reply_ids) for rollout in rollouts]
    width = max(lengths)
    (row,) = shared_rows(rollouts, groups, width=width, row_tokens=_NO_LIMIT, device=device)
    return ContextRow(
        row=row,
        contexts=tuple(indices),
        starts=tuple(starts),
        owner_L=row.places_L // width,
        last_N=torch.tensor(np.cumsum(lengths) - 1, device=device),
        lengths_N=torch.tensor(lengths, device=device),
    )
