"""Rules by which an AI judges two replies, read from a YAML file; the package brings some.

The spirit is that of published principles (helpful, honest, harmless: Bai et al., arXiv:2212.08073) and of rules that
are judged one at a time (Glaese et al., arXiv:2209.14375); the words are our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkalike.alignment.yaml_files import entries, known_keys, text_of
from talkalike.errors import UserError

BUNDLED = Path(__file__).with_name("rules.yaml")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_BREAK = "example break"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRule:
    """One rule. `question` asks which of two replies keeps it better; `example_break` is a reply that breaks it."""

    id: str
    text: str
    question: str
    example_break: str = ""


def read_rules(file: Path | None = None, *, only: Sequence[str] = ()) -> tuple[JudgeRule, ...]:
    """The rules of a file (None: those of the package), or those of them with these ids, in the file's order.

    Raises UserError naming the rule that cannot be used, or the id that is not there.
    """
    file = file or BUNDLED
    found = entries(
        file,
        "rules",
        others={"rewards": "It holds patterns and lengths: use it with `talkalike align rl --reward`."},
    )
    rules = tuple(_rule(entry, f"{file}: rule {number}") for number, entry in enumerate(found, start=1))
    ids = [rule.id for rule in rules]
    for place, one in enumerate(ids):
        if one in ids[:place]:
            raise UserError(f"{file} has two rules called '{one}'.", hint="Give one of them another id.")
    for wanted in only:
        if wanted not in ids:
            raise UserError(f"{file} has no rule '{wanted}'.", hint=f"It has: {', '.join(ids)}.")
    return tuple(rule for rule in rules if not only or rule.id in only)


def _rule(entry: Mapping[str, Any], where: str) -> JudgeRule:
    known_keys(entry, ("id", "text", "question", _BREAK), where)
    name = text_of(entry, "id", where)
    if not _ID.fullmatch(name):
        raise UserError(
            f"{where}: '{name[:60]}' cannot be an id.",
            hint="An id has small letters, digits and hyphens, at most 40 of them.",
        )
    where = f"{where} ({name})"
    return JudgeRule(
        id=name,
        text=text_of(entry, "text", where),
        question=text_of(entry, "question", where),
        example_break=text_of(entry, _BREAK, where) if entry.get(_BREAK) else "",
    )
