"""The local engine: torch in one worker thread, asyncio outside.

Each reply is a generator whose steps (a chunk of the prompt, one token) are handed to the worker one at a time. The
worker serves them in the order they come, so replies that run together take turns token by token, and a reply that
nobody reads any more is never computed further.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from talkalike.engine.burst import Burst, Reading, banned_in_text, read_prompt
from talkalike.engine.cache import CacheStore, PrefixCache
from talkalike.engine.contexts import CausalContext, Context, EncoderDecoderContext
from talkalike.engine.protocol import ContextTooLongError, Finish, Piece, Prompt, Sampling
from talkalike.engine.sampling import log_probability
from talkalike.engine.slots import Slots
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel

_Result = TypeVar("_Result")
_MEGABYTE = 2**20
_SCORED_ROWS = 64  # rows of logits held at once while a given text is scored


class LocalEngine:
    """An `Engine` over a loaded model.

    `slots`: replies at once; `waiting`: replies that may wait for a slot before EngineBusyError; `cache_mb`: memory
    for idle conversations' caches; `chunk`: prompt tokens read in one step, between which others take their turn.
    """

    def __init__(
        self, loaded: LoadedModel, *, slots: int = 4, waiting: int = 32, cache_mb: int = 1024, chunk: int = 512
    ) -> None:
        self._loaded = loaded
        self._renderer = Renderer(loaded.tokenizer)
        self._banned = banned_in_text(self._renderer, loaded.model.config.get_text_config(decoder=True).vocab_size)
        self._chunk = chunk
        self._slots = Slots(slots, waiting=waiting)
        self._caches = CacheStore(loaded.model.config, max_bytes=cache_mb * _MEGABYTE)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._closed = False

    @property
    def name(self) -> str:
        """The model's name."""
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
        """Tokens each turn costs in a prompt."""
        texts = self._renderer.encode_texts([turn.text for turn in turns])
        return [self._renderer.turn_cost(turn.speaker, len(ids)) for turn, ids in zip(turns, texts, strict=True)]

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply as it is written. Raises ContextTooLongError, EngineBusyError; UserError for bad sampling."""
        sampling.check()
        reading = self._read(prompt)
        await self._slots.acquire()
        reply = self._reply(reading, prompt.conversation, sampling)
        try:
            finish = None
            while finish is None:
                if self._closed:
                    yield Piece(text="", finish=Finish.CANCELLED)
                    return
                piece = await self._run(lambda: next(reply))
                if piece is not None:
                    finish = piece.finish
                    yield piece
        finally:
            self._slots.release()
            if not self._closed:
                self._worker.submit(reply.close)  # after the step that may be running; gives the cache back

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """Natural-log probabilities of a given message: one for each token of its text, the last for its closing."""
        reading = self._read(prompt)
        targets = [*self._renderer.encode_text(text), self._renderer.stop_id]
        if len(reading.prompt_ids) + len(targets) > self.context_length:
            raise ContextTooLongError("The prompt and the text to score are longer than the model's context.")
        await self._slots.acquire()
        try:
            return await self._run(lambda: self._score(reading, prompt.conversation, targets))
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Ends running replies as cancelled and frees the caches."""
        if self._closed:
            return
        self._closed = True
        await asyncio.wrap_future(self._worker.submit(self._caches.clear))
        self._worker.shutdown(wait=False)

    @property
    def _soft_prompt_length(self) -> int:
        return 0 if self._loaded.soft_prompt_PD is None else len(self._loaded.soft_prompt_PD)

    def _read(self, prompt: Prompt) -> Reading:
        if self._closed:
            raise TalkalikeError("The engine is closed.")
        reading = read_prompt(self._renderer, prompt.turns, prompt.speaker, self._loaded.speakers)
        if len(reading.prompt_ids) >= self.context_length:
            raise ContextTooLongError(
                f"The conversation has {len(reading.prompt_ids)} tokens, but the model reads "
                f"{self.context_length}, its reply included.",
                hint="Leave out the oldest messages.",
            )
        return reading

    async def _run(self, step: Callable[[], _Result]) -> _Result:
        if self._closed:
            raise TalkalikeError("The engine is closed.")

        def work() -> _Result:
            with torch.inference_mode():
                return step()

        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _reply(self, reading: Reading, conversation: str, sampling: Sampling) -> Generator[Piece | None, None, None]:
        burst = Burst(
            reading, sampling, renderer=self._renderer, banned=self._banned, limit=self._loaded.context_length
        )
        yield from self._with_context(conversation, burst.write)

    def _score(self, reading: Reading, conversation: str, targets: list[int]) -> list[float]:
        scores: list[float] = []

        def score(context: Context) -> Iterator[None]:
            logits_V = yield from context.prefill(reading.prompt_ids)
            scores.append(log_probability(logits_V, targets[0]))
            for start in range(0, len(targets) - 1, _SCORED_ROWS):
                given = targets[start : min(start + _SCORED_ROWS, len(targets) - 1)]
                rows_NV = context.feed(given, rows=len(given))
                following = targets[start + 1 : start + 1 + len(given)]
                scores.extend(log_probability(row, token) for row, token in zip(rows_NV, following, strict=True))

        for _ in self._with_context(conversation, score):
            pass
        return scores

    def _with_context(
        self, conversation: str, use: Callable[[Context], Iterator[_Result]]
    ) -> Generator[_Result, None, None]:
        """Lends the conversation's memory to `use` and takes it back at the end, unless a pass failed half way."""
        if self._loaded.is_encoder_decoder:
            yield from use(EncoderDecoderContext(self._loaded))
            return
        cache: PrefixCache = self._caches.take(conversation)
        context = CausalContext(self._loaded, cache, chunk=self._chunk)
        try:
            yield from use(context)
        finally:
            if context.intact:
                self._caches.give(conversation, cache)
