"""The local engine: torch in one worker thread, asyncio outside.

Each reply is a generator that asks for forward passes (a chunk of the prompt, one token). The worker runs the passes
of all replies that are written at the same time as one, and never computes a reply further that nobody reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from talkalike.engine.burst import Burst, banned_in_text
from talkalike.engine.cache import CacheStore
from talkalike.engine.contexts import CausalContext, Context, EncoderDecoderContext
from talkalike.engine.passes import Pass, Passes
from talkalike.engine.protocol import ContextTooLongError, EngineBusyError, Finish, Piece, Prompt, Sampling
from talkalike.engine.reading import Reading, read_within
from talkalike.engine.sampling import log_probability
from talkalike.engine.slots import Slots
from talkalike.engine.warm import WarmCaches, WarmFolder, identity_of
from talkalike.engine.worker import Work, Worker
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.adapter_pool import AdapterPool
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.models.lora_pairs import LoraPairs
from talkalike.models.own_attention import has_own_attention
from talkalike.models.reordered import reorder_weights
from talkalike.models.unmerged import Unmerged, read_unmerged
from talkalike.workspace.cards import Catalog
from talkalike.workspace.prefixes import SavedPrefixes

CACHE_MB = 1024  # memory for idle conversations' caches
_MEGABYTE = 2**20
_SCORED_ROWS = 64  # rows of logits held at once while a given text is scored
_WANTED = object()  # a reply's result while the adapter that it needs is not in memory


def open_engine(
    catalog: Catalog,
    model: str,
    *,
    dtype: str,
    device: str,
    quantize: str = "none",
    saved: SavedPrefixes | None = None,
) -> LocalEngine:
    """A model of the catalog in memory, ready to reply. `saved`: where its conversations outlive the process."""
    path = catalog.path(model)
    loaded = load_for_inference(path, catalog=catalog, dtype=dtype, device=device, quantize=quantize)
    if loaded.is_encoder_decoder:
        return LocalEngine(loaded)
    reorder_weights(loaded.model)
    return LocalEngine(loaded, caches=open_caches(loaded, catalog, saved))


def open_caches(loaded: LoadedModel, catalog: Catalog, saved: SavedPrefixes | None) -> CacheStore | WarmCaches:
    """Memory for the conversations of a model of the catalog, and of the doubles beside it."""
    caches = CacheStore(loaded.model, max_bytes=CACHE_MB * _MEGABYTE)
    if saved is None or not saved.max_bytes or has_own_attention(loaded.model):
        return caches
    folders = dict.fromkeys([catalog.path(loaded.name), catalog.path(catalog.card(loaded.name).base)])
    identity = identity_of(folders, loaded.model)
    return WarmCaches(caches, WarmFolder(saved, model=loaded.name, identity=identity))


@dataclass(slots=True)
class _Lent:
    """The double whose adapter a reply is written with, and its weights on the way from the disk."""

    double: Unmerged
    pairs: LoraPairs | None = None


class LocalEngine:
    """An `Engine` over a loaded model; with `adapters`, also over the doubles that stay beside it (`engine.doubles`).

    `slots`: replies at once; `waiting`: replies that may wait for a slot before EngineBusyError; `caches`: of idle
    conversations; `chunk`: prompt tokens read in one step, between which others take their turn.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        slots: int = 32,
        waiting: int = 64,
        caches: CacheStore | WarmCaches | None = None,
        chunk: int = 512,
        adapters: AdapterPool | None = None,
    ) -> None:
        self._loaded = loaded
        self._adapters = adapters
        self._renderer = Renderer(loaded.tokenizer)
        self._banned = banned_in_text(self._renderer, loaded.model.config.get_text_config(decoder=True).vocab_size)
        self._chunk = chunk
        self._slots = Slots(slots, waiting=waiting)
        self._caches = CacheStore(loaded.model, max_bytes=CACHE_MB * _MEGABYTE) if caches is None else caches
        self._worker = Worker(_no_passes if loaded.is_encoder_decoder else Passes(loaded, adapters).run)
        self._closed = False

    @property
    def name(self) -> str:
        return self._loaded.name

    @property
    def speakers(self) -> tuple[str, ...]:
        """Whom the model was trained on."""
        return self._loaded.speakers

    @property
    def context_length(self) -> int:
        """Tokens the prompt and the reply may have together; a soft prompt's share is taken off."""
        return self._loaded.context_length - self._soft_prompt_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        return self._renderer.count_tokens(turns)

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, double: Unmerged | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The reply as it is written, by the model or by a double beside it.

        Raises ContextTooLongError, EngineBusyError; UserError for bad sampling or a damaged adapter.
        """
        sampling.check()
        if prompt.raw is not None:
            sampling = replace(sampling, max_messages=1)
        reading, lent = await self._read(prompt, double), _lend(double)
        await self._slots.acquire()
        reply = self._worker.start(self._reply(reading, prompt.conversation, sampling, lent))
        try:
            finish, prompt_tokens = None, len(reading.prompt_ids)
            while finish is None:
                piece: Piece | None = await self._next(reply, lent)
                if piece is None:
                    yield Piece(text="", finish=Finish.CANCELLED)
                    return
                finish = piece.finish
                yield replace(piece, prompt_tokens=prompt_tokens)
                prompt_tokens = 0
        finally:
            self._slots.release()
            self._worker.leave(reply)  # after the pass that may be running; gives the cache back

    async def logprobs(self, prompt: Prompt, text: str, *, double: Unmerged | None = None) -> list[float]:
        """Natural-log probabilities of a given message: one for each token of its text, the last for its closing."""
        reading, lent = await self._read(prompt, double), _lend(double)
        targets = [*self._renderer.encode_text(text), self._renderer.stop_id]
        if len(reading.prompt_ids) + len(targets) > self.context_length:
            raise ContextTooLongError("The prompt and the text to score are longer than the model's context.")
        await self._slots.acquire()
        score = self._worker.start(self._score(reading, prompt.conversation, targets, lent))
        try:
            scores: list[float] | None = await self._next(score, lent)
        finally:
            self._slots.release()
            self._worker.leave(score)
        if scores is None:
            raise TalkalikeError("The engine was closed.")
        return scores

    async def close(self) -> None:
        """Ends running replies as cancelled and frees the caches."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._worker.close)
            await asyncio.to_thread(self._caches.close)

    @property
    def _soft_prompt_length(self) -> int:
        return 0 if self._loaded.soft_prompt_PD is None else len(self._loaded.soft_prompt_PD)

    async def _read(self, prompt: Prompt, double: Unmerged | None) -> Reading:
        if self._closed:
            raise TalkalikeError("The engine is closed.")
        speakers = self._loaded.speakers if double is None else double.speakers
        return await read_within(self._renderer, prompt, others=speakers, limit=self.context_length)

    async def _next(self, work: Work, lent: _Lent | None) -> Any:
        """The work's next result; None when the engine was closed meanwhile. Fetches the adapter that it waits for."""
        while True:
            answer = self._worker.next(work)
            try:
                came = await asyncio.wrap_future(answer)
            except asyncio.CancelledError:
                if self._closed and answer.cancelled():
                    return None
                raise
            if came is not _WANTED:
                return came
            assert lent is not None
            lent.pairs = await asyncio.to_thread(read_unmerged, lent.double)

    def _reply(self, reading: Reading, conversation: str, sampling: Sampling, lent: _Lent | None) -> Work:
        burst = Burst(
            reading, sampling, renderer=self._renderer, banned=self._banned, limit=self._loaded.context_length
        )
        return self._with_context(conversation, burst.write, lent)

    def _score(self, reading: Reading, conversation: str, targets: list[int], lent: _Lent | None) -> Work:
        def score(context: Context) -> Generator[Any, Tensor | None, None]:
            logits_V = (yield from context.prefill(reading.prompt_ids))[-1]
            scores = [log_probability(logits_V, targets[0])]
            for start in range(0, len(targets) - 1, _SCORED_ROWS):
                given = targets[start : min(start + _SCORED_ROWS, len(targets) - 1)]
                rows_NV = yield from context.feed(given, rows=len(given))
                following = targets[start + 1 : start + 1 + len(given)]
                scores.extend(log_probability(row, token) for row, token in zip(rows_NV, following, strict=True))
            yield scores

        return self._with_context(conversation, score, lent)

    def _with_context(
        self, conversation: str, use: Callable[[Context], Generator[Any, Tensor | None, None]], lent: _Lent | None
    ) -> Generator[Any, Tensor | None, None]:
        """Lends the conversation's memory to `use` and takes it back at the end, unless a pass failed half way.

        The double's adapter stays in memory meanwhile.
        """
        if self._loaded.is_encoder_decoder:
            yield from use(EncoderDecoderContext(self._loaded))
            return
        if lent is None:
            yield from self._with_cache(conversation, use)
            return
        assert self._adapters is not None
        yield from self._hold(self._adapters, lent)
        try:
            yield from self._with_cache(conversation, use, adapter=lent.double.key)
        finally:
            self._adapters.release(lent.double.key)

    def _with_cache(
        self, conversation: str, use: Callable[[Context], Generator[Any, Tensor | None, None]], *, adapter: str = ""
    ) -> Generator[Any, Tensor | None, None]:
        cache = self._caches.take(conversation, adapter=adapter)
        try:
            yield from use(CausalContext(cache, chunk=self._chunk, adapter=adapter))
        finally:
            if cache.intact:
                self._caches.give(conversation, cache, adapter=adapter)
            else:
                self._caches.drop(cache)

    def _hold(self, adapters: AdapterPool, lent: _Lent) -> Generator[Any, Tensor | None, None]:
        """Has the double's adapter in memory, and keeps it there until it is released."""
        if lent.double.key not in adapters:
            yield _WANTED  # whoever reads this reply reads the file, so that the others' passes go on
            assert lent.pairs is not None
            if not adapters.put(lent.double.key, lent.pairs):
                raise EngineBusyError(
                    f"The memory for doubles is full of others that are writing, so '{lent.double.name}' has to wait.",
                    hint="Try again in a moment, or raise adapters_mb in [serve] of talkalike.toml.",
                )
            lent.pairs = None
        adapters.hold(lent.double.key)


def _lend(double: Unmerged | None) -> _Lent | None:
    return None if double is None else _Lent(double)


def _no_passes(_passes: Sequence[Pass]) -> list[Tensor]:
    raise AssertionError("an encoder-decoder model runs on its own")
