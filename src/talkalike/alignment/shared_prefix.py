"""Attention of many replies to few prompts: a prompt's keys and values are kept once, whatever is written after it.

Prompts are read packed in one row. Then all replies take a step together: the tokens of the replies to one prompt
lie behind it, and one call attends for all of them, with a mask that hides the replies from each other. A cached token
is thus read once and not once for each reply. Source of the idea: Juravsky et al. 2024, Hydragen (arXiv:2402.05099),
there with two calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from talkalike.models.attention import Limits, attend, register_attention
from talkalike.models.packed import attend_within_documents

SHARED_PREFIX_ATTENTION = "talkalike_shared_prefix"


class SharedPrefix:
    """The key-value cache of P prompts and of k replies to each, of at most `max_tokens` tokens.

    Keys and values of a layer: (P, heads, C, width). A prompt comes first, padded to S, the longest one; then the first
    tokens of its k replies, then their second ones: C = S + max_tokens * k.
    """

    def __init__(self, lengths: Sequence[int], *, group_size: int, max_tokens: int, device: torch.device) -> None:
        self.lengths = tuple(lengths)
        self.group_size = group_size
        self.written = 0  # tokens every running reply has in its memory once the current step is through
        self.set_running(torch.arange(len(lengths) * group_size, device=device))
        self._longest = max(lengths)
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        lengths_P1 = torch.tensor(self.lengths, device=device)[:, None]
        place_S, place_R = (
            torch.arange(self._longest, device=device),
            torch.arange(max_tokens * group_size, device=device),
        )
        real_PS = (place_S < lengths_P1)[:, None].expand(-1, group_size, -1)
        own_KR = place_R % group_size == torch.arange(group_size, device=device)[:, None]
        seen_PKC = torch.cat([real_PS, own_KR.expand(len(lengths), -1, -1)], dim=2)
        self._hidden_PKC = torch.zeros(seen_PKC.shape, device=device).masked_fill_(~seen_PKC, float("-inf"))
        behind_PR = lengths_P1 + place_R // group_size
        self._positions_PC = torch.cat([place_S.expand(len(lengths), -1), behind_PR], dim=1)
        self._lengths_P1 = lengths_P1
        self._masks: dict[tuple[int, torch.dtype], Tensor] = {}

    def set_running(self, running_N: Tensor) -> None:
        """Sets which of the P * k replies are still being written."""
        self.running_N = running_N
        self.all_running = len(running_N) == len(self.lengths) * self.group_size  # no reply has ended yet

    @property
    def prompt_bytes(self) -> int:
        """Memory of the prompts' keys and values."""
        kept = (*self._keys.values(), *self._values.values())
        return sum(states[:, :, : self._longest].nbytes for states in kept)

    def keep_prompts(self, layer: int, key_BHTD: Tensor, value_BHTD: Tensor) -> None:
        """Takes one layer's keys and values of the packed row of all prompts."""
        heads, width = key_BHTD.shape[1], key_BHTD.shape[3]
        for kept, states in ((self._keys, key_BHTD), (self._values, value_BHTD)):
            buffer = states.new_zeros(len(self.lengths), heads, self._positions_PC.shape[1], width)
            for place, piece in enumerate(states[0].split(list(self.lengths), dim=1)):
                buffer[place, :, : piece.shape[1]] = piece
            kept[layer] = buffer

    def append(self, layer: int, key_BHND: Tensor, value_BHND: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one token of every running reply; returns keys and values of all that is written by now."""
        start, stop = (self._longest + (self.written - both) * self.group_size for both in (1, 0))
        shape = (len(self.lengths), self.group_size, *key_BHND.shape[1::2])
        for buffer, states in ((self._keys[layer], key_BHND), (self._values[layer], value_BHND)):
            states_NHD = states[0].transpose(0, 1)
            if self.all_running:
                buffer[:, :, start:stop] = states_NHD.view(shape).transpose(1, 2)
            else:
                prompt_N, sibling_N = self.running_N // self.group_size, self.running_N % self.group_size
                buffer[prompt_N, :, start + sibling_N] = states_NHD
        return self._keys[layer][:, :, :stop], self._values[layer][:, :, :stop]

    def mask(self, *, heads: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """0 where seen and minus infinity where not, (P, 1, heads * k, C): of `heads` heads that share their keys."""
        stop = self._longest + self.written * self.group_size
        if (heads, dtype) not in self._masks:
            self._masks[heads, dtype] = self._hidden_PKC.to(dtype).repeat(1, heads, 1)[:, None]
        mask_P1QC = self._masks[heads, dtype][..., :stop]
        if window is not None:
            gone_PC = self._positions_PC[:, :stop] <= self._lengths_P1 + self.written - 1 - window
            mask_P1QC = mask_P1QC.masked_fill(gone_PC[:, None, None], float("-inf"))
        return mask_P1QC


@register_attention(SHARED_PREFIX_ATTENTION)
def _attend_to_both(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, layer: int, options: Mapping[str, Any]
) -> Tensor:
    """Reads the prompts while nothing is written, then one token of every running reply. No dropout."""
    memory: SharedPrefix = options["memory"]
    if memory.written == 0:
        memory.keep_prompts(layer, key_BHTD, value_BHTD)
        documents = {**options, "document_lengths": memory.lengths, "dropout": 0.0}
        return attend_within_documents(query_BHTD, key_BHTD, value_BHTD, layer, documents)
    key_PGCD, value_PGCD = memory.append(layer, key_BHTD, value_BHTD)
    return _step(memory, key_PGCD, value_PGCD, query_BHTD, Limits.of(query_BHTD, options))


def _step(memory: SharedPrefix, key_PGCD: Tensor, value_PGCD: Tensor, query_BHND: Tensor, limits: Limits) -> Tensor:
    """One token of each of N running replies; returns (1, N, heads, width)."""
    heads, width = query_BHND.shape[1], query_BHND.shape[3]
    prompts, groups, group_size = *key_PGCD.shape[:2], memory.group_size
    sharing = heads // groups
    query_NHD = query_BHND[0].transpose(0, 1)
    if not memory.all_running:  # replies that have ended leave holes: the products stay rectangular
        holes = query_NHD.new_zeros(prompts * group_size, heads, width)
        query_NHD = holes.index_copy(0, memory.running_N, query_NHD)
    # heads of a group ask the same keys: (P, groups, heads per group * k, width)
    query_PGQD = query_NHD.reshape(prompts, group_size, groups, sharing, width).permute(0, 2, 3, 1, 4).flatten(2, 3)
    mask_P1QC = memory.mask(heads=sharing, window=limits.window, dtype=query_PGQD.dtype)
    attended = attend(query_PGQD, key_PGCD, value_PGCD, visible=mask_P1QC, limits=limits)
    attended = attended.view(prompts, groups, sharing, group_size, width).permute(0, 3, 1, 2, 4)
    attended_NHD = attended.reshape(prompts * group_size, heads, width)
    return attended_NHD[memory.running_N][None] if not memory.all_running else attended_NHD[None]
