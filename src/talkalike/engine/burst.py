"""A burst is written: token by token, message by message, until the model hands the turn to someone else.

After the marker that closes a message the model has its say on who speaks next: the speaker's own header is read in
one pass, and the product of its tokens' probabilities is the probability that the burst goes on. One draw decides.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from talkalike.engine.contexts import Context
from talkalike.engine.decoding import text_decoder
from talkalike.engine.growing import GrowingMessage
from talkalike.engine.passes import Pass
from talkalike.engine.protocol import Finish, Piece, Sampling
from talkalike.engine.reading import Reading, special_ids
from talkalike.engine.sampling import choose, log_probability, penalise_repetition, sequence_probability
from talkalike.examples.render import Renderer


def banned_in_text(renderer: Renderer, vocabulary: int) -> Tensor:
    """The ids that may never stand inside a text, the padding rows of the vocabulary head among them. Found once per
    model.
    """
    unused = set(range(vocabulary)) - set(renderer.tokenizer.get_vocab(with_added_tokens=True).values())
    banned = sorted(token for token in special_ids(renderer) | unused if token < vocabulary)
    return torch.tensor(banned, dtype=torch.long)


class Burst:
    """The choices of one reply: its random draws, its limits, its text so far."""

    def __init__(self, reading: Reading, sampling: Sampling, *, renderer: Renderer, banned: Tensor, limit: int) -> None:
        self._reading = reading
        self._sampling = sampling
        self._renderer = renderer
        self._banned = banned[~torch.isin(banned, torch.tensor(sorted(reading.stops)))]
        self._limit = limit  # tokens the model can read
        self._seen_V: Tensor | None = None
        self._written = 0
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def write(self, context: Context) -> Generator[Piece | Pass, Tensor | None, None]:
        """The reply's pieces, the last with `finish`, and between them the passes it needs the logits of."""
        message = GrowingMessage(number=0)
        logits_V = (yield from context.prefill(self._reading.prompt_ids))[-1]
        for closed in range(1, self._sampling.max_messages + 1):
            finish = yield from self._write_message(context, logits_V, message)
            if finish is not None:
                yield message.end(finish)
                return
            if closed == self._sampling.max_messages or not self._has_budget(context):
                break
            following_V = yield from self._go_on(context)
            if following_V is None:
                break
            logits_V = following_V
            message = GrowingMessage(number=message.number + message.shown)
        yield message.end(Finish.STOP)

    def _write_message(
        self, context: Context, logits_V: Tensor, message: GrowingMessage
    ) -> Generator[Piece | Pass, Tensor | None, Finish | None]:
        """One message; None when the model closed it, LENGTH when the token budget was used up."""
        decoder = text_decoder(self._renderer.tokenizer)
        while True:
            token = self._choose(logits_V)
            self._written += 1
            if token in self._reading.stops:
                return None
            piece = message.push(decoder.push(token), token, log_probability(logits_V, token))
            full = self._written >= self._sampling.max_tokens or context.length + 1 >= self._limit
            if piece is not None:
                yield piece
            if full:
                return Finish.LENGTH
            logits_V = (yield from context.feed([token]))[-1]

    def _choose(self, logits_V: Tensor) -> int:
        allowed_V = logits_V.clone()
        allowed_V[self._banned] = -torch.inf
        if self._sampling.repetition_penalty != 1.0:
            if self._seen_V is None:
                self._seen_V = torch.zeros(len(logits_V), dtype=torch.bool)
                self._seen_V[self._reading.text_ids] = True
            allowed_V = penalise_repetition(allowed_V, self._seen_V, self._sampling.repetition_penalty)
        token = choose(allowed_V, self._sampling, self._generator)
        if self._seen_V is not None and token not in self._reading.stops:
            self._seen_V[token] = True
        return token

    def _has_budget(self, context: Context) -> bool:
        header = len(self._reading.closing) + len(self._reading.header)
        return (
            context.bursts and self._written < self._sampling.max_tokens and context.length + header + 1 < self._limit
        )

    def _go_on(self, context: Context) -> Generator[Pass, Tensor | None, Tensor | None]:
        """The logits of the next message's first token if the burst goes on, else None with the header taken back."""
        header = self._reading.header
        rows_NV = yield from context.feed(self._reading.closing + header, rows=len(header) + 1)
        deciding = self._reading.deciding
        probability = sequence_probability(rows_NV[:deciding], header[:deciding], self._sampling.temperature)
        if self._sampling.temperature == 0.0:
            goes_on = probability > 0.5
        else:
            goes_on = float(torch.rand((), generator=self._generator)) < probability
        if goes_on:
            return rows_NV[-1]
        context.forget_last(len(header))
        return None
