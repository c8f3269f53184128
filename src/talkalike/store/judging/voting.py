"""A vote about a pair: locked, stored and counted, noted in the queue. What the judge sees next comes with it.

Raises RefusedError with a reason and changes nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from talkalike.store.judging import judgements, locks, serving
from talkalike.store.judging.judgement_values import Choice, Comparison, Given, Side

if TYPE_CHECKING:
    from talkalike.store.judging import models


def vote(
    given: Given, judge_id: int, choice: Choice | Side, *, seconds: float | None = None, face: str, go_on: bool
) -> Comparison | None:
    """As `compare`, about a pair that this judge was shown. Returns what they see then, all in one transaction.

    That is the batch's next pair with `go_on` (None: there is none for them), else the same with their choice.
    """
    with transaction.atomic():
        assignment = locks.lock_given(given, judge_id)
        chosen = _choice(choice, assignment)
        judgements.put_choice(assignment, chosen, (seconds, face))
        return serving.after_vote(assignment, chosen, go_on=go_on)


def compare(
    pair_id: int, judge_id: int, choice: Choice | Side, *, seconds: float | None = None, face: str, repeat: bool = False
) -> int:
    """Judges a pair (a skip is stored, too) and returns the judgement's id; what was said before is replaced.

    A side is which reply they took by where it stood (left or above: the first), whatever the names behind it.
    `repeat` as in the `Comparison` that was shown. Refused once the pair's batch was closed or revealed.
    """
    with transaction.atomic():
        assignment = locks.lock_assigned(pair_id, judge_id, repeat=repeat)
        chosen = _choice(choice, assignment)
        judgement_id = judgements.put_choice(assignment, chosen, (seconds, face))
        serving.note_vote(assignment, chosen)
        return judgement_id


def _choice(said: Choice | Side, assignment: models.Assignment) -> Choice:
    """Which of the two a side stood for."""
    if isinstance(said, Side):
        return Choice.A if (said is Side.LEFT) == assignment.a_first else Choice.B
    return said
