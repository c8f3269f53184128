"""One batch of replies as the advantages need it: rectangles of numbers, of all processes.

Every process draws and scores its own share of the prompts. Then all exchange the few numbers per token, and every
process computes the same advantages over the whole batch, so that several processes do exactly what one would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from talkalike.alignment.rollouts import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutBatch:
    """N replies of all processes, of at most T tokens, in the order of the step's prompts."""

    ids_NT: Tensor  # -1 after the end
    scores_N: Tensor  # rewards
    ended_N: Tensor
    k1_NT: Tensor  # KL to the reference by the k1 estimate; 0 where not measured
    values_NT: Tensor  # 0 without a critic
    mine_N: Tensor  # indices of this process's replies

    @property
    def mask_NT(self) -> Tensor:
        """Where there is a real reply token."""
        return self.ids_NT >= 0

    @property
    def lengths_N(self) -> Tensor:
        """The number of tokens of each reply."""
        return self.mask_NT.sum(dim=1)


def rectangle(rollouts: Sequence[Rollout], *, width: int, device: torch.device) -> Tensor:
    """Reply tokens (n, width), -1 after the end."""
    ids_NT = np.full((len(rollouts), width), -1, dtype=np.int64)
    for row, rollout in enumerate(rollouts):
        ids_NT[row, : len(rollout.reply_ids)] = rollout.reply_ids
    return torch.from_numpy(ids_NT).to(device)


def gather_batch(
    rollouts: Sequence[Rollout],
    *,
    scores: Sequence[float],
    k1_NT: Tensor,
    values_NT: Tensor,
    group_size: int,
    accelerator: Accelerator,
) -> RolloutBatch:
    """Gathers all processes' replies as one batch. Process r has the prompts r, r + processes, ... of the step."""
    width, device = k1_NT.shape[1], k1_NT.device
    ids_NT = rectangle(rollouts, width=width, device=device)
    ended_N = torch.tensor([float(rollout.ended) for rollout in rollouts], device=device)
    scores_N = torch.tensor(scores, dtype=torch.float32, device=device)
    numbers = torch.cat([k1_NT, values_NT, scores_N[:, None], ended_N[:, None]], dim=1)
    mine_N = torch.arange(len(rollouts), device=device)
    if accelerator.num_processes > 1:
        order = _order(len(rollouts) // group_size, group_size, accelerator.num_processes).to(device)
        mine_N = order.argsort().view(accelerator.num_processes, -1)[accelerator.process_index]
        ids_NT = accelerator.gather(ids_NT.contiguous())[order]
        numbers = accelerator.gather(numbers.contiguous())[order]
    return RolloutBatch(
        ids_NT=ids_NT,
        scores_N=numbers[:, -2],
        ended_N=numbers[:, -1] > 0.5,
        k1_NT=numbers[:, :width],
        values_NT=numbers[:, width : 2 * width],
        mine_N=mine_N,
    )


def _order(prompts_each: int, group_size: int, processes: int) -> Tensor:
    """For each reply in the order of the step's prompts, where it lies among the gathered ones (process by process)."""
    gathered = torch.arange(processes * prompts_each * group_size).view(processes, prompts_each, group_size)
    return gathered.transpose(0, 1).reshape(-1)
