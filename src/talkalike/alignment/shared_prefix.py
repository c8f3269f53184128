"""Attention of many replies to few prompts: a prompt's keys and values are kept once, whatever is written after it.

Prompts are read packed in one row. Then all replies take a step together: the replies to one prompt ask its memory in
one matrix product, and each asks its own memory of what it wrote. Both scores share one softmax, so the result is that
of ordinary attention. Source: Juravsky et al. 2024, Hydragen (arXiv:2402.05099).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from talkalike.models.packed import PACKED_ATTENTION

SHARED_PREFIX_ATTENTION = "talkalike_shared_prefix"


@dataclass(slots=True)
class _Layer:
    """Prompts: (P, heads, S, width), padded to the longest prompt. Replies: (P * k, heads, room, width)."""

    prompt_keys: Tensor
    prompt_values: Tensor
    reply_keys: Tensor
    reply_values: Tensor


class SharedPrefix:
    """The memory of P prompts and of k replies to each, of at most `room` tokens."""

    def __init__(self, lengths: Sequence[int], *, samples: int, room: int, device: torch.device) -> None:
        self.lengths = tuple(lengths)
        self.samples = samples
        self.written = 0  # tokens every running reply has in its memory once the current step is through
        self.running_N = torch.arange(len(lengths) * samples, device=device)  # which of the P * k replies are asked
        self._room = room
        self._layers: dict[int, _Layer] = {}
        self._lengths_P = torch.tensor(self.lengths, device=device)

    @property
    def everybody(self) -> bool:
        """Whether no reply has ended yet."""
        return len(self.running_N) == len(self.lengths) * self.samples

    @property
    def prompt_bytes(self) -> int:
        """Memory of the prompts' keys and values."""
        return sum(layer.prompt_keys.nbytes + layer.prompt_values.nbytes for layer in self._layers.values())

    def keep_prompts(self, layer: int, key_BHTD: Tensor, value_BHTD: Tensor) -> None:
        """Takes one layer's keys and values of the packed row of all prompts."""
        heads, width = key_BHTD.shape[1], key_BHTD.shape[3]
        prompts, longest = len(self.lengths), max(self.lengths)
        kept = []
        for states in (key_BHTD, value_BHTD):
            padded = states.new_zeros(prompts, heads, longest, width)
            for place, piece in enumerate(states[0].split(list(self.lengths), dim=1)):
                padded[place, :, : piece.shape[1]] = piece
            kept.append(padded)
        room = (prompts * self.samples, heads, self._room, width)
        self._layers[layer] = _Layer(kept[0], kept[1], key_BHTD.new_zeros(room), value_BHTD.new_zeros(room))

    def append(self, layer: int, key_BHND: Tensor, value_BHND: Tensor) -> _Layer:
        """Adds one token of every running reply."""
        memory, place = self._layers[layer], self.written - 1
        for buffer, states in ((memory.reply_keys, key_BHND), (memory.reply_values, value_BHND)):
            if self.everybody:
                buffer[:, :, place] = states[0].transpose(0, 1)
            else:
                buffer[self.running_N, :, place] = states[0].transpose(0, 1)
        return memory

    def hidden_from(self, window: int | None) -> Tensor | None:
        """What a new token must not see: (P, 1, 1, 1, S + written), true where hidden; None if everything is seen."""
        longest = max(self.lengths)
        if window is None and min(self.lengths) == longest:
            return None
        device = self._lengths_P.device
        place_S = torch.arange(longest, device=device)
        hidden_PS = place_S >= self._lengths_P[:, None]
        hidden_T = torch.zeros(self.written, dtype=torch.bool, device=device)
        if window is not None:
            hidden_PS = hidden_PS | (place_S <= self._lengths_P[:, None] + self.written - 1 - window)
            hidden_T = torch.arange(self.written, device=device) <= self.written - 1 - window
        hidden_PU = torch.cat([hidden_PS, hidden_T.expand(len(self.lengths), -1)], dim=1)
        return hidden_PU[:, None, None, None, :]


def _attend_to_both(  # signature: transformers
    module: nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Reads the prompts while nothing is written, then one token of every running reply."""
    memory: SharedPrefix = options.pop("memory")
    layer: Any = module.layer_idx
    if memory.written == 0:
        memory.keep_prompts(layer, key_BHTD, value_BHTD)
        packed = AttentionInterface()[PACKED_ATTENTION]
        attended: tuple[Tensor, None] = packed(
            module, query_BHTD, key_BHTD, value_BHTD, None, scaling=scaling, document_lengths=memory.lengths, **options
        )
        return attended
    states = memory.append(layer, key_BHTD, value_BHTD)
    return _step(memory, states, query_BHTD, scaling, options), None


def _step(
    memory: SharedPrefix, states: _Layer, query_BHND: Tensor, scaling: float | None, options: dict[str, Any]
) -> Tensor:
    """One token of each of N running replies; returns (1, N, heads, width)."""
    heads, width = query_BHND.shape[1], query_BHND.shape[3]
    groups = states.prompt_keys.shape[1]
    prompts, samples, written = len(memory.lengths), memory.samples, memory.written
    query_NHD = query_BHND[0].transpose(0, 1)
    if not memory.everybody:  # replies that have ended leave holes: the products stay rectangular
        holes = query_NHD.new_zeros(prompts * samples, heads, width)
        query_NHD = holes.index_copy(0, memory.running_N, query_NHD)
    # heads of a group ask the same keys: (P, groups, heads per group, k, width)
    query_PGHKD = query_NHD.view(prompts, samples, groups, heads // groups, width).permute(0, 2, 3, 1, 4)
    query_PGHKD = query_PGHKD * (scaling if scaling is not None else width**-0.5)
    shape = (prompts, groups, heads // groups, samples)
    prompt_scores = (query_PGHKD.reshape(prompts, groups, -1, width) @ states.prompt_keys.transpose(2, 3)).view(
        *shape, -1
    )
    own_query = query_PGHKD.permute(0, 3, 1, 2, 4).reshape(prompts * samples, groups, -1, width)
    own_scores = own_query @ states.reply_keys[:, :, :written].transpose(2, 3)
    own_scores = own_scores.view(prompts, samples, groups, heads // groups, written).permute(0, 2, 3, 1, 4)
    scores = torch.cat([prompt_scores, own_scores], dim=-1).float()
    if options.get("softcap") is not None:
        scores = options["softcap"] * torch.tanh(scores / options["softcap"])
    hidden = memory.hidden_from(options.get("sliding_window"))
    if hidden is not None:
        scores = scores.masked_fill(hidden, float("-inf"))
    weights = scores.softmax(dim=-1).to(query_BHND.dtype)
    longest = states.prompt_keys.shape[2]
    prompt_weights = weights[..., :longest].reshape(prompts, groups, -1, longest)
    from_prompt = (prompt_weights @ states.prompt_values).view(*shape, width).permute(0, 3, 1, 2, 4)
    own_weights = weights[..., longest:].permute(0, 3, 1, 2, 4).reshape(prompts * samples, groups, -1, written)
    from_own = (own_weights @ states.reply_values[:, :, :written]).view(
        prompts, samples, groups, heads // groups, width
    )
    attended_NHD = (from_prompt + from_own).reshape(prompts * samples, heads, width)
    return attended_NHD[memory.running_N][None] if not memory.everybody else attended_NHD[None]


AttentionInterface.register(SHARED_PREFIX_ATTENTION, _attend_to_both)
