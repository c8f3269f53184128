"""Blind tests for tests of the guess page: real replies, a double's and a base model's."""

from __future__ import annotations

from talkalike.store.judging import guesses
from talkalike.store.judging.guesses import Writing

BASE, DOUBLE = "base-0.6b", "anna-3"


def make_round(count: int, *, arms: tuple[str, ...] = ("double", "base"), name: str = "Who is Anna?") -> int:
    """An open blind test with that many moments; a real reply says "really"."""
    number = guesses.make_round(name)
    for i in range(count):
        context = [("Ben Bold", f"hi Cleo, question {i}?"), ("Anna", "hm"), ("Cleo", "Ben asked you")]
        for arm in arms if i % 2 else arms[::-1]:
            guesses.add_question(
                number,
                context,
                "Anna",
                real=Writing(messages=(f"I really said {i}", "to Ben")),
                other=Writing(messages=(f"The {arm} said {i}",), model=DOUBLE if arm == "double" else BASE, arm=arm),
            )
    return number
