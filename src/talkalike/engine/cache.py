"""The prefix cache: what the model computed for a conversation's earlier tokens, kept for its next message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.eyes.seen import IMAGE
from talkalike.models.own_attention import OwnMemory, has_own_attention

_BLOCK = 64  # buffers grow by whole blocks of this many positions
_CROPPABLE = {"full_attention", "sliding_attention", "chunked_attention"}


class GrowingLayer:
    """One layer's keys and values (shape 1, heads, positions, head width) in buffers with room to spare.

    transformers' own layer copies everything for each token; this one writes in place and grows by half.
    """

    def __init__(self) -> None:
        self._keys = self._values = torch.empty(0)
        self.length = 0

    def append(self, key_BHTD: Tensor, value_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Appends the new positions and returns all of them, as views."""
        end = self.length + key_BHTD.shape[-2]
        if not self._keys.numel():
            self._keys, self._values = _buffer_like(key_BHTD, end), _buffer_like(value_BHTD, end)
        elif end > self._keys.shape[-2]:
            room = max(end, self.length + self.length // 2)
            self._keys = _grown(self._keys, self.length, room)
            self._values = _grown(self._values, self.length, room)
        self._keys[:, :, self.length : end] = key_BHTD
        self._values[:, :, self.length : end] = value_BHTD
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def crop(self, length: int) -> None:
        """Forgets all positions after the first `length`."""
        self.length = min(self.length, length)

    def copied(self) -> tuple[Tensor, Tensor]:
        """Keys and values (heads, positions, head width), without the spare room, on the CPU."""
        return tuple(states[0, :, : self.length].to("cpu", copy=True) for states in (self._keys, self._values))  # type: ignore[return-value]

    def restore(self, key_HTD: Tensor, value_HTD: Tensor) -> None:
        """Begins with what `copied` returned."""
        self.append(key_HTD[None], value_HTD[None])

    @property
    def nbytes(self) -> int:
        """Memory held, spare room included."""
        return self._keys.nbytes + self._values.nbytes


@dataclass(frozen=True, slots=True)
class PicturePlace:
    """Which place of which picture, by its hash: all pictures stand among the tokens as the same one."""

    picture: str
    place: int


class PrefixCache:
    """A model's memory of one token sequence: `tokens` after the `offset` positions of a soft prompt, if any.

    `places`: what stands where pictures are among the tokens, in their order.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        decoder = network.config.get_text_config(decoder=True)
        unknown = set(getattr(decoder, "layer_types", None) or ()) - _CROPPABLE
        if getattr(network, "_is_stateful", False):
            unknown.add("one state instead of keys and values")
        if unknown:
            raise UserError(
                f"This model has layers whose memory cannot be shortened ({', '.join(sorted(unknown))}).",
                hint="Choose a model with ordinary attention layers, or serve it elsewhere and use the remote engine.",
            )
        self.own = OwnMemory(network) if has_own_attention(network) else None
        self.tokens: list[int] = []
        self.places: list[PicturePlace] = []
        self.offset = 0
        self.kept = 0  # of the tokens, how many are on disk (`engine.warm`)
        self.intact = True  # false while a forward pass writes, and for good if it failed
        self._network = network
        self._layers = [GrowingLayer() for _ in range(decoder.num_hidden_layers)]

    @property
    def length(self) -> int:
        """Positions held, the soft prompt's included."""
        return self.offset + len(self.tokens)

    def append(self, layer: int, key_BHTD: Tensor, value_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Adds new positions to one layer and returns all of its keys and values."""
        return self._layers[layer].append(key_BHTD, value_BHTD)

    def crop(self, length: int) -> None:
        """Keeps the first `length` tokens (and the soft prompt)."""
        for layer in self._layers:
            layer.crop(self.offset + length)
        if self.own is not None:
            self.own.crop(self.offset + length)
        if gone := self.tokens[length:].count(IMAGE):
            del self.places[-gone:]
        del self.tokens[length:]
        self.kept = min(self.kept, length)

    def common_prefix(self, wanted: list[int], places: Sequence[PicturePlace] = ()) -> int:
        """How many tokens it shares with `wanted`; `places`: what stands where pictures are in that."""
        pictures = 0
        for index, (held, token) in enumerate(zip(self.tokens, wanted, strict=False)):
            if held != token:
                return index
            if token == IMAGE:
                if self.places[pictures : pictures + 1] != list(places[pictures : pictures + 1]):
                    return index
                pictures += 1
        return min(len(self.tokens), len(wanted))

    def keep_common_prefix(self, wanted: list[int], places: Sequence[PicturePlace] = ()) -> int:
        """Crops to the longest prefix shared with `wanted` and its pictures, and tells its length."""
        shared = self.common_prefix(wanted, places)
        self.crop(shared)
        return shared

    def copied(self) -> dict[str, Tensor]:
        """All of it as tensors on the CPU, by name."""
        numbers = {"tokens": torch.tensor(self.tokens), "offset": torch.tensor([self.offset])}
        states = [layer.copied() for layer in self._layers]
        keys = {f"key.{index}": key_HTD for index, (key_HTD, _) in enumerate(states)}
        return {**numbers, **keys, **{f"value.{index}": value_HTD for index, (_, value_HTD) in enumerate(states)}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Fills an empty one with what `copied` returned. Raises KeyError or ValueError where these do not fit."""
        device, dtype = self._network.device, self._network.dtype
        tokens, offset = tensors["tokens"].tolist(), int(tensors["offset"])
        states = [(tensors[f"key.{index}"], tensors[f"value.{index}"]) for index in range(len(self._layers))]
        if len(tensors) != 2 * len(states) + 2 or any(
            each.ndim != 3 or each.shape[1] != offset + len(tokens) or each.dtype is not dtype
            for pair in states
            for each in pair
        ):
            raise ValueError("its layers do not fit the model")
        for layer, (key_HTD, value_HTD) in zip(self._layers, states, strict=True):
            layer.restore(key_HTD.to(device), value_HTD.to(device))
        self.tokens, self.offset, self.kept = tokens, offset, len(tokens)

    @property
    def nbytes(self) -> int:
        """Memory held by keys and values."""
        return sum(layer.nbytes for layer in self._layers) + (self.own.nbytes if self.own is not None else 0)


class CacheStore:
    """Idle prefix caches by double and conversation; the least recently used go first when `max_bytes` is passed.

    A cache in use is not here: a second reply in the same conversation at the same time starts from nothing. Used by
    the engine's one worker thread only.
    """

    def __init__(self, network: PreTrainedModel, *, max_bytes: int) -> None:
        self._network = network
        self._max_bytes = max_bytes
        self._idle: OrderedDict[tuple[str, str], PrefixCache] = OrderedDict()

    def take(self, conversation: str, *, adapter: str = "") -> PrefixCache:
        """What the double with this adapter knows of the conversation, or an empty cache; the caller's until `give`."""
        return self._idle.pop((adapter, conversation), None) or PrefixCache(self._network)

    def give(self, conversation: str, cache: PrefixCache, *, adapter: str = "") -> None:
        """Keeps the cache for the conversation's next reply. An unnamed conversation's is dropped."""
        if not conversation:
            return
        self._idle.pop((adapter, conversation), None)
        self._idle[adapter, conversation] = cache
        total = sum(idle.nbytes for idle in self._idle.values())
        while total > self._max_bytes:
            _, oldest = self._idle.popitem(last=False)
            total -= oldest.nbytes

    def look_at(self, conversation: str, *, adapter: str = "") -> PrefixCache | None:
        """The idle cache of the conversation, which stays where it is."""
        return self._idle.get((adapter, conversation))

    def drop(self, cache: PrefixCache) -> None:
        """The cache was taken and does not come back: a pass failed half way."""

    def close(self) -> None:
        """Frees the memory of all idle conversations."""
        self._idle.clear()

    def __len__(self) -> int:
        return len(self._idle)


def _buffer_like(states: Tensor, length: int) -> Tensor:
    batch, heads, _, width = states.shape
    room = -(-(length + 1) // _BLOCK) * _BLOCK
    return torch.empty((batch, heads, room, width), dtype=states.dtype, device=states.device)


def _grown(buffer: Tensor, used: int, room: int) -> Tensor:
    larger = _buffer_like(buffer, room)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger
