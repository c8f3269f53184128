"""The mathematics of training as pure functions of tensors."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

_LOGITS = 3 * 2**18  # computed at once: as float32 they stay in a processor's cache


def log_likelihood(logits_LV: Tensor, targets_L: Tensor) -> Tensor:
    """log p(target) for each of L rows of logits, in nats; computed in float32 whatever the logits come in.

    Rows are computed a few at a time: a float32 copy of all logits, or of their gradients, never exists.
    """
    return cast(Tensor, _LogLikelihood.apply(logits_LV, targets_L))  # type: ignore[no-untyped-call]  # torch's own


def rows_at_once(vocabulary: int) -> int:
    """How many rows of logits to compute together."""
    return max(1, _LOGITS // vocabulary)


def negative_log_likelihood(logits_LV: Tensor, targets_L: Tensor) -> Tensor:
    """Sum over L of -log p(target), in nats.

    A sum and not a mean, so that the caller can divide by the loss tokens of the whole optimiser batch: means of
    unequal micro-batches would weigh short replies more (the reason accumulation once differed from a big batch in
    several trainers).
    """
    return -log_likelihood(logits_LV, targets_L).sum()


class _LogLikelihood(torch.autograd.Function):
    """Gradient of log p(target) by the logits: one-hot minus softmax, which backward computes again from the logits."""

    @staticmethod
    def forward(context: Any, logits_LV: Tensor, targets_L: Tensor) -> Tensor:
        pieces = logits_LV.split(rows_at_once(logits_LV.shape[1]))
        normaliser_L = torch.cat([rows_RV.float().logsumexp(dim=-1) for rows_RV in pieces])
        context.save_for_backward(logits_LV, targets_L, normaliser_L)
        return logits_LV.gather(1, targets_L[:, None])[:, 0].float() - normaliser_L

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits_LV, targets_L, normaliser_L = context.saved_tensors
        result_LV = torch.empty_like(logits_LV)
        rows = rows_at_once(logits_LV.shape[1])
        parts = (tensor.split(rows) for tensor in (result_LV, logits_LV, targets_L, normaliser_L, gradients[0]))
        for result_RV, logits_RV, targets_R, normaliser_R, gradient_R in zip(*parts, strict=True):
            softmax_RV = (logits_RV.float() - normaliser_R[:, None]).exp_()
            softmax_RV[torch.arange(len(targets_R)), targets_R] -= 1
            result_RV.copy_(softmax_RV.mul_(-gradient_R[:, None]))
        return result_LV, None


def learning_rate_factor(done: float, *, schedule: str, warmup: float) -> float:
    """Share of the peak learning rate when `done` (0..1) of the training is over; linear warm-up first."""
    if done < warmup:
        return max(done / warmup, 0.02)
    rest = min(1.0, (done - warmup) / max(1e-9, 1.0 - warmup))
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - rest
    return 0.5 * (1.0 + math.cos(math.pi * rest))


def clip_gradients(gradients: list[Tensor], max_norm: float) -> float:
    """Scales the gradients in place so that their joint L2 norm is at most `max_norm`; returns the norm before."""
    first = gradients[0].device  # of a base that is spread, they lie on several
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g).to(first) for g in gradients]))
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for device in {g.device for g in gradients}:
        torch._foreach_mul_([g for g in gradients if g.device == device], scale.to(device))
    return float(norm)
