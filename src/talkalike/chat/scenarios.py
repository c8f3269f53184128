"""Scenarios for /test: short conversations with what is expected of the reply. Files in TOML:

    description = "..."
    [[case]]
    name = "first hello"
    turns = [{ speaker = "Maya", text = "hi!" }]    # {double} stands for the double's name, as a speaker and in a text
    reference = ["hello :)"]                        # optional: replies the person really gave, or would have
    must = ['\\bhi\\b']                               # optional: patterns each of which the reply has to contain
    must_not = ['password']                         # optional: patterns it must not contain
    canary = "PINEAPPLE-7"                          # optional: a word that only an obeyed injection would say
    asks_if_human = true                            # optional: the last turn asks sincerely what the double is

Patterns are Python's regular expressions, whatever the case of letters.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from talkalike.errors import UserError
from talkalike.examples.render import Turn

DOUBLE = "{double}"
LONGEST_FILE = 256 * 1024  # bytes
MOST_CASES = 100
_SAFETY = ("injection", "introduction", "provocation")
_TEXTS = ("reference", "must", "must_not")
_KEYS = frozenset({"name", "turns", *_TEXTS, "canary", "asks_if_human"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One conversation to be answered. `turns` carry `{double}` until `turns_for` names the double."""

    name: str
    turns: tuple[Turn, ...]
    reference: tuple[str, ...] = ()
    must: tuple[re.Pattern[str], ...] = ()
    must_not: tuple[re.Pattern[str], ...] = ()
    canary: str = ""
    asks_if_human: bool = False

    def turns_for(self, double: str) -> tuple[Turn, ...]:
        """The conversation with the double's name in it."""
        return tuple(
            Turn(turn.speaker.replace(DOUBLE, double), turn.text.replace(DOUBLE, double)) for turn in self.turns
        )

    @property
    def prompt(self) -> str:
        """What is answered: the last speaker's messages since somebody else spoke."""
        last = self.turns[-1].speaker
        begin = next((i + 1 for i in reversed(range(len(self.turns))) if self.turns[i].speaker != last), 0)
        return "\n".join(turn.text for turn in self.turns[begin:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Cases that look at the same thing."""

    name: str
    description: str
    cases: tuple[Case, ...]


def shipped_scenarios() -> tuple[Scenario, ...]:
    """The scenarios that come with talkalike, in the order of their names."""
    folder = resources.files("talkalike.chat") / "scenarios"
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return tuple(read(one.read_bytes(), source=one.name) for one in files)


def safety_cases() -> list[Case]:
    """The shipped cases that try whether a double can be led astray."""
    return [case for scenario in shipped_scenarios() if scenario.name in _SAFETY for case in scenario.cases]


def in_folder(folder: Path) -> tuple[Scenario, ...]:
    """The scenarios of a folder, in the order of their names. Raises UserError where it or a file cannot be read."""
    try:
        files = sorted(folder.glob("*.toml"))
        if not folder.is_dir():
            raise NotADirectoryError(folder)
        return tuple(read(file.read_bytes(), source=file.name) for file in files)
    except OSError as error:
        raise UserError(
            f"The folder of scenarios '{folder}' cannot be read: {error.strerror or 'it is no folder'}.",
            hint="Correct the path, or leave the setting empty.",
        ) from None


def read(data: bytes, *, source: str) -> Scenario:
    """A scenario from a file's bytes; `source` is its name. Raises UserError that says what is wrong and where."""
    if len(data) > LONGEST_FILE:
        raise _wrong(source, f"it has {len(data):,} bytes, more than {LONGEST_FILE:,}")
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(source, f"it is no TOML file in UTF-8 ({error})") from None
    if unknown := set(content) - {"description", "case"}:
        raise _wrong(source, f"'{sorted(unknown)[0]}' is unknown; there are description and [[case]]")
    cases = content.get("case", [])
    if not isinstance(cases, list) or not 0 < len(cases) <= MOST_CASES:
        raise _wrong(source, f"it needs between 1 and {MOST_CASES} cases, each under [[case]]")
    read_cases = tuple(_case(one, source=source, number=number) for number, one in enumerate(cases, start=1))
    names = [case.name for case in read_cases]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise _wrong(source, f"two cases are called '{repeated[0]}'")
    return Scenario(
        name=source.removesuffix(".toml").replace("_", " "),
        description=str(content.get("description", "")),
        cases=read_cases,
    )


def _case(given: Any, *, source: str, number: int) -> Case:
    where = f"{source}, case {number}"
    if not isinstance(given, dict):
        raise _wrong(where, "it is no table")
    if unknown := set(given) - _KEYS:
        raise _wrong(where, f"'{sorted(unknown)[0]}' is unknown; there are: {', '.join(sorted(_KEYS))}")
    name = given.get("name", f"case {number}")
    canary, asks_if_human = given.get("canary", ""), given.get("asks_if_human", False)
    if not isinstance(name, str) or not isinstance(canary, str) or not isinstance(asks_if_human, bool):
        raise _wrong(where, "name and canary are texts, asks_if_human is true or false")
    texts = {key: _texts(given.get(key, []), where=f"{where}, {key}") for key in _TEXTS}
    return Case(
        name=name,
        turns=_turns(given.get("turns"), where=where),
        reference=texts["reference"],
        must=tuple(_pattern(one, where=f"{where}, must") for one in texts["must"]),
        must_not=tuple(_pattern(one, where=f"{where}, must_not") for one in texts["must_not"]),
        canary=canary,
        asks_if_human=asks_if_human,
    )


def _turns(given: Any, *, where: str) -> tuple[Turn, ...]:
    if not isinstance(given, list) or not given:
        raise _wrong(where, "it needs turns, each with speaker and text")
    turns = []
    for turn in given:
        fits = isinstance(turn, dict) and set(turn) == {"speaker", "text"}
        if not fits or not all(isinstance(one, str) and one.strip() for one in turn.values()):
            raise _wrong(where, "each turn has a speaker and a text, and nothing else")
        turns.append(Turn(turn["speaker"], turn["text"]))
    if turns[-1].speaker == DOUBLE:
        raise _wrong(where, "the last turn is the double's own, so there is nothing to answer")
    return tuple(turns)


def _texts(given: Any, *, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
        raise _wrong(where, "it is a list of texts")
    return tuple(given)


def _pattern(text: str, *, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise _wrong(where, f"'{text}' is no regular expression ({error})") from None


def _wrong(where: str, what: str) -> UserError:
    return UserError(f"The scenario file {where}: {what}.", hint="Correct the file, then run the test again.")
