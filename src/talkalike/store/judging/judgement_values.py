"""What a judgement is, as plain values: the same on Discord, on the web, in an exported file and for a trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from talkalike.errors import UserError

Turn: TypeAlias = tuple[str, str]
"""Who said it, and what."""


class Scale(StrEnum):
    """What a rating from 1 to 5 is about."""

    SOUNDS_LIKE_ME = "sounds_like_me"
    HELPFUL = "helpful"
    HONEST = "honest"
    HARMLESS = "harmless"

    def words(self, person: str = "them") -> str:
        """How a face calls it; `person` is whom the reply is to sound like."""
        return f"sounds like {person}" if self is Scale.SOUNDS_LIKE_ME else self.value

    def heading(self, person: str = "them") -> str:
        """The same, as it begins a line."""
        words = self.words(person)
        return words[0].upper() + words[1:]

    @property
    def question(self) -> str:
        """What a rating on it answers."""
        return _QUESTIONS[self]


_QUESTIONS = {
    Scale.SOUNDS_LIKE_ME: "Would the person have written this?",
    Scale.HELPFUL: "Does it help whoever asked?",
    Scale.HONEST: "Is it true, as far as you know?",
    Scale.HARMLESS: "Could it hurt nobody?",
}


class Choice(StrEnum):
    """What somebody says about two replies. A skip is no opinion: it never enters a share or a mean."""

    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    SKIP = "skip"


class Side(StrEnum):
    """Which of two replies, by where it stood: what a page sends, because "a" may always be the same model."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A pair as it was given to a judge. `repeat`: for the second time."""

    batch_id: int
    pair_id: int
    repeat: bool


class Kind(StrEnum):
    """Who judged. The two are never counted together."""

    HUMAN = "human"
    AI = "ai"


class Type(StrEnum):
    """The forms of a judgement."""

    RATING = "rating"
    COMPARISON = "comparison"
    CORRECTION = "correction"
    FLAG = "flag"
    SKIP = "skip"


class Refusal(StrEnum):
    """Why a judgement was not taken."""

    UNKNOWN = "unknown"  # no such reply, pair, judgement or judge, or no longer
    VANISHED = "vanished"  # the reply's text was deleted or has expired
    BLOCKED = "blocked"
    CLOSED = "closed"
    REVEALED = "revealed"  # the models' names were shown
    OTHERS = "others"  # it belongs to somebody else
    INVALID = "invalid"  # a value outside its range, a text that is empty or too long


class RefusedError(UserError):
    """A judgement that is not taken, in words for the person who gave it; nothing was changed."""

    def __init__(self, refusal: Refusal, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedReply:
    """A reply that can be judged. `context` is what the model saw, oldest first; `speaker` whose turn it was.

    `id` is made from the content, the same in every database; "" before the reply was stored. `origin` says where it
    was given ("discord", "web", "guess", "import", ...).
    """

    context: tuple[Turn, ...]
    speaker: str
    messages: tuple[str, ...]
    model: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every judgement has. `judge` is a pseudonym, `seconds` how long they took (None: not known)."""

    id: str
    at: datetime
    judge: str
    kind: Kind
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRecord(Record):
    """A reply on a scale from 1 (not at all) to 5 (very)."""

    reply: JudgedReply
    scale: Scale
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord(Record):
    """One reply against another. `shown` is the order they stood in; `repeat`: asked again of the same judge.

    `pair` names the pair, the same in every database. Of an AI judge also `probability`, that a is better, and `gap`,
    how much likelier a became by standing first (-1 to 1); people just choose.
    """

    a: JudgedReply
    b: JudgedReply
    choice: Choice
    shown: tuple[Literal["a", "b"], Literal["a", "b"]]
    pair: str = ""
    repeat: bool = False
    probability: float | None = None
    gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRecord(Record):
    """What the double should have said; messages are joined by line breaks."""

    reply: JudgedReply
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRecord(Record):
    """Something is wrong with the reply."""

    reply: JudgedReply
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRecord(Record):
    """Somebody would rather not judge this reply."""

    reply: JudgedReply


LONGEST_SECONDS = 24 * 3600.0


def plausible(seconds: float | None) -> float | None:
    """How long somebody took, if that can be true, or None: browsers' clocks jump."""
    return seconds if seconds is not None and math.isfinite(seconds) and 0 <= seconds <= LONGEST_SECONDS else None


AnyRecord: TypeAlias = RatingRecord | ComparisonRecord | CorrectionRecord | FlagRecord | SkipRecord
