"""How much the double may write in a day, for one person and for one server, and what it says when that is used up."""

from __future__ import annotations

from dataclasses import dataclass

RENEWS = "It renews at midnight UTC."


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be used in a day; 0 means no limit."""

    replies_user: int = 0
    tokens_user: int = 0
    replies_server: int = 0
    tokens_server: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What was used today."""

    replies_user: int = 0
    tokens_user: int = 0
    replies_server: int = 0
    tokens_server: int = 0


def refusal(budget: Budget, used: Used) -> str:
    """Why there is no reply any more today, in words for the person who asked; empty while there is room."""
    limits = (
        (budget.replies_user, used.replies_user, "You have had today's {limit} for one person."),
        (budget.tokens_user, used.tokens_user, "Your replies have reached today's length for one person ({limit})."),
        (budget.replies_server, used.replies_server, "This server has had its {limit} for today."),
        (budget.tokens_server, used.tokens_server, "This server's replies have reached today's length ({limit})."),
    )
    for (limit, spent, words), unit in zip(limits, ("reply", "token", "reply", "token"), strict=True):
        if 0 < limit <= spent:
            return f"{words.format(limit=_count(limit, unit))} {RENEWS}"
    return ""


def _count(number: int, unit: str) -> str:
    many = "replies" if unit == "reply" else f"{unit}s"
    return f"{number:,} {unit if number == 1 else many}"
