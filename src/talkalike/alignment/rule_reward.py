r"""A reward of rules written down: patterns a reply should or should not have, and lengths it should keep to.

rewards:
  - name: no capitals
    pattern: '\p{Lu}'        # `regex`'s syntax
    weight: -1
    count: 3                 # each of the first 3 finds counts; without it only whether there is one
  - name: short messages
    length: {of: words, at_least: 2, at_most: 12}   # of: characters, words or messages
    weight: 0.5              # in full inside the range; less the further outside
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import regex

from talkalike.alignment.values import ReplySample
from talkalike.alignment.yaml_files import entries, known_keys, text_of
from talkalike.errors import UserError

_SECONDS = 1.0  # for one pattern and one reply; some patterns backtrack for ever
_UNITS = ("characters", "words", "messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRule:
    """`weight` for each find, at most `count` of them."""

    name: str
    pattern: regex.Pattern[str]
    weight: float
    count: int = 1

    def score(self, text: str) -> float:
        """Raises UserError for a pattern that takes too long."""
        found = 0
        try:
            for _ in self.pattern.finditer(text, timeout=_SECONDS):
                found += 1
                if found == self.count:
                    break
        except TimeoutError:
            raise UserError(
                f"The pattern of the rule '{self.name}' takes too long on the reply {text[:80]!r}.",
                hint="Write it without nested repetitions such as (a+)+.",
            ) from None
        return self.weight * found


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRule:
    """`weight` inside the range; outside, the share of the way that is kept (half as long: half the weight)."""

    name: str
    of: Literal["characters", "words", "messages"]
    at_least: int
    at_most: int | None
    weight: float

    def score(self, text: str) -> float:
        """Between 0 and the weight."""
        length = {"characters": len, "words": _words, "messages": _messages}[self.of](text)
        if length < self.at_least:
            return self.weight * length / self.at_least
        if self.at_most is not None and length > self.at_most:
            return self.weight * self.at_most / length
        return self.weight


@dataclass(frozen=True, slots=True)
class RuleReward:
    """The sum of what the rules give."""

    rules: tuple[PatternRule | LengthRule, ...]

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """One sum for each sample."""
        return [math.fsum(rule.score(sample.text) for rule in self.rules) for sample in samples]


def read_rule_reward(file: Path) -> RuleReward:
    """The rules of a file. Raises UserError naming the rule that cannot be used."""
    found = entries(
        file,
        "rewards",
        others={"rules": "It holds rules for the AI judge: use it with `talkalike align judge --rules`."},
    )
    return RuleReward(tuple(_rule(entry, f"{file}: rule {number}") for number, entry in enumerate(found, start=1)))


def _rule(entry: Mapping[str, Any], where: str) -> PatternRule | LengthRule:
    known_keys(entry, ("name", "pattern", "length", "weight", "count"), where)
    name = text_of(entry, "name", where)
    where = f"{where} ({name})"
    weight = _number(entry, "weight", where)
    if ("pattern" in entry) == ("length" in entry):
        raise UserError(f"{where} needs either a pattern or a length.")
    if "length" in entry:
        return _length_rule(entry, name, weight, where)
    count = entry.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(f"{where}: count has to be a whole number from 1.")
    try:
        pattern = regex.compile(text_of(entry, "pattern", where))
    except regex.error as problem:
        raise UserError(f"{where}: the pattern cannot be read: {problem}.") from None
    return PatternRule(name=name, pattern=pattern, weight=weight, count=count)


def _length_rule(entry: Mapping[str, Any], name: str, weight: float, where: str) -> LengthRule:
    given = entry["length"]
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: length is written like {{of: words, at_least: 2, at_most: 12}}.")
    known_keys(given, ("of", "at_least", "at_most"), where)
    unit, low, high = given.get("of", "characters"), given.get("at_least", 0), given.get("at_most")
    if unit not in _UNITS:
        raise UserError(f"{where}: a length is counted in {', '.join(_UNITS)}, not in '{unit}'.")
    whole = all(isinstance(end, int) and not isinstance(end, bool) and end >= 0 for end in (low, high or 0))
    if not whole or (high is not None and high < max(low, 1)) or (high is None and not low):
        raise UserError(f"{where}: at_least and at_most are whole numbers, at_most at least 1 and not the smaller one.")
    return LengthRule(name=name, of=cast(Any, unit), at_least=low, at_most=high, weight=weight)


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: {key} has to be a number.")
    return float(value)


def _words(text: str) -> int:
    return len(text.split())


def _messages(text: str) -> int:
    return sum(bool(line.strip()) for line in text.split("\n"))
