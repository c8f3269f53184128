"""Losses that move a model towards preferred replies without a reward model, as pure functions.

Log-probabilities are sums over a reply's tokens in nats, the closing marker included and the prompt not; `reference` is
the model before. Definitions are those of TRL 1.16 (its CPO trainer for SimPO).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dpo_losses(better_P: Tensor, worse_P: Tensor, *, beta: float) -> Tensor:
    """-log sigmoid(beta * (better - worse)), (P,). Both are log-ratios to the reference. arXiv:2305.18290."""
    return -F.logsigmoid(beta * (better_P - worse_P))


def ipo_losses(
    better_P: Tensor, worse_P: Tensor, *, better_lengths_P: Tensor, worse_lengths_P: Tensor, beta: float
) -> Tensor:
    """(better - worse - 1 / (2 beta)) squared, of log-ratios per token, (P,). arXiv:2310.12036, equation 17.

    The paper has sums; its authors' results are for means over tokens, as TRL found out by asking.
    """
    return (better_P / better_lengths_P - worse_P / worse_lengths_P - 1 / (2 * beta)) ** 2


def simpo_losses(better_P: Tensor, worse_P: Tensor, *, beta: float, gamma: float) -> Tensor:
    """-log sigmoid(beta * (better - worse) - gamma), (P,), of log-probabilities per token. arXiv:2405.14734.

    Needs no reference, and nothing but the learning rate keeps it near where it began.
    """
    return -F.logsigmoid(beta * (better_P - worse_P) - gamma)


def kto_losses(ratios_N: Tensor, good_N: Tensor, kl: Tensor, *, beta: float, weights: tuple[float, float]) -> Tensor:
    """1 - sigmoid(beta * (ratio - kl)) for good replies, 1 - sigmoid(beta * (kl - ratio)) for bad ones, (N,).

    `ratios_N` are log-ratios to the reference, `weights` those of good and bad ones. arXiv:2402.01306, equation 7.
    """
    side_N = torch.where(good_N, 1.0, -1.0)
    weight_N = torch.where(good_N, weights[0], weights[1])
    return weight_N * (1 - torch.sigmoid(beta * side_N * (ratios_N - kl)))


def mismatch_kl(ratios_N: Tensor) -> Tensor:
    """KTO's estimate of the distance to the reference: the mean log-ratio of replies that belong to other prompts.

    Never negative and without gradient.
    """
    return ratios_N.detach().mean().clamp(min=0.0) if len(ratios_N) else torch.zeros(())
