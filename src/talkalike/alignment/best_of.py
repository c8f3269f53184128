"""Best of n: several replies are written, and the one that a reward likes best is sent.

It costs n times the computing of one reply, and nothing can be shown before all are written. The reward of n replies
grows slowly with n, and so does the KL from the model: at most log n - (n - 1)/n nats (1.2 for 8).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from talkalike.alignment.values import ReplySample, Reward, checked_scores
from talkalike.engine.collecting import Collected, collect
from talkalike.engine.protocol import Engine, Piece, Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.reactions import plain
from talkalike.examples.render import Turn

AT_ONCE = 8  # replies written together; the next ones wait, so that others get a turn
_SEEDS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A whole reply and its reward; NaN before it was scored."""

    reply: Collected
    value: float = math.nan

    @property
    def text(self) -> str:
        """Its messages, joined by line breaks, as they are shown."""
        return "\n".join(plain(message) for message in self.reply.messages)


class BestOfEngine:
    """An `Engine` that writes `Sampling.best_of` replies with another one and hands out the best by a reward.

    `reward` None: more than one reply is refused. Closing it closes the engine below.
    """

    def __init__(self, engine: Engine, reward: Reward | None) -> None:
        self._engine = engine
        self._reward = reward
        self._judging = asyncio.Lock()  # a reward scores the candidates of one reply at a time

    def over(self, engine: Engine) -> BestOfEngine:
        """The same reward for another engine; the two are judged in turn."""
        other = BestOfEngine(engine, self._reward)
        other._judging = self._judging
        return other

    @property
    def name(self) -> str:
        """The name of the engine below."""
        return self._engine.name

    @property
    def context_length(self) -> int:
        """The context length of the engine below."""
        return self._engine.context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        """The tokens of each turn, as the engine below counts them."""
        return self._engine.count_tokens(turns)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The best reply, once all are written. Its last piece says how many tokens the other replies had.

        The first reply is the one that `best_of=1` gives; of equally good ones the first is taken. Raises UserError
        where there is no reward, or it fails.
        """
        sampling.check()
        count = sampling.best_of if sampling.temperature > 0 else 1  # without randomness all would be equal
        one = replace(sampling, best_of=1)
        if count == 1:
            async with aclosing(self._engine.stream(prompt, one)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        if self._reward is None:
            raise UserError(
                "Nothing says which of several replies is the best.",
                hint="Name a reward in talkalike.toml (chat.reward) or with --reward, or set best_of to 1.",
            )
        candidates = await self._write_candidates(prompt, one, count)
        judged = await self._score_candidates(self._reward, prompt, candidates)
        best = max(judged, key=lambda candidate: candidate.value).reply
        discarded = sum(candidate.reply.tokens for candidate in candidates) - best.tokens
        for piece in best.pieces[:-1]:
            yield piece
        yield replace(best.pieces[-1], discarded=best.pieces[-1].discarded + discarded)

    async def close(self) -> None:
        """Closes the engine that writes the replies."""
        await self._engine.close()

    async def _write_candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> list[Candidate]:
        """Writes the replies; where one fails, the others are cancelled."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def write(number: int) -> Candidate:
            seed = None if sampling.seed is None else (sampling.seed + number) % _SEEDS
            conversation = prompt.conversation if number == 0 else ""  # its cached prefix serves one reply at a time
            async with turns:
                reply = await collect(
                    self._engine,
                    replace(prompt, conversation=conversation),
                    replace(sampling, seed=seed if number else sampling.seed),
                )
            return Candidate(reply=reply)

        tasks = [asyncio.create_task(write(number)) for number in range(count)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _score_candidates(
        self, reward: Reward, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """The candidates with their values; equal texts are judged once."""
        texts = list(dict.fromkeys(candidate.text for candidate in candidates))
        samples = [
            ReplySample(prompt_ids=(), reply_ids=(), text=text, prompt_turns=prompt.turns, speaker=prompt.speaker)
            for text in texts
        ]
        if len(texts) == 1:
            return list(candidates)
        async with self._judging:
            scores = await asyncio.to_thread(checked_scores, reward, samples)
        values = dict(zip(texts, scores, strict=True))
        return [replace(candidate, value=values[candidate.text]) for candidate in candidates]
