"""The scripted engine: replies written beforehand, streamed like a model's. For tests, docs and first tries."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from talkalike.engine.protocol import ContextTooLongError, Finish, Piece, Prompt, Sampling
from talkalike.errors import TalkalikeError
from talkalike.examples.render import Turn

Reply = Sequence[str] | TalkalikeError  # a burst of messages, or a failure to raise
_TOKEN = re.compile(r"\s*\S+|\s+")


class ScriptedEngine:
    """An `Engine` that answers from a script: a list (used in turn, from the start again at its end) or a function.

    `delay`: seconds before each token. `fail_after`: tokens after which an error that stands for a lost connection is
    raised. `prompts` keeps every prompt it was given.
    """

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[Prompt], Reply],
        *,
        name: str = "scripted",
        context_length: int = 8192,
        delay: float = 0.0,
        fail_after: int | None = None,
    ) -> None:
        self.prompts: list[Prompt] = []
        self.running = 0
        self._replies = replies
        self._name = name
        self._context_length = context_length
        self._delay = delay
        self._fail_after = fail_after

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_length(self) -> int:
        return self._context_length

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        """A token for each word and two for each turn's frame."""
        return [2 + len(_TOKEN.findall(turn.text)) for turn in turns]

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The next reply of the script, word by word, within `max_tokens` and `max_messages`."""
        sampling.check()
        prompt_tokens = self._length(prompt)
        if prompt_tokens >= self._context_length:
            raise ContextTooLongError("The conversation is longer than the script's context.")
        reply = self._next(prompt)
        if isinstance(reply, TalkalikeError):
            raise reply
        most = sampling.max_messages if prompt.raw is None else 1
        self.running += 1
        try:
            written = number = 0
            for number, message in enumerate(message for message in reply[:most] if message):
                for token in _TOKEN.findall(message):
                    if written == sampling.max_tokens:
                        yield Piece(text="", message=number, finish=Finish.LENGTH)
                        return
                    if written == self._fail_after:
                        raise TalkalikeError("The connection was lost.", hint="Try again.")
                    await asyncio.sleep(self._delay)
                    yield Piece(
                        text=token, message=number, token_ids=(written,), logprobs=(0.0,), prompt_tokens=prompt_tokens
                    )
                    written, prompt_tokens = written + 1, 0
            yield Piece(text="", message=number, finish=Finish.STOP, prompt_tokens=prompt_tokens)
        finally:
            self.running -= 1

    async def close(self) -> None:
        """Does nothing: a script holds no memory."""

    def _length(self, prompt: Prompt) -> int:
        if prompt.raw is None:
            return sum(self.count_tokens(prompt.turns))
        return len(_TOKEN.findall(prompt.raw) if isinstance(prompt.raw, str) else prompt.raw)

    def _next(self, prompt: Prompt) -> Reply:
        self.prompts.append(prompt)
        if callable(self._replies):
            return self._replies(prompt)
        return self._replies[(len(self.prompts) - 1) % len(self._replies)]
