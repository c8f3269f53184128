"""How the next token is chosen: pure functions on one row of logits (shape V), in the field's usual order.

Repetition penalty, temperature, top-k, top-p, min-p, then one draw. The definitions are those of transformers'
logits processors (a test holds both equal); top-p sorts only as many candidates as it needs, because a full sort of
the vocabulary would cost more than a small model's forward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from talkalike.engine.protocol import Sampling

_FIRST_CANDIDATES = 256


def penalise_repetition(logits_V: Tensor, seen_V: Tensor, penalty: float) -> Tensor:
    """Tokens already used (`seen_V` true): positive logits are divided by the penalty, negative ones multiplied.

    Source: Keskar et al. 2019, CTRL, section 4.1, in the sign-aware form everyone uses since.
    """
    if penalty == 1.0:
        return logits_V
    penalised_V = torch.where(logits_V > 0, logits_V / penalty, logits_V * penalty)
    return torch.where(seen_V, penalised_V, logits_V)


def candidates(logits_V: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn and their probabilities (both shape K, sum 1), after every filter.

    Temperature must be above 0. At least one token is always left.
    """
    scaled_V = logits_V / sampling.temperature
    ids_K = None
    if 0 < sampling.top_k < scaled_V.shape[-1]:
        threshold = torch.topk(scaled_V, sampling.top_k).values[-1]
        ids_K = (scaled_V >= threshold).nonzero().squeeze(-1)  # ties with the k-th stay, as everywhere else
        scaled_V = scaled_V[ids_K]
    if sampling.top_p < 1.0:
        kept_N = _nucleus(torch.softmax(scaled_V, dim=-1), sampling.top_p)
        scaled_V = scaled_V[kept_N]
        ids_K = kept_N if ids_K is None else ids_K[kept_N]
    probs_K = torch.softmax(scaled_V, dim=-1)
    if sampling.min_p > 0.0:
        kept_N = (probs_K >= sampling.min_p * probs_K.max()).nonzero().squeeze(-1)
        probs_K = probs_K[kept_N] / probs_K[kept_N].sum()
        ids_K = kept_N if ids_K is None else ids_K[kept_N]
    return (torch.arange(probs_K.shape[-1]) if ids_K is None else ids_K), probs_K


def choose(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token: the most probable at temperature 0, else a draw from `candidates`."""
    if sampling.temperature == 0.0:
        return int(logits_V.argmax())
    ids_K, probs_K = candidates(logits_V, sampling)
    reached_K = probs_K.cumsum(-1)  # one random number; torch.multinomial would draw one for each candidate
    drawn = torch.rand((), generator=generator) * reached_K[-1]
    return int(ids_K[torch.searchsorted(reached_K, drawn, right=True).clamp(max=len(ids_K) - 1)])


def log_probability(logits_V: Tensor, token: int) -> float:
    """The token's natural-log probability under the model itself: temperature 1, no filters."""
    return float(logits_V[token] - torch.logsumexp(logits_V, dim=-1))


def sequence_probability(logits_NV: Tensor, tokens: list[int], temperature: float) -> float:
    """Probability of N given tokens in a row, each under its own row of logits (temperature 0 counts as 1)."""
    logprobs_NV = torch.log_softmax(logits_NV / (temperature or 1.0), dim=-1)
    return float(logprobs_NV[torch.arange(len(tokens)), torch.tensor(tokens)].sum().exp())


def _nucleus(probs_N: Tensor, top_p: float) -> Tensor:
    """Indices of the fewest most probable tokens that together reach `top_p`, most probable first; one at least."""
    count = min(_FIRST_CANDIDATES, probs_N.shape[-1])
    while True:
        top = torch.topk(probs_N, count)
        before_K = top.values.cumsum(-1) - top.values  # mass of the more probable ones
        if count == probs_N.shape[-1] or before_K[-1] >= top_p:
            return top.indices[: max(1, int((before_K < top_p).sum()))]
        count = min(count * 8, probs_N.shape[-1])
