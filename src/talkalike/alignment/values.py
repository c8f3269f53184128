"""What all methods of this room share: a sampled reply, and a reward. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from talkalike.errors import UserError
from talkalike.examples.render import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySample:
    """One reply to be scored. `reply_ids` ends with the marker that closes the turn, where the model wrote it."""

    prompt_ids: tuple[int, ...]  # ends with the speaker's header
    reply_ids: tuple[int, ...]
    text: str  # of the reply, without markers; its messages are joined by line breaks
    prompt_turns: tuple[Turn, ...] = ()
    speaker: str = ""  # who replies

    @classmethod
    def of_messages(cls, messages: Sequence[str], turns: Sequence[Turn], speaker: str) -> ReplySample:
        """A reply that somebody wrote down, without tokens: a reward model puts it into its own."""
        return cls(prompt_ids=(), reply_ids=(), text="\n".join(messages), prompt_turns=tuple(turns), speaker=speaker)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedWins:
    """A share of wins from 0 to 1; the interval of 95 % holds what the members disagree on and the choice of pairs."""

    share: float
    low: float
    high: float


@runtime_checkable
class Reward(Protocol):
    """Anything that says how good replies are; higher is better. The same sample must always get the same number."""

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """One finite number for each sample, in order."""
        ...


def checked_scores(reward: Reward, samples: Sequence[ReplySample]) -> list[float]:
    """The reward's scores; raises UserError, naming the sample, where one is missing or no finite number."""
    scores = [float(score) for score in reward.score(samples)]
    if len(scores) != len(samples):
        raise UserError(
            f"The reward gave {len(scores)} numbers for {len(samples)} samples.",
            hint="It has to return one number for each sample, in order.",
        )
    for sample, score in zip(samples, scores, strict=True):
        if not math.isfinite(score):
            raise UserError(
                f"The reward of the reply {sample.text[:80]!r} is {score}.",
                hint="A reward has to be a finite number for every reply, an empty one included.",
            )
    return scores
