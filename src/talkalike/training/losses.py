"""The mathematics of training as pure functions of tensors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def negative_log_likelihood(logits_LV: Tensor, targets_L: Tensor) -> Tensor:
    """Sum over L of -log p(target), in nats; computed in float32 whatever the logits come in.

    A sum and not a mean, so that the caller can divide by the loss tokens of the whole optimiser batch: means of
    unequal micro-batches would weigh short replies more (the reason accumulation once differed from a big batch in
    several trainers).
    """
    return F.cross_entropy(logits_LV.float(), targets_L, reduction="sum")


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
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, scale)
    return float(norm)
