"""Two invented authors whose manners differ, and a base model's voice: what the likeness tests compare."""

from __future__ import annotations

import random
from collections.abc import Callable

Write = Callable[[random.Random], str]
SUBJECTS = ["the boat", "my sister", "that film", "the garden", "our teacher", "the train", "dinner", "the dog"]
VERBS = ["was late", "looks great", "made me laugh", "cost a fortune", "needs work", "is broken", "went well"]


def lena(rng: random.Random) -> str:
    """Lower case, no full stop, stretched words and emoticons."""
    text = f"{rng.choice(['hahaa', 'omggg', 'nooo', 'yesss'])} {rng.choice(SUBJECTS)} {rng.choice(VERBS)}"
    return text + rng.choice([" :)", " xD", "", " lol", "!!"])


def ruben(rng: random.Random) -> str:
    """Whole sentences with capitals and full stops."""
    opening = rng.choice(["Indeed,", "I believe", "As far as I know,", "To be honest,"])
    return f"{opening} {rng.choice(SUBJECTS)} {rng.choice(VERBS)}{rng.choice(['.', '; I am certain.', ', of course.'])}"


def assistant(rng: random.Random) -> str:
    """The voice of a base model tuned to assist."""
    subject, verb = rng.choice(SUBJECTS), rng.choice(VERBS)
    return f"Certainly! It is important to note that {subject} {verb}. How can I assist you further today?"


def write(author: Write, count: int, *, seed: int) -> list[str]:
    """`count` messages, the same for the same seed."""
    rng = random.Random(seed)
    return [author(rng) for _ in range(count)]


def bursts(author: Write, count: int, *, seed: int) -> list[list[str]]:
    """`count` replies of one to three messages."""
    rng = random.Random(seed)
    return [[author(rng) for _ in range(rng.choice([1, 1, 2, 3]))] for _ in range(count)]
