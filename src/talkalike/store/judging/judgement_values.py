"""What a judgement is, as plain values: the same on Discord, on the web, in an exported file and for a trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias

from talkalike.errors import UserError

Turn: TypeAlias = tuple[str, str]
"""Who said it, and what."""


RATINGS = range(1, 6)


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


def headings(person: str = "them") -> dict[Scale, str]:
    """Every scale with how a face calls it."""
    return {scale: scale.heading(person) for scale in Scale}


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

    @property
    def words(self) -> str:
        """How a face calls it, once somebody said it; no names are given away."""
        return _CHOICES[self]


class Side(StrEnum):
    """Which of two replies, by where it stood: what a page sends, because "a" may always be the same model."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def number(self) -> int:
        """Of the reply that stands there, as people count."""
        return 1 if self is Side.LEFT else 2


_CHOICES = {
    Choice.A: "a choice between two replies",
    Choice.B: "a choice between two replies",
    Choice.TIE: "a tie",
    Choice.BOTH_BAD: "both bad",
    Choice.SKIP: "a skip",
}
COUNTS_FOR_NEITHER = "A skip counts for neither."


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A pair as it was given to a judge. `repeat`: for the second time."""

    batch_id: int
    pair_id: int
    repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownReply:
    """A reply as a judge may see it: without its model's name."""

    item_id: int
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two replies to the same messages, side by side, as somebody sees them: a pair, or a blind test's question.

    `a_left`: the reply that a choice "a" stands for is the left one. `given`: what they said about it, if they come
    back to it; `repeat`: they see it for the second time.
    """

    id: int
    context: tuple[Turn, ...]
    speaker: str
    left: ShownReply
    right: ShownReply
    a_left: bool
    batch_id: int | None = None
    repeat: bool = False
    given: Choice | None = None

    def on(self, side: Side) -> ShownReply:
        """The reply on that side."""
        return self.left if side is Side.LEFT else self.right

    @property
    def said(self) -> Choice | Side | None:
        """What they said about it, as they saw it."""
        return seen_choice(self.given, a_left=self.a_left) if self.given else None


def seen_choice(choice: Choice, *, a_left: bool) -> Choice | Side:
    """What somebody said as they saw it: a better reply by the side on which it stands."""
    if choice in (Choice.A, Choice.B):
        return Side.LEFT if (choice is Choice.A) == a_left else Side.RIGHT
    return choice


class Kind(StrEnum):
    """Who judged. The two are never counted together."""

    HUMAN = "human"
    AI = "ai"


class Type(StrEnum):
    """The kinds of judgements."""

    RATING = "rating"
    COMPARISON = "comparison"
    CORRECTION = "correction"
    FLAG = "flag"
    SKIP = "skip"


class Reason(StrEnum):
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

    def __init__(self, reason: Reason, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.reason = reason


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
class JudgementRecord:
    """What every judgement has. `judge` is a pseudonym, `seconds` how long they took (None: not known)."""

    type: ClassVar[Type]
    id: str
    at: datetime
    judge: str
    kind: Kind
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRecord(JudgementRecord):
    """A reply on a scale from 1 (not at all) to 5 (very)."""

    type: ClassVar[Type] = Type.RATING
    reply: JudgedReply
    scale: Scale
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord(JudgementRecord):
    """One reply against another. `shown` is the order they stood in; `repeat`: asked again of the same judge.

    `pair` names the pair, the same in every database. Of an AI judge also `probability`, that a is better, and `gap`,
    how much likelier a became by standing first (-1 to 1); people just choose.
    """

    type: ClassVar[Type] = Type.COMPARISON
    a: JudgedReply
    b: JudgedReply
    choice: Choice
    shown: tuple[Literal["a", "b"], Literal["a", "b"]]
    pair: str = ""
    repeat: bool = False
    probability: float | None = None
    gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRecord(JudgementRecord):
    """What the double should have said; messages are joined by line breaks."""

    type: ClassVar[Type] = Type.CORRECTION
    reply: JudgedReply
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRecord(JudgementRecord):
    """Something is wrong with the reply."""

    type: ClassVar[Type] = Type.FLAG
    reply: JudgedReply
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRecord(JudgementRecord):
    """Somebody would rather not judge this reply."""

    type: ClassVar[Type] = Type.SKIP
    reply: JudgedReply


AnyRecord: TypeAlias = RatingRecord | ComparisonRecord | CorrectionRecord | FlagRecord | SkipRecord

RECORDS: dict[Type, type[AnyRecord]] = {
    form.type: form for form in (RatingRecord, ComparisonRecord, CorrectionRecord, FlagRecord, SkipRecord)
}


def own_fields(form: type[JudgementRecord]) -> list[str]:
    """The names of what a record has besides what all have."""
    common = {field.name for field in fields(JudgementRecord)}
    return [field.name for field in fields(form) if field.name not in common]
