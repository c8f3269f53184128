"""The preference losses of a batch, in rows where a context stands once with all its replies.

The reference's log-probabilities never change, so they are computed once and kept on disk under a hash of the tokens,
in a file that is named after a hash of the reference's weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from talkalike.alignment.feedback_loop import ContextRow, FeedbackSums, autocast, reply_rows
from talkalike.alignment.judged import OPINION, JudgedContext
from talkalike.alignment.judged_parts import EncodedContext, only_replies
from talkalike.alignment.preference import (
    dpo_losses,
    ipo_losses,
    kto_losses,
    mismatch_kl,
    simpo_losses,
)
from talkalike.alignment.shared_rows import shared_row_attention, target_logits
from talkalike.models.adapters import disk_errors
from talkalike.models.roles import Roles
from talkalike.training.losses import log_likelihood
from talkalike.workspace.files import replacing

POLICY = "policy"
_GOOD, _BAD = 4, 2  # ratings from, and up to, which a reply is good, or bad
_SURE = 0.75  # of a soft label, from which its two replies are good and bad


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Which loss is used, with its hyperparameters."""

    loss: str
    beta: float
    gamma: float  # of SimPO
    weights: tuple[float, float]  # of good and bad replies in KTO
    row_tokens: int


class PreferenceObjective:
    """One of the four losses; the mean over the pairs (KTO: over the replies) of a batch."""

    def __init__(
        self,
        roles: Roles,
        contexts: Sequence[EncodedContext],
        settings: LossSettings,
        reference: ReferenceLogprobs,
    ) -> None:
        self.roles, self.contexts, self.settings = roles, contexts, settings
        self.mismatched = _mismatch_replies(self.contexts) if settings.loss == "kto" else []
        needed = settings.loss != "simpo"
        self.reference = reference.of(self.contexts, row_tokens=settings.row_tokens) if needed else []
        self.reference_mismatched = reference.of(self.mismatched, row_tokens=settings.row_tokens)

    def accumulate(self, member: int, batch: Sequence[int], mine: Sequence[int]) -> FeedbackSums:
        """Adds the gradients of the batch's mean loss that come from `mine`, a part of it."""
        divisor = max(1, sum(self._count_terms(index) for index in batch))
        return self._sum_losses(mine, divisor=divisor, kl=self._estimate_kl(batch))

    def measure(self, *, batch: int) -> FeedbackSums:
        """Sums over all contexts, without gradients; `batch` contexts share KTO's estimate of the distance."""
        total = FeedbackSums()
        with torch.no_grad():
            for start in range(0, len(self.contexts), batch):
                indices = range(start, min(start + batch, len(self.contexts)))
                total.add(self._sum_losses(indices, divisor=None, kl=self._estimate_kl(indices)))
        return total

    def _sum_losses(self, indices: Sequence[int], *, divisor: int | None, kl: Tensor) -> FeedbackSums:
        tally, device = FeedbackSums(), self.roles.device
        for row in reply_rows(self.contexts, indices, row_tokens=self.settings.row_tokens, device=device):
            tally.tokens += row.tokens
            sums_N = reply_logprobs(self.roles, POLICY, row)
            ratios_N = sums_N
            if self.reference:
                known = [value for index in row.contexts for value in self.reference[index]]
                ratios_N = sums_N - torch.tensor(known, device=device)
            losses, gaps_P = self._losses(row, ratios_N, kl.to(device))
            if losses is None:
                continue
            loss = losses.sum()
            if divisor is not None:
                (loss / divisor).backward()
            tally.add(FeedbackSums(loss=float(loss.detach()), judgements=len(losses)))
            tally.add(FeedbackSums.of_gaps(gaps_P.detach()))
        return tally

    def _losses(self, row: ContextRow, ratios_N: Tensor, kl: Tensor) -> tuple[Tensor | None, Tensor]:
        """Losses of the row, and the margins of pairs (KTO: the margin of each reply on its right side)."""
        chosen, device = self.settings, self.roles.device
        if chosen.loss == "kto":
            opinions = [
                (start + reply, good)
                for index, start in zip(row.contexts, row.starts, strict=True)
                for reply, good in opinions_of(self.contexts[index])
            ]
            places_N = torch.tensor([place for place, _ in opinions], device=device)
            good_N = torch.tensor([good for _, good in opinions], device=device)
            losses = kto_losses(ratios_N[places_N], good_N, kl, beta=chosen.beta, weights=chosen.weights)
            return losses, chosen.beta * torch.where(good_N, 1.0, -1.0) * (ratios_N[places_N] - kl)
        pairs = [
            (start + better, start + worse)
            for index, start in zip(row.contexts, row.starts, strict=True)
            for better, worse in self.contexts[index].pairs
        ]
        if not pairs:
            return None, ratios_N[:0]
        better, worse = torch.tensor(pairs, device=device).T
        shares_P = torch.tensor([share for index in row.contexts for share in self.contexts[index].shares]).to(ratios_N)
        losses = self._pair_losses(ratios_N, row.lengths_N, better, worse)
        if bool((shares_P < 1).any()):  # the expected loss of a label that may be wrong
            losses = shares_P * losses + (1 - shares_P) * self._pair_losses(ratios_N, row.lengths_N, worse, better)
        values_N = ratios_N if chosen.loss == "dpo" else ratios_N / row.lengths_N
        return losses, chosen.beta * (values_N[better] - values_N[worse])

    def _pair_losses(self, ratios_N: Tensor, lengths_N: Tensor, better: Tensor, worse: Tensor) -> Tensor:
        """(P,) of pairs of places among N replies."""
        chosen = self.settings
        if chosen.loss == "dpo":
            return dpo_losses(ratios_N[better], ratios_N[worse], beta=chosen.beta)
        if chosen.loss == "simpo":
            means_N = ratios_N / lengths_N
            return simpo_losses(means_N[better], means_N[worse], beta=chosen.beta, gamma=chosen.gamma)
        return ipo_losses(
            ratios_N[better],
            ratios_N[worse],
            better_lengths_P=lengths_N[better],
            worse_lengths_P=lengths_N[worse],
            beta=chosen.beta,
        )

    def _estimate_kl(self, indices: Sequence[int]) -> Tensor:
        """KTO's estimate for this batch, from replies to other prompts; 0 for the other losses."""
        if not self.mismatched:
            return torch.zeros(())
        ratios = []
        with torch.no_grad():
            for row in reply_rows(
                self.mismatched, indices, row_tokens=self.settings.row_tokens, device=self.roles.device
            ):
                known = [value for index in row.contexts for value in self.reference_mismatched[index]]
                ratios.append(reply_logprobs(self.roles, POLICY, row).cpu() - torch.tensor(known))
        return mismatch_kl(torch.cat(ratios))

    def _count_terms(self, index: int) -> int:
        context = self.contexts[index]
        return len(context.ratings) if self.settings.loss == "kto" else len(context.pairs)


class ReferenceLogprobs:
    """Summed log-probabilities of replies under the reference, on disk between trainings."""

    def __init__(self, roles: Roles, folder: Path) -> None:
        self.roles = roles
        dtype = str(roles.dtype).removeprefix("torch.")
        self.file = folder / f"{roles.checksum()[:32]}-{dtype}.safetensors"
        self.known: dict[bytes, float] = {}
        try:
            kept = load_file(self.file)
            self.known = dict(zip((row.tobytes() for row in kept["keys"]), kept["sums"].tolist(), strict=True))
        except (OSError, SafetensorError, KeyError, ValueError):
            pass  # there is none, or a crash cut it off: it is computed anew

    def of(self, contexts: Sequence[EncodedContext], *, row_tokens: int) -> list[list[float]]:
        """For each context its replies' sums; computes what is not known yet, with all adapters off."""
        keys = [[_key(context, reply) for reply in range(len(context.samples))] for context in contexts]
        missing = [index for index, own in enumerate(keys) if not all(key in self.known for key in own)]
        with torch.no_grad():
            for row in reply_rows(contexts, missing, row_tokens=row_tokens, device=self.roles.device):
                sums = iter(reply_logprobs(self.roles, None, row).tolist())
                for index in row.contexts:
                    for key in keys[index]:
                        self.known[key] = next(sums)
        if missing:
            self._write()
        return [[self.known[key] for key in own] for own in keys]

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {
            "keys": np.frombuffer(b"".join(self.known), dtype=np.uint8).reshape(-1, 32),
            "sums": np.asarray(list(self.known.values()), dtype=np.float32),
        }
        with disk_errors(), replacing(self.file) as temporary:
            save_file(arrays, temporary)


def reply_logprobs(roles: Roles, role: str | None, row: ContextRow) -> Tensor:
    """Summed log-probabilities (N,) of the row's replies, float32."""
    with roles.use(role) as network, shared_row_attention(network), autocast(roles):
        logits_LV = target_logits(network, row.row)
    logprobs_L = log_likelihood(logits_LV, row.row.targets_L)
    return torch.zeros(len(row.lengths_N), device=roles.device).index_add(0, row.owner_L, logprobs_L)


def with_pairs(context: JudgedContext) -> JudgedContext:
    """The context with those replies only that stand in a pair."""
    kept = sorted({place for pair in context.pairs for place in pair})
    return replace(only_replies(context, kept), ratings=(), bad=())


def with_opinions(context: JudgedContext) -> JudgedContext:
    """The context with those replies only that are clearly good or bad, as one rating each: 5 or 1.

    Good: rated 4 or more on average, or preferred; bad: rated 2 or less, flagged, or beaten. A preference of which an
    AI judge is less than 75 % sure says neither.
    """
    said: dict[int, set[bool]] = {}
    ratings: dict[int, list[int]] = {}
    for reply, _, value in context.ratings:
        ratings.setdefault(reply, []).append(value)
    for reply, values in ratings.items():
        mean = sum(values) / len(values)
        if mean >= _GOOD or mean <= _BAD:
            said.setdefault(reply, set()).add(mean >= _GOOD)
    for better, worse in context.pairs:
        if context.soft.get((better, worse), 1.0) >= _SURE:
            said.setdefault(better, set()).add(True)
            said.setdefault(worse, set()).add(False)
    for reply in context.bad:
        said.setdefault(reply, set()).add(False)
    clear = {reply: opinion == {True} for reply, opinion in sorted(said.items()) if len(opinion) == 1}
    opinions = tuple((reply, OPINION, 5 if good else 1) for reply, good in clear.items())
    return only_replies(replace(context, pairs=(), soft={}, bad=(), ratings=opinions), list(clear))


def opinions_of(context: EncodedContext) -> list[tuple[int, bool]]:
    """The replies of a context that `with_opinions` made, and whether each is good."""
    return [(reply, value >= _GOOD) for reply, _, value in context.ratings]


def _mismatch_replies(contexts: Sequence[EncodedContext]) -> list[EncodedContext]:
    """Every prompt with the replies of the context before it; nothing where there is only one."""
    if len(contexts) < 2:
        return []
    made = []
    for index, context in enumerate(contexts):
        others = contexts[index - 1].samples
        samples = tuple(replace(other, prompt_ids=context.samples[0].prompt_ids) for other in others)
        made.append(replace(context, samples=samples, pairs=(), soft={}, ratings=(), bad=()))
    return made


def _key(context: EncodedContext, reply: int) -> bytes:
    sample = context.samples[reply]
    digest = hashlib.sha256(np.asarray(sample.prompt_ids, dtype=np.int64).tobytes())
    digest.update(b"reply")
    digest.update(np.asarray(sample.reply_ids, dtype=np.int64).tobytes())
    return digest.digest()
