"""Many doubles on one base in one process: the base's weights once, each double's adapter beside them.

Replies of different doubles are written in the same passes. An adapter is read from the disk when its double is first
asked for, and makes room for others when it is the one used longest ago.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from talkalike.engine.local import LocalEngine, open_caches
from talkalike.engine.protocol import Engine, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.models.adapter_pool import AdapterPool
from talkalike.models.load import LoadedModel
from talkalike.models.reordered import reorder_weights
from talkalike.models.unmerged import Unmerged, find_unmerged
from talkalike.workspace.cards import Catalog
from talkalike.workspace.prefixes import SavedPrefixes

_MEGABYTE = 2**20


class SharedBase:
    """A base in memory and the doubles that talk on it. `adapters_mb`: memory for their adapters. `saved`: where
    conversations outlive the process.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        catalog: Catalog,
        *,
        adapters_mb: float,
        slots: int = 32,
        saved: SavedPrefixes | None = None,
    ) -> None:
        """Raises UserError for a base that reads and writes apart: its replies do not share passes."""
        if loaded.is_encoder_decoder:
            raise UserError(
                f"'{loaded.name}' is an encoder-decoder model, on which doubles cannot be served together.",
                hint="Serve it by itself.",
            )
        self._catalog = catalog
        reorder_weights(loaded.model)
        self._pool = AdapterPool(loaded.model, max_bytes=int(adapters_mb * _MEGABYTE))
        self._base = LocalEngine(loaded, slots=slots, caches=open_caches(loaded, catalog, saved), adapters=self._pool)
        self._open: dict[str, DoubleEngine] = {}
        self._closed = False

    @property
    def base(self) -> str:
        """The name of the base in the catalog."""
        return self._base.name

    @property
    def adapter_bytes(self) -> int:
        """Bytes of the adapters in memory."""
        return self._pool.nbytes

    def open(self, model: str) -> Engine:
        """The base itself, or a double on it; reads no weights yet. Raises UserError where it can't be added to it.

        A double that was trained again meanwhile is another one from then on.
        """
        if self._closed:
            raise TalkalikeError("The engine is closed.")
        if model == self._base.name:
            return self._base
        card = self._catalog.card(model)
        double = find_unmerged(card, self._catalog.path(model), base=self._base.name, layers=self._pool.layers)
        size = self._pool.size(double.shape)
        if size > self._pool.max_bytes:
            raise UserError(
                f"The adapter of '{model}' takes {size / _MEGABYTE:,.1f} MiB, more than all doubles may.",
                hint="Raise adapters_mb in [serve] of talkalike.toml.",
            )
        known = self._open.get(model)
        if known is None or known.double != double:
            known = self._open[model] = DoubleEngine(self._base, double)
        return known

    async def close(self) -> None:
        """Ends the replies of all doubles as cancelled. Safe to call twice."""
        self._closed = True
        await self._base.close()


class DoubleEngine:
    """An `Engine` that writes with one double's adapter. Closing it ends nothing: the base is the others' too."""

    def __init__(self, base: LocalEngine, double: Unmerged) -> None:
        self.double = double
        self._base = base

    @property
    def name(self) -> str:
        return self.double.name

    @property
    def speakers(self) -> tuple[str, ...]:
        """Whom the double was trained on."""
        return self.double.speakers

    @property
    def context_length(self) -> int:
        """As many tokens as the base reads."""
        return self._base.context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        return self._base.count_tokens(turns)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply, in passes that it shares with other doubles'. Raises what the base's engine raises."""
        async with aclosing(self._base.stream(prompt, sampling, double=self.double)) as pieces:
            async for piece in pieces:
                yield piece

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """As the base's, with the double's adapter."""
        return await self._base.logprobs(prompt, text, double=self.double)

    async def close(self) -> None:
        """Does nothing: its adapter goes by itself when room is needed."""
