"""Architectures that attend in a way of their own (BLOOM, Falcon, GPT-J, MPT, ...): one conversation at a time.

Our rows hold several conversations, kept apart by a way of attending that transformers calls in most architectures. In
those that do not call it, the conversations of one row would see each other. These read each conversation alone, by
transformers' own forward pass: slower, and equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache


def has_own_attention(network: PreTrainedModel) -> bool:
    """Whether the architecture ignores the ways of attending that are registered with transformers."""
    return not getattr(network, "_supports_attention_backend", True)


def logits_apart(network: PreTrainedModel, given: Tensor, lengths: Sequence[int], kept_L: Tensor) -> Tensor:
    """Logits (L, vocabulary) after the places `kept_L` of a row whose documents have these lengths.

    `given`: token ids (T,), or embeddings (T, width).
    """
    found, start = [], 0
    for document in given.split(list(lengths)):
        inside_L = kept_L[(kept_L >= start) & (kept_L < start + len(document))] - start
        start += len(document)
        output = cast(Any, network)(**_inputs(document), use_cache=False)
        found.append(output.logits[0, inside_L])
    return torch.cat(found)


class OwnMemory:
    """What such a network remembers of one sequence: its keys and values, or, where it keeps none, the sequence."""

    def __init__(self, network: PreTrainedModel) -> None:
        self._network: Any = network
        keeps = "past_key_values" in inspect.signature(network.forward).parameters
        self._cache = DynamicCache(config=network.config) if keeps else None
        self._given: Tensor | None = None

    def read(self, given: Tensor, rows: int) -> Tensor:
        """Reads more ids (T,) or embeddings (T, width); the logits (rows, vocabulary) after the last of them."""
        if self._cache is not None:
            output = self._network(**_inputs(given), past_key_values=self._cache, use_cache=True)
        else:
            self._given = given if self._given is None else torch.cat([self._given, given])
            output = self._network(**_inputs(self._given))
        return cast(Tensor, output.logits[0, -rows:])

    def crop(self, length: int) -> None:
        """Forgets all positions after the first `length`."""
        if self._cache is not None:
            too_many = self._cache.get_seq_length() - length
            if too_many > 0:
                self._cache.crop(-too_many)
        elif self._given is not None:
            self._given = self._given[:length]

    @property
    def nbytes(self) -> int:
        """Bytes that keys and values, or the kept sequence, take."""
        if self._cache is None:
            return 0 if self._given is None else self._given.nbytes
        layers = (layer for layer in self._cache.layers if layer.is_initialized)
        return sum(cast(Tensor, states).nbytes for layer in layers for states in (layer.keys, layer.values))


def _inputs(given: Tensor) -> dict[str, Tensor]:
    return {"inputs_embeds" if given.is_floating_point() else "input_ids": given[None]}
