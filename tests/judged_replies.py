"""Judgements of invented replies by people with a known preference, for tests of what is learned from them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from talkalike.store.judging.judgement_values import (
    AnyRecord,
    Choice,
    ComparisonRecord,
    CorrectionRecord,
    FlagRecord,
    JudgedReply,
    Kind,
    RatingRecord,
    Scale,
)
from talkalike.store.judging.lines import to_line

WORDS = ["hello", "there", "plan", "tonight", "fine", "thanks", "see", "you", "at", "eight", "cinema", "no", "idea"]
START = datetime(2026, 1, 1, tzinfo=UTC)


def reply(number: int, messages: Sequence[str], model: str = "anna-lora") -> JudgedReply:
    """What that model said to the context of that number."""
    rng = random.Random(f"context {number}")
    said = tuple((("Bob", "Cyril")[turn % 2], f"{number} {sentence(rng)}") for turn in range(1 + number % 3))
    return JudgedReply(context=said, speaker="Anna", messages=tuple(messages), model=model)


def sentence(rng: random.Random, *, laughs: bool = False) -> str:
    """A few words, with or without laughter."""
    words = rng.choices(WORDS, k=rng.randint(2, 6))
    return " ".join([*words[:-1], "haha"] if laughs else words)


def common(number: int, judge: str = "judge-1", kind: Kind = Kind.HUMAN, form: str = "pair") -> dict[str, Any]:
    at = START + timedelta(minutes=number)
    return {"id": f"{judge}-{form}-{number}", "at": at, "judge": judge, "kind": kind, "seconds": 4.0}


def comparison(number: int, a: str, b: str, choice: Choice, **who: Any) -> ComparisonRecord:
    shown: Any = ("a", "b") if number % 2 else ("b", "a")
    return ComparisonRecord(
        **common(number, **who), a=reply(number, [a]), b=reply(number, [b], "tiny"), choice=choice, shown=shown
    )


def soft(number: int, a: str, b: str, probability: float, judge: str = "judge:wise:kind") -> ComparisonRecord:
    """What an AI judge says: how likely it is that a is better."""
    choice = Choice.A if probability > 0.5 else Choice.B
    record = comparison(number, a, b, choice, judge=judge, kind=Kind.AI)
    return replace(record, probability=probability, gap=0.1)


def laughing(count: int, *, first: int = 0, judge: str = "judge-1", wrong: float = 0.0) -> list[ComparisonRecord]:
    """Comparisons by somebody who always prefers the reply that laughs, but for a share of slips."""
    rng = random.Random(first)
    made = []
    for number in range(first, first + count):
        laughs, plain = sentence(rng, laughs=True), sentence(rng)
        liked_first = rng.random() < 0.5
        a, b = (laughs, plain) if liked_first else (plain, laughs)
        right = rng.random() >= wrong
        made.append(comparison(number, a, b, Choice.A if liked_first == right else Choice.B, judge=judge))
    return made


def ratings(
    count: int,
    value: Callable[[bool], int],
    *,
    first: int = 0,
    judge: str = "judge-1",
    scale: Scale = Scale.SOUNDS_LIKE_ME,
) -> list[RatingRecord]:
    """Ratings that depend on whether the reply laughs."""
    rng = random.Random(first + 7)
    made = []
    for number in range(first, first + count):
        laughs = rng.random() < 0.5
        said = reply(number, [sentence(rng, laughs=laughs)])
        made.append(RatingRecord(**common(number, judge, form="rating"), reply=said, scale=scale, value=value(laughs)))
    return made


def correction(number: int, said: str, edited: str) -> CorrectionRecord:
    return CorrectionRecord(**common(number, form="correction"), reply=reply(number, [said]), text=edited)


def flag(number: int, said: str) -> FlagRecord:
    return FlagRecord(**common(number, form="flag"), reply=reply(number, [said]), reason="no")


def written(path: Path, records: Iterable[AnyRecord]) -> Path:
    """The records as an exported file."""
    path.write_text("".join(to_line(record) + "\n" for record in records), encoding="utf-8")
    return path
