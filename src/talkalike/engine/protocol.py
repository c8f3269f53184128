"""What an engine is: a prompt becomes a reply, piece by piece.

A reply is a burst of one or more messages by one speaker. The engine knows nothing of Discord, files or permissions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.render import Turn
from talkalike.options import SAMPLING


class EngineBusyError(TalkalikeError):
    """Every slot is taken and the waiting line is full; trying again later may work."""


class ContextTooLongError(UserError):
    """The prompt has more tokens than the model can read; the caller must leave older turns out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. Names and meanings are the field's usual ones; `options` says what each may be.

    `seed`: the same seed and prompt give the same reply. `max_tokens` and `max_messages` are for the whole burst.
    `best_of`: replies written, of which a reward picks one; engines that have none write one.
    """

    temperature: float = SAMPLING["temperature"].default
    top_p: float = SAMPLING["top_p"].default
    top_k: int = SAMPLING["top_k"].default
    min_p: float = SAMPLING["min_p"].default
    repetition_penalty: float = SAMPLING["repetition_penalty"].default
    seed: int | None = SAMPLING["seed"].default
    max_tokens: int = SAMPLING["max_tokens"].default
    max_messages: int = SAMPLING["max_messages"].default
    best_of: int = SAMPLING["best_of"].default

    def check(self) -> None:
        """Raises UserError naming the first value outside its bounds."""
        for key, option in SAMPLING.items():
            option.check(getattr(self, key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model sees: the turns so far, and whose turn comes next. `conversation` names the cache to reuse.

    `raw`: instead of turns, a text or token ids that are continued as they are, by one message.
    """

    turns: tuple[Turn, ...] = ()
    speaker: str = ""
    conversation: str = ""
    raw: str | tuple[int, ...] | None = None


class Finish(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The next bit of a reply. `message` counts the burst's messages from 0; the last piece carries `finish`.

    `prompt_tokens`: how long the prompt was, reported once, by engines that count it.
    `discarded`: tokens that were written for this reply and thrown away, reported once, with the last piece.
    `logprobs` holds one natural-log probability for each of `token_ids`, under the model's own distribution at
    temperature 1 without filters.
    """

    text: str
    message: int = 0
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish: Finish | None = None
    prompt_tokens: int = 0
    discarded: int = 0


class Engine(Protocol):
    """Anything that can continue a conversation. Closing the generator cancels the reply and frees its slot."""

    @property
    def name(self) -> str:
        """The model's name, as a person would say it."""
        ...

    @property
    def context_length(self) -> int:
        """How many tokens the prompt and the reply may have together."""
        ...

    def count_tokens(self, turns: tuple[Turn, ...]) -> list[int]:
        """Tokens each turn costs in a prompt, in the order given."""
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """The reply as it is written. Raises TalkalikeError when the model cannot be reached."""
        ...

    async def close(self) -> None:
        """Frees the model. Safe to call twice."""
        ...
