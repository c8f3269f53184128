"""What the templates of the blind test show, and the tokens that bind a guess to the question that was shown."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.core import signing

from talkalike.store.judging.guesses import ARMS, GuessResult

SALT = "talkalike.website.guess"
LONGEST = 24 * 3600  # seconds for which a question that was shown may be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownResult:
    """A line of the result. The numbers are percentages of the guesses, `low` to `high` Wilson's 95 % interval."""

    words: str
    model: str
    arm: str
    votes: int
    share: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Of the interval, for the plot."""
        return self.high - self.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which question was shown, to whom, and when (seconds since 1970)."""

    question: int
    round: int
    judge: int
    at: float


def seal(asked: Asked) -> str:
    """A token for the form: nobody answers a question that they were not shown."""
    return signing.dumps([asked.question, asked.round, asked.judge, asked.at], salt=SALT)


def unseal(token: str) -> Asked | None:
    """What was seal; None for a forged or old token."""
    try:
        question, round_, judge, at = signing.loads(token, salt=SALT, max_age=LONGEST)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Asked(question=question, round=round_, judge=judge, at=at)


def seconds(asked: Asked, told: str) -> float | None:
    """How long they looked: what the page's script measured, else since the page was made."""
    try:
        return float(told)
    except ValueError:
        return time.time() - asked.at


def shown(results: tuple[GuessResult, ...]) -> list[ShownResult]:
    """The results in percent. Arms without a guess are left out: there is nothing to say about them."""
    lines = []
    for result in results:
        share = result.taken_for_real
        if share.share is None or share.low is None or share.high is None:
            continue
        lines.append(
            ShownResult(
                words=(words := ARMS.get(result.arm, result.arm))[:1].upper() + words[1:],
                model=result.model,
                arm=result.arm,
                votes=int(share.n),
                share=100 * share.share,
                low=100 * share.low,
                high=100 * share.high,
            )
        )
    return lines
