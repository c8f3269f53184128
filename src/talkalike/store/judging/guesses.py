"""The friends' blind test: which of two replies did the person really write?

The same question is asked about the double and about control arms (the base model, the prompted base), because being
taken for the real one means little where the base model is, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Sum
from django.utils import timezone

from talkalike.store import storable
from talkalike.store.judging import items, locks
from talkalike.store.judging.judgement_values import (
    Comparison,
    JudgedReply,
    Reason,
    RefusedError,
    Side,
    Turn,
)
from talkalike.store.judging.judgements import plausible
from talkalike.store.judging.statistics import Share, wilson
from talkalike.store.rows import read_row
from talkalike.store.tables import judging_tables as tables

HUMAN = "human"  # the model's name of what a person wrote
ORIGIN = "guess"
ARMS = {"double": "the double", "base": "the base model", "prompted": "the base model, told whom to be"}
_SHORTEST_NAME = 3  # of the parts of a name: shorter ones are words of every language


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """A blind test. `as_preferences`: its guesses may be exported as comparisons."""

    id: int
    name: str
    open: bool
    as_preferences: bool
    server_id: int | None
    made_at: datetime
    questions: int
    guesses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What one side wrote. `model` and `arm` ("double", "base", "prompted") say who; a person's have neither."""

    messages: tuple[str, ...]
    model: str = HUMAN
    arm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as it is asked: people in the context have other names, the sides stand in random order."""

    replies: Comparison
    answered: int
    left_to_answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessed:
    """What came of a guess; from here on the guesser knows."""

    right: bool
    real: Side
    arm: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessResult:
    """How often an arm's replies were taken for the real ones, with Wilson's interval."""

    arm: str
    model: str
    taken_for_real: Share


def make_round(name: str, *, server_id: int | None = None) -> int:
    """Makes a blind test that is open and returns its id."""
    row = tables.GuessRound.objects.create(name=storable.text(name), server_id=server_id or 0, made_at=timezone.now())
    return int(row.pk)


def rounds() -> tuple[RoundRow, ...]:
    """All blind tests, newest first."""
    asked = tables.GuessQuestion.objects.values_list("round_id").annotate(count=Count("id"), given=Sum("guesses"))
    counts = {round_id: (count, given) for round_id, count, given in asked}
    return tuple(
        read_row(
            RoundRow,
            row,
            server_id=row.server_id or None,
            questions=counts.get(row.pk, (0, 0))[0],
            guesses=counts.get(row.pk, (0, 0))[1],
        )
        for row in tables.GuessRound.objects.order_by("-id")
    )


def set_open(round_id: int, is_open: bool) -> bool:
    """Opens or closes a blind test; False if there is none."""
    return tables.GuessRound.objects.filter(id=round_id).update(open=is_open) > 0


def set_as_preferences(round_id: int, allowed: bool) -> bool:
    """Whether its guesses may be exported as comparisons, which only the owner decides; False if there is no such."""
    return tables.GuessRound.objects.filter(id=round_id).update(as_preferences=allowed) > 0


def add_question(
    round_id: int, context: Sequence[Turn], speaker: str, *, real: Writing, other: Writing, hide: Iterable[str] = ()
) -> int:
    """Adds a question and returns its id; the same one again is the one that is there.

    Everybody in `context` but `speaker`, and everybody in `hide`, gets another name, also within the texts of both
    sides. Which side is the real one follows from their content.
    """
    names = [*dict.fromkeys([name for name, _ in context if name != speaker]), *hide]
    masked = Pseudonyms([name for name in names if name != speaker])
    turns = tuple((masked.name(name), masked.text(text)) for name, text in context)
    ids = []
    for writing in (real, other):
        reply = JudgedReply(
            context=turns,
            speaker=speaker,
            messages=tuple(masked.text(message) for message in writing.messages),
            model=writing.model,
            origin=ORIGIN,
        )
        ids.append(items.put_item(reply))
    key = f"{round_id}\x00{items.key_of(reply)}\x00{ids}"
    row, _ = tables.GuessQuestion.objects.get_or_create(
        round_id=round_id,
        real_id=ids[0],
        other_id=ids[1],
        defaults={"arm": other.arm, "real_first": hashlib.sha256(key.encode()).digest()[0] % 2 == 0},
    )
    return int(row.pk)


def next_question(round_id: int, judge_id: int) -> Question | None:
    """The question this judge should get, the least answered first; None when there is no more.

    A context whose real reply they know already is not asked again with another arm. Raises RefusedError for a
    blocked judge and a test that is over.
    """
    with transaction.atomic():
        locks.lock_judge(judge_id)
        round_ = tables.GuessRound.objects.filter(id=round_id).first()
        if round_ is None or not round_.open:
            raise _over()
        own = tables.Guess.objects.filter(judge_id=judge_id)
        seen = own.filter(question__real=OuterRef("real"))
        waiting = tables.GuessQuestion.objects.filter(~Exists(seen), round=round_).select_related("real", "other")
        answered = own.filter(question__round=round_).count()
        left = waiting.values("real").distinct().count()
        for row in waiting.order_by("guesses", "id"):
            replies = items.side_by_side(row.real, row.other, a_left=row.real_first, id=row.pk)
            if replies is not None:
                return Question(replies=replies, answered=answered, left_to_answer=left)
        return None


def guess(question_id: int, judge_id: int, side: Side, *, seconds: float | None = None, face: str) -> Guessed:
    """Which side this judge takes for the real one. The answer is shown after it, so the first guess stays.

    Raises RefusedError as `next_question`, and where there is no such question.
    """
    with transaction.atomic():
        locks.lock_judge(judge_id)
        row = (
            tables.GuessQuestion.objects.select_for_update(of=("self",), no_key=True)
            .select_related("round", "real", "other")
            .filter(id=question_id)
            .first()
        )
        if row is None:
            raise locks.unknown_error("question")
        if not row.round.open:
            raise _over()
        real = Side.LEFT if row.real_first else Side.RIGHT
        given, made = tables.Guess.objects.get_or_create(
            question=row,
            judge_id=judge_id,
            defaults={
                "right": side is real,
                "seconds": plausible(seconds),
                "face": face,
                "at": timezone.now(),
            },
        )
        if made:
            tables.GuessQuestion.objects.filter(id=row.pk).update(guesses=F("guesses") + 1)
        return Guessed(right=given.right, real=real, arm=row.arm, model=row.other.model)


def results(round_id: int | None = None) -> tuple[GuessResult, ...]:
    """Of one test, or of all: for each arm and model how often it was taken for the real one, most often first."""
    rows = tables.Guess.objects.filter(question__round_id=round_id) if round_id else tables.Guess.objects
    counts = rows.values_list("question__arm", "question__other__model").annotate(
        n=Count("id"), wrong=Count("id", filter=Q(right=False))
    )
    made = [GuessResult(arm=arm, model=model, taken_for_real=wilson(wrong, n)) for arm, model, n, wrong in counts]
    return tuple(sorted(made, key=lambda result: (-(result.taken_for_real.share or 0), result.arm, result.model)))


def _over() -> RefusedError:
    return RefusedError(Reason.CLOSED, "This blind test is over.", hint="Thank you for your guesses.")


class Pseudonyms:
    """Replaces names by "Friend 1", "Friend 2", ... where somebody speaks and where somebody is spoken of."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` as they stand in front of what was said; no two people may share one."""
        self._names = {name: f"Friend {i}" for i, name in enumerate(dict.fromkeys(names), start=1)}
        spoken: dict[str, str] = {}
        for name, other in self._names.items():
            for part in (name, *(part for part in name.split() if len(part) >= _SHORTEST_NAME)):
                spoken.setdefault(part.casefold(), other)
        self._spoken = spoken
        longest_first = sorted((part for part in spoken if part), key=len, reverse=True)
        pattern = "|".join(re.escape(part) for part in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if pattern else None

    def name(self, name: str) -> str:
        """The pseudonym of a person."""
        return self._names.get(name, name)

    def text(self, text: str) -> str:
        """The text with every name in it replaced."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._spoken.get(found[0].casefold(), "Friend"), text)
