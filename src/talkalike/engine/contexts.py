"""A model with its memory of one reply's tokens: feed tokens in, get the logits of what comes next.

Two kinds, one interface: causal models (prompt and reply are one sequence, remembered between replies) and
encoder-decoder models (the prompt goes into the encoder, the decoder starts empty for each reply).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from talkalike.engine.cache import PrefixCache
from talkalike.engine.passes import Pass
from talkalike.models.load import LoadedModel

Feeding = Generator[Pass, Tensor | None, Tensor]
"""Yields the passes it needs and is sent their logits; between them other conversations take their turn."""


class Context(Protocol):
    """What a burst is written on. `length` counts the tokens the model has read."""

    bursts: bool  # whether the next turn's header can follow in the same sequence

    @property
    def length(self) -> int:
        """Tokens read so far, the soft prompt included."""
        ...

    def prefill(self, prompt_ids: list[int]) -> Feeding:
        """Reads the prompt; returns the logits (1, V; float32, CPU) of the first reply token."""
        ...

    def feed(self, ids: list[int], rows: int = 1) -> Feeding:
        """Reads more tokens; the logits after each of the last `rows` of them (rows, V; float32, CPU)."""
        ...

    def forget_last(self, count: int) -> None:
        """Takes the last tokens back."""
        ...


class CausalContext:
    """A causal model over a prefix cache; its passes are run together with other conversations'."""

    bursts = True

    def __init__(self, cache: PrefixCache, *, chunk: int, adapter: str = "") -> None:
        self._chunk = chunk
        self._adapter = adapter
        self.cache = cache

    @property
    def length(self) -> int:
        """Tokens read so far, the soft prompt included."""
        return self.cache.length

    def prefill(self, prompt_ids: list[int]) -> Feeding:
        """Reads what the cache does not hold yet, at least the last token."""
        start = self.cache.keep_common_prefix(prompt_ids[:-1])
        while len(prompt_ids) - start > self._chunk:
            yield from self.feed(prompt_ids[start : start + self._chunk])
            start += self._chunk
        return (yield from self.feed(prompt_ids[start:]))

    def feed(self, ids: list[int], rows: int = 1) -> Feeding:
        """One pass; only the last `rows` positions go through the vocabulary head."""
        logits_RV = yield Pass(cache=self.cache, ids=ids, rows=rows, adapter=self._adapter)
        assert logits_RV is not None
        return logits_RV

    def forget_last(self, count: int) -> None:
        """Crops the cache by that many tokens."""
        self.cache.crop(len(self.cache.tokens) - count)


class EncoderDecoderContext:
    """An encoder-decoder model: one message per reply, nothing kept between replies."""

    bursts = False

    def __init__(self, loaded: LoadedModel) -> None:
        self._model: Any = loaded.model
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._encoded: Any = None
        self._length = 0

    @property
    def length(self) -> int:
        """Decoder tokens read so far, its start token included."""
        return self._length

    def prefill(self, prompt_ids: list[int]) -> Feeding:
        """Encodes the prompt, then feeds the decoder's start token."""
        ids_1T = torch.tensor([prompt_ids], device=self._model.device)
        self._encoded = self._model.get_encoder()(input_ids=ids_1T, return_dict=True)
        return (yield from self.feed([self._model.config.decoder_start_token_id]))

    def feed(self, ids: list[int], rows: int = 1) -> Feeding:
        """One decoder pass over the encoded prompt, on its own."""
        yield from ()
        output = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([ids], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._length += len(ids)
        return output.logits[0, -rows:].float().cpu()

    def forget_last(self, count: int) -> None:
        """Raises: an encoder-decoder writes one message, so no header is ever taken back."""
        raise AssertionError("an encoder-decoder context cannot be shortened")
