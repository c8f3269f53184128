"""A model with its memory of one reply's tokens: feed tokens in, get the logits of what comes next.

Two kinds, one interface: causal models (prompt and reply are one sequence, remembered between replies) and
encoder-decoder models (the prompt goes into the encoder, the decoder starts empty for each reply).
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from talkalike.engine.cache import PrefixCache
from talkalike.models.load import LoadedModel


class Context(Protocol):
    """What a burst is written on. `length` counts the tokens the model has read."""

    bursts: bool  # whether the next turn's header can follow in the same sequence

    @property
    def length(self) -> int:
        """Tokens read so far, the soft prompt included."""
        ...

    def prefill(self, prompt_ids: list[int]) -> Generator[None, None, Tensor]:
        """Reads the prompt, yielding between chunks; returns the logits (V, float32, CPU) of the first reply token."""
        ...

    def feed(self, ids: list[int], rows: int = 1) -> Tensor:
        """Reads more tokens; the logits after each of the last `rows` of them (rows, V; float32, CPU)."""
        ...

    def forget_last(self, count: int) -> None:
        """Takes the last tokens back."""
        ...


class CausalContext:
    """A causal model over a prefix cache. `intact` turns false when a forward pass failed half way."""

    bursts = True

    def __init__(self, loaded: LoadedModel, cache: PrefixCache, *, chunk: int) -> None:
        self._model: Any = loaded.model
        self._soft_prompt_PD = loaded.soft_prompt_PD
        self._chunk = chunk
        self._keeps_logits = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self.cache = cache
        self.intact = True

    @property
    def length(self) -> int:
        """Tokens read so far, the soft prompt included."""
        return self.cache.offset + len(self.cache.tokens)

    def prefill(self, prompt_ids: list[int]) -> Generator[None, None, Tensor]:
        """Reads what the cache does not hold yet, at least the last token."""
        start = self.cache.keep_common_prefix(prompt_ids[:-1])
        while len(prompt_ids) - start > self._chunk:
            self.feed(prompt_ids[start : start + self._chunk])
            start += self._chunk
            yield
        return self.feed(prompt_ids[start:])[-1]

    def feed(self, ids: list[int], rows: int = 1) -> Tensor:
        """One forward pass; only the last `rows` positions go through the vocabulary head."""
        self.intact = False
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids], device=self._model.device)}
        if self._soft_prompt_PD is not None and not self.cache.offset:
            embedded_TD = self._model.get_input_embeddings()(inputs["input_ids"][0])
            soft_PD = self._soft_prompt_PD.to(embedded_TD)
            inputs = {"inputs_embeds": torch.cat((soft_PD, embedded_TD)).unsqueeze(0)}
            self.cache.offset = len(soft_PD)
        if self._keeps_logits:
            inputs["logits_to_keep"] = rows
        logits_TV = self._model(**inputs, past_key_values=self.cache.kv, use_cache=True).logits[0, -rows:]
        self.cache.tokens += ids
        self.intact = True
        return logits_TV.float().cpu()

    def forget_last(self, count: int) -> None:
        """Crops the cache."""
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

    def prefill(self, prompt_ids: list[int]) -> Generator[None, None, Tensor]:
        """Encodes the prompt, then feeds the decoder's start token."""
        ids_1T = torch.tensor([prompt_ids], device=self._model.device)
        self._encoded = self._model.get_encoder()(input_ids=ids_1T, return_dict=True)
        yield
        return self.feed([self._model.config.decoder_start_token_id])[-1]

    def feed(self, ids: list[int], rows: int = 1) -> Tensor:
        """One decoder pass over the encoded prompt."""
        output = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([ids], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._length += len(ids)
        return output.logits[0, -rows:].float().cpu()

    def forget_last(self, count: int) -> None:
        """Never needed: no next header is tried."""
        raise AssertionError("an encoder-decoder context cannot be shortened")
