"""The options of a reply, declared once: settings, Discord, the website, the terminal and the API all read this table.

A value outside its bounds is refused where it is written, in a sentence that names the bounds.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

from talkalike.errors import UserError

SCOPES = ("bot", "server", "channel", "thread")  # where an option can be set; widest first

_YES = frozenset({"on", "yes", "true", "1"})
_NO = frozenset({"off", "no", "false", "0"})
_NONE = frozenset({"none", "off", "random", ""})
_EMPTY = frozenset({"none", "off", ""})
_KINDS = {bool: "a switch", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `low` and `high` bound a number, or the length of a text; `unit` is what is counted.

    `none`: the word for None where that is a value, else "". `strictest`: the smallest value set anywhere holds, where
    0 means no limit.
    """

    key: str
    default: Any
    description: str
    _: KW_ONLY
    low: float = 0
    high: float = math.inf
    unit: str = ""
    none: str = ""
    strictest: bool = False
    scopes: tuple[str, ...] = SCOPES

    @property
    def type(self) -> type[Any]:
        """bool, int, float or str: what its default is. Where that is None, a whole number."""
        return int if self.default is None else self.default.__class__

    @property
    def range(self) -> str:
        """What may be given, in words."""
        if self.type is bool:
            return "on or off"
        unit = self.unit or ("characters" if self.type is str else "")
        words = f"{_number(self.low)} to {_number(self.high)} {unit}".strip()
        return f"{words}, or {self.none}" if self.none else words

    @property
    def help(self) -> str:
        """What it does and what may be given, in one line."""
        return f"{self.description} ({self.range})"

    def parse(self, text: str) -> Any:
        """The value a person typed. Raises UserError in words where it is of the wrong kind or out of bounds."""
        typed = text.strip()
        word = typed.lower()
        if self.none and (word in _NONE or word == self.none):
            return None
        value: Any = typed
        if self.type is bool:
            value = True if word in _YES else False if word in _NO else typed
        elif self.type is str:
            value = "" if word in _EMPTY else typed
        else:
            try:
                value = self.type(typed)
            except ValueError:
                value = typed
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raises UserError where this is no value the option can have."""
        if value is None and self.none:
            return
        kinds = (int, float) if self.type is float else (self.type,)
        fits = type(value) in kinds and (not isinstance(value, float) or math.isfinite(value))
        size = len(value) if isinstance(value, str) else value
        if fits and (self.type is bool or self.low <= size <= self.high):
            return
        given = value
        if isinstance(value, str):
            given = f"{size:,} long" if self.type is str else f"'{value[:40]}'"
        raise UserError(f"The option '{self.key}' is {_KINDS[self.type]}, {self.range}, but was {given}.")

    def words(self, value: Any) -> str:
        """A value as a person would type it."""
        if value is None or value == "":
            return self.none or "none"
        if isinstance(value, bool):
            return "on" if value else "off"
        return f"{value:.10g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def by_key(*options: Option) -> dict[str, Option]:
    return {option.key: option for option in options}


SAMPLING = by_key(
    Option("temperature", 0.8, "Sampling temperature: how freely words are chosen. 0: always the likeliest.", high=5),
    Option(
        "top_p",
        0.95,
        "Choose among the likeliest words with this much probability together. 1: all; 0: the first.",
        high=1,
    ),
    Option("top_k", 0, "Choose among this many of the likeliest words. 0: all.", high=1_000_000),
    Option("min_p", 0.0, "Leave out words less likely than this share of the likeliest one. 0: none.", high=1),
    Option("repetition_penalty", 1.0, "Above 1: words that already occurred become less likely.", low=0.5, high=5),
    Option(
        "seed",
        None,
        "Random seed: the same seed and context give the same reply. None: different every time.",
        high=2**53,  # what JSON keeps exactly everywhere
        none="none",
    ),
    Option(
        "max_tokens", 256, "Longest reply in tokens, all its messages together.", low=1, high=131_072, unit="tokens"
    ),
    Option("max_messages", 8, "Maximum number of messages in one reply.", low=1, high=64, unit="messages"),
    Option(
        "best_of",
        1,
        "Write this many replies, send the one with the highest reward. Takes that much longer.",
        low=1,
        high=32,
        unit="replies",
    ),
)
"""How a reply is sampled: the fields of `engine.protocol.Sampling`."""

BUDGET_TOKENS = Option(
    "budget_tokens",
    1500,
    "How much of the conversation the model sees, in tokens. auto: all that fits.",
    low=64,
    high=1_000_000,
    unit="tokens",
    none="auto",
)
REPLY = by_key(*SAMPLING.values(), BUDGET_TOKENS)
"""What can be set for replies in every face."""
