"""Documents with pictures, in memory: what the loop trains on where a model learns to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from talkalike.errors import UserError
from talkalike.examples.render import END_OF_TEXT
from talkalike.models.eyes.rows import pack_seen
from talkalike.models.eyes.seen import IMAGE, loss_mask
from talkalike.models.packed import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A picture, by its hash, and text: what stands around it, and the answer that is learned with it."""

    picture: str
    prompt: str
    text: str
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTokens:
    """How chunks become tokens. `image`: places that a picture takes; `end`: the token that ends a chunk."""

    tokenizer: Tokenizer
    image: int
    end: int

    def ids(self, chunks: Sequence[Chunk]) -> NDArray[np.int32]:
        """The chunks one after the other; a piece of text is made tokens by itself, as when an eye goes on with it."""
        ids: list[int] = []
        for chunk in chunks:
            ids += [*self.text(chunk.before), *[IMAGE] * self.image, *self.text(chunk.prompt + chunk.text), self.end]
        return np.array(ids, dtype=np.int32)

    def text(self, text: str) -> list[int]:
        """A piece of text as tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids if text else []


class SeenDocuments:
    """Documents of token ids with pictures among them, and the pictures' grids by hash."""

    def __init__(
        self,
        ids: Sequence[NDArray[np.int32]],
        pictures: Sequence[Sequence[str]],
        *,
        grids: Mapping[str, Tensor],
        places: ChunkTokens,
    ) -> None:
        """`pictures`: of each document, in the order of their places. Raises UserError where one teaches nothing."""
        self._ids, self._pictures, self.grids = list(ids), list(pictures), grids
        self._masks = [loss_mask(document, end=places.end) for document in ids]
        self._image = places.image

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, the places of pictures included."""
        return np.array([len(document) for document in self._ids], dtype=np.int64)

    def row(self, indices: Sequence[int], device: torch.device) -> Row:
        """These documents, packed, with their pictures."""
        return pack_seen(
            [self._ids[index] for index in indices],
            [self._masks[index] for index in indices],
            [[self.grids[hash_] for hash_ in self._pictures[index]] for index in indices],
            places=self._image,
            device=device,
        )


def chunk_documents(chunks: Sequence[Chunk], grids: Mapping[str, Tensor], places: ChunkTokens) -> SeenDocuments:
    """A document for each chunk."""
    return SeenDocuments(
        [places.ids([chunk]) for chunk in chunks], [[chunk.picture] for chunk in chunks], grids=grids, places=places
    )


def end_token(tokenizer: Tokenizer, name: str) -> int:
    """The token that ends a chunk: the one that ends texts in this vocabulary. `name`: whose it is."""
    found = [token for text in END_OF_TEXT if (token := tokenizer.token_to_id(text)) is not None]
    if not found:
        raise UserError(f"'{name}' has no token that ends a text.", hint="Choose another base model.")
    return found[0]
