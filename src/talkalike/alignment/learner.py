"""The policy, for PPO also a critic, and their optimiser; and the two passes over rows: measuring and updating.

The log-probabilities that an update compares itself with are computed by the same forward pass as the update's own, not
taken from decoding, so that nothing but a change of the policy moves the ratio away from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from talkalike.alignment.policy_losses import clipped_policy_losses, clipped_value_losses, kl_terms
from talkalike.alignment.rl_settings import RLSettings
from talkalike.alignment.shared_rows import SharedRow, target_logits, target_states
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.checkpoints import assign, copies
from talkalike.training.loop import sum_gradients
from talkalike.training.losses import clip_gradients, log_likelihood, rows_at_once

POLICY, CRITIC, HEAD = "policy", "critic", "head"


@dataclass(slots=True)
class UpdateStatistics:
    """Sums over one step's updates on this process; `first_ratio_off`: the ratio's distance from 1 at the start."""

    tokens: int = 0
    ratio: float = 0.0
    ratio_min: float = math.inf
    ratio_max: float = -math.inf
    clipped: float = 0.0
    entropy: float = 0.0
    policy_loss: float = 0.0
    value_loss: float = 0.0
    first_ratio_off: float = 0.0
    grad_norms: list[float] = field(default_factory=list)

    def add(self, loss: Tensor, ratio_L: Tensor, *, clip_low: float, clip_high: float) -> None:
        """One row's policy loss and ratios; all numbers are fetched from the device at once."""
        clipped_L = (ratio_L < 1 - clip_low) | (ratio_L > 1 + clip_high)
        numbers = torch.stack([loss, ratio_L.sum(), clipped_L.sum(), *ratio_L.aminmax()]).tolist()
        self.tokens += len(ratio_L)
        self.policy_loss += numbers[0]
        self.ratio += numbers[1]
        self.clipped += numbers[2]
        self.ratio_min, self.ratio_max = min(self.ratio_min, numbers[3]), max(self.ratio_max, numbers[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """This process's (n * T) numbers that the losses are made of, flat."""

    old_logprobs: Tensor | None  # None: the update's own, where each batch is used once
    advantages: Tensor
    old_values: Tensor
    returns: Tensor


class Learner:
    """A policy (and a critic) on a shared base. Evaluation mode throughout: no dropout in reinforcement learning."""

    def __init__(
        self,
        roles: Roles,
        settings: RLSettings,
        accelerator: Accelerator,
        *,
        policy: AdapterSettings,
        critic: AdapterSettings | None = None,
    ) -> None:
        self.roles, self.settings, self.accelerator = roles, settings, accelerator
        roles.add(POLICY, policy, seed=settings.seed)
        update = settings.update
        groups: list[dict[str, Any]] = [
            {"params": list(roles.parameters(POLICY).values()), "lr": update.learning_rate},
        ]
        self.head: nn.Linear | None = None
        if settings.algorithm == "ppo":
            roles.add(CRITIC, critic or policy, seed=settings.seed + 1)
            self.head = nn.Linear(roles.network.config.get_text_config().hidden_size, 1, device=roles.device)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
            owned = [*roles.parameters(CRITIC).values(), *self.head.parameters()]
            groups.append({"params": owned, "lr": update.critic_learning_rate})
        # eps 1e-5 as OpenAI's runs had it (N-details), no weight decay
        self.optimizer = torch.optim.AdamW(
            groups, eps=1e-5, weight_decay=0.0, fused=roles.device.type in {"cpu", "cuda"}
        )
        self.safe: dict[str, Tensor] = {}
        self.rates = [float(group["lr"]) for group in groups]

    @property
    def trainable(self) -> Trainable:
        """All trained tensors together, as a run's checkpoints keep them."""
        parameters = {f"{POLICY}.{name}": p for name, p in self.roles.parameters(POLICY).items()}
        if self.head is not None:
            parameters |= {f"{CRITIC}.{name}": p for name, p in self.roles.parameters(CRITIC).items()}
            parameters |= {f"{HEAD}.{name}": p for name, p in self.head.named_parameters()}
        return Trainable(network=self.roles.network, parameters=parameters, settings=AdapterSettings())

    def keep_safe_state(self) -> None:
        """Keeps a copy of the trained tensors: their last state that was measured to be within the limits."""
        if self.settings.max_kl > 0 or self.settings.min_distinct > 0:
            self.safe = copies(self.trainable.parameters)

    def restore_safe_state(self) -> None:
        """Restores what `keep_safe_state` kept last."""
        assign({name: p for name, p in self.trainable.parameters.items() if name in self.safe}, self.safe)

    def measure(self, rows: Sequence[SharedRow], *, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Old log-probabilities, k1 to the reference and old values, each (size,) and without gradient."""
        old, k1, values = (torch.zeros(size, device=self.roles.device) for _ in range(3))
        for row in rows:
            with torch.enable_grad():  # the same kernels as in the update: without gradients torch may choose others
                old[row.places_L] = self._logprobs(row, POLICY)[0].detach()
            with torch.no_grad():
                if self.settings.measures_kl:
                    reference_L = self._logprobs(row, None)[0]
                    k1[row.places_L] = kl_terms(old[row.places_L], reference_L)[0]
                if self.head is not None:
                    values[row.places_L] = self._values(row)
        return old, k1, values

    def update(
        self, plan: Sequence[Sequence[SharedRow]], targets: Targets, divisors: Sequence[float], *, factor: float
    ) -> UpdateStatistics:
        """One optimiser step for each minibatch of rows in `plan`, as often as the settings say.

        `divisors`: for each minibatch what its summed loss is divided by, the same number on all processes. `factor`
        scales the learning rates.
        """
        statistics = UpdateStatistics()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        for epoch in range(self.settings.update.epochs):
            for index, (rows, divisor) in enumerate(zip(plan, divisors, strict=True)):
                for row in rows:
                    self._accumulate(row, targets, divisor, statistics, first=epoch == index == 0)
                self._step(statistics)
        return statistics

    def _accumulate(
        self, row: SharedRow, targets: Targets, divisor: float, statistics: UpdateStatistics, *, first: bool
    ) -> None:
        update, places_L = self.settings.update, row.places_L
        logprobs_L, logits_LV = self._logprobs(row, POLICY)
        old_L = logprobs_L.detach() if targets.old_logprobs is None else targets.old_logprobs[places_L]
        losses_L, ratio_L = clipped_policy_losses(
            logprobs_L, old_L, targets.advantages[places_L], clip_low=update.clip_low, clip_high=update.clip_high
        )
        loss = losses_L.sum() / divisor
        statistics.entropy += entropy_sum(logits_LV.detach())  # before the backward pass, which reuses the logits
        loss.backward()
        statistics.add(loss.detach(), ratio_L, clip_low=update.clip_low, clip_high=update.clip_high)
        if first:
            statistics.first_ratio_off = max(statistics.first_ratio_off, float((ratio_L - 1).abs().max()))
        if self.head is not None:
            value_loss = (
                clipped_value_losses(
                    self._values(row),
                    targets.old_values[places_L],
                    targets.returns[places_L],
                    clip=update.value_clip,
                ).sum()
                / divisor
            )
            value_loss.backward()
            statistics.value_loss += float(value_loss.detach())

    def _step(self, statistics: UpdateStatistics) -> None:
        """Sums gradients over processes, clips policy and critic each by itself, and applies them."""
        for index, group in enumerate(self.optimizer.param_groups):
            sum_gradients(group["params"], self.accelerator)
            gradients = [p.grad for p in group["params"] if p.grad is not None]
            norm = clip_gradients(gradients, self.settings.update.max_grad_norm) if gradients else 0.0
            if index == 0:
                statistics.grad_norms.append(norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _logprobs(self, row: SharedRow, role: str | None) -> tuple[Tensor, Tensor]:
        """Log-probabilities (L,) at the rollouts' temperature, float32, and the logits (L, V) they come from."""
        with self.roles.use(role) as network, self.accelerator.autocast():
            logits_LV = target_logits(network, row)
        if self.settings.temperature != 1.0:
            logits_LV = logits_LV.float() / self.settings.temperature
        return log_likelihood(logits_LV, row.targets_L), logits_LV

    def _values(self, row: SharedRow) -> Tensor:
        """What the critic expects before each reply token, (L,)."""
        assert self.head is not None
        with self.roles.use(CRITIC) as network, self.accelerator.autocast():
            states_LD = target_states(network, row)
        values_L: Tensor = self.head(states_LD.float())[:, 0]
        return values_L


def entropy_sum(logits_LV: Tensor) -> float:
    """Entropy of every row's distribution, summed, in nats; in float32, a few rows at a time."""
    total = 0.0
    for rows_RV in logits_LV.split(rows_at_once(logits_LV.shape[1])):
        logprobs_RV = rows_RV.float().log_softmax(dim=-1)
        total -= float((logprobs_RV.exp() * logprobs_RV).sum())
    return total
