"""The local engine: torch in one worker thread, asyncio outside.

Each reply is a generator that asks for forward passes (a chunk of the prompt, one token). The worker runs the passes
of all replies that are written at the same time as one, and never computes a reply further that nobody reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from talkalike.engine.burst import Burst, Reading, banned_in_text, read_prompt, read_raw
from talkalike.engine.cache import CacheStore
from talkalike.engine.contexts import CausalContext, Context, EncoderDecoderContext
from talkalike.engine.passes import Pass, Passes
from talkalike.engine.protocol import ContextTooLongError, Finish, Piece, Prompt, Sampling
from talkalike.engine.sampling import log_probability
from talkalike.engine.slots import Slots
from talkalike.engine.worker import Work, Worker
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog

_MEGABYTE = 2**20
_SCORED_ROWS = 64  # rows of logits held at once while a given text is scored


def open_engine(catalog: Catalog, model: str, *, dtype: str, device: str, quantize: str = "none") -> LocalEngine:
    """A model of the catalog in memory, ready to reply."""
    path = catalog.path(model)
    return LocalEngine(load_for_inference(path, catalog=catalog, dtype=dtype, device=device, quantize=quantize))


class LocalEngine:
    """An `Engine` over a loaded model.

    `slots`: replies at once; `waiting`: replies that may wait for a slot before EngineBusyError; `cache_mb`: memory
    for idle conversations' caches; `chunk`: prompt tokens read in one step, between which others take their turn.
    """

    def __init__(
        self, loaded: LoadedModel, *, slots: int = 32, waiting: int = 64, cache_mb: int = 1024, chunk: int = 512
    ) -> None:
        self._loaded = loaded
        self._renderer = Renderer(loaded.tokenizer)
        self._banned = banned_in_text(self._renderer, loaded.model.config.get_text_config(decoder=True).vocab_size)
        self._chunk = chunk
        self._slots = Slots(slots, waiting=waiting)
        self._caches = CacheStore(loaded.model, max_bytes=cache_mb * _MEGABYTE)
        self._worker = Worker(_no_passes if loaded.is_encoder_decoder else Passes(loaded).run)
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

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply as it is written. Raises ContextTooLongError, EngineBusyError; UserError for bad sampling."""
        sampling.check()
        if prompt.raw is not None:
            sampling = replace(sampling, max_messages=1)
        reading = await self._read(prompt)
        await self._slots.acquire()
        reply = self._worker.start(self._reply(reading, prompt.conversation, sampling))
        try:
            finish, prompt_tokens = None, len(reading.prompt_ids)
            while finish is None:
                piece: Piece | None = await self._next(reply)
                if piece is None:
                    yield Piece(text="", finish=Finish.CANCELLED)
                    return
                finish = piece.finish
                yield replace(piece, prompt_tokens=prompt_tokens)
                prompt_tokens = 0
        finally:
            self._slots.release()
            self._worker.leave(reply)  # after the pass that may be running; gives the cache back

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """Natural-log probabilities of a given message: one for each token of its text, the last for its closing."""
        reading = await self._read(prompt)
        targets = [*self._renderer.encode_text(text), self._renderer.stop_id]
        if len(reading.prompt_ids) + len(targets) > self.context_length:
            raise ContextTooLongError("The prompt and the text to score are longer than the model's context.")
        await self._slots.acquire()
        score = self._worker.start(self._score(reading, prompt.conversation, targets))
        try:
            scores: list[float] | None = await self._next(score)
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
            self._caches.clear()

    @property
    def _soft_prompt_length(self) -> int:
        return 0 if self._loaded.soft_prompt_PD is None else len(self._loaded.soft_prompt_PD)

    async def _read(self, prompt: Prompt) -> Reading:
        """The prompt in tokens. What is far too long is refused by its length; the rest is encoded in a thread, so that
        nobody else waits for it."""
        if self._closed:
            raise TalkalikeError("The engine is closed.")
        fewest = (
            len(prompt.raw)
            if isinstance(prompt.raw, tuple)
            else self._renderer.fewest_tokens([prompt.raw] if prompt.raw else [turn.text for turn in prompt.turns])
        )
        if fewest >= self.context_length:
            raise _too_long(f"at least {fewest:,}", self.context_length)
        reading = await asyncio.to_thread(self._encode, prompt)
        if len(reading.prompt_ids) >= self.context_length:
            raise _too_long(f"{len(reading.prompt_ids):,}", self.context_length)
        return reading

    def _encode(self, prompt: Prompt) -> Reading:
        if prompt.raw is not None:
            return read_raw(self._renderer, prompt.raw)
        return read_prompt(self._renderer, prompt.turns, prompt.speaker, self._loaded.speakers)

    async def _next(self, work: Work) -> Any:
        """The work's next result; None when the engine was closed meanwhile."""
        answer = self._worker.next(work)
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            if self._closed and answer.cancelled():
                return None
            raise

    def _reply(self, reading: Reading, conversation: str, sampling: Sampling) -> Work:
        burst = Burst(
            reading, sampling, renderer=self._renderer, banned=self._banned, limit=self._loaded.context_length
        )
        return self._with_context(conversation, burst.write)

    def _score(self, reading: Reading, conversation: str, targets: list[int]) -> Work:
        def score(context: Context) -> Generator[Any, Tensor | None, None]:
            logits_V = (yield from context.prefill(reading.prompt_ids))[-1]
            scores = [log_probability(logits_V, targets[0])]
            for start in range(0, len(targets) - 1, _SCORED_ROWS):
                given = targets[start : min(start + _SCORED_ROWS, len(targets) - 1)]
                rows_NV = yield from context.feed(given, rows=len(given))
                following = targets[start + 1 : start + 1 + len(given)]
                scores.extend(log_probability(row, token) for row, token in zip(rows_NV, following, strict=True))
            yield scores

        return self._with_context(conversation, score)

    def _with_context(
        self, conversation: str, use: Callable[[Context], Generator[Any, Tensor | None, None]]
    ) -> Generator[Any, Tensor | None, None]:
        """Lends the conversation's memory to `use` and takes it back at the end, unless a pass failed half way."""
        if self._loaded.is_encoder_decoder:
            yield from use(EncoderDecoderContext(self._loaded))
            return
        cache = self._caches.take(conversation)
        try:
            yield from use(CausalContext(cache, chunk=self._chunk))
        finally:
            if cache.intact:
                self._caches.give(conversation, cache)


def _too_long(tokens: str, context: int) -> ContextTooLongError:
    return ContextTooLongError(
        f"The conversation has {tokens} tokens, but the model reads {context:,}, its reply included.",
        hint="Leave out the oldest messages.",
    )


def _no_passes(_passes: Sequence[Pass]) -> list[Tensor]:
    raise AssertionError("an encoder-decoder model runs on its own")
