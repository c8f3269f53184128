"""A conversation's settings: which of the options people may set here, shown and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from talkalike.chat.options import OPTIONS, Resolved, parse
from talkalike.errors import UserError

FIRST = ("temperature", "max_messages", "reactions", "persona")
MORE = ("top_p", "top_k", "min_p", "repetition_penalty", "seed", "max_tokens", "best_of", "budget_tokens", "side_talk")
LABELS = {
    "temperature": "Temperature",
    "max_messages": "Messages per reply, at most",
    "reactions": "Reactions",
    "persona": "Persona",
    "top_p": "Top-p",
    "top_k": "Top-k",
    "min_p": "Min-p",
    "repetition_penalty": "Repetition penalty",
    "seed": "Seed",
    "max_tokens": "Reply length, at most (tokens)",
    "best_of": "Best of n replies",
    "budget_tokens": "Context length (tokens)",
    "side_talk": "Prefix of messages it does not see",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One option in the form. `value` is what was set here, "" where nothing was; `default` is what holds then."""

    key: str
    label: str
    value: str
    default: str
    hint: str
    switch: bool
    long: bool


def fields(keys: tuple[str, ...], given: Mapping[str, Any], wide: Resolved) -> Iterator[Field]:
    """The fields of these options, with what was `given` here; `wide` holds where nothing was."""
    for key in keys:
        option = OPTIONS[key]
        yield Field(
            key=key,
            label=LABELS[key],
            value=option.words(given[key]) if key in given else "",
            default=wide.words(key),
            hint=option.help,
            switch=option.type is bool,
            long=key == "persona",
        )


def read(posted: Mapping[str, str]) -> dict[str, Any]:
    """The values that were set; an empty field sets nothing. Raises UserError naming each one that cannot be."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key in (*FIRST, *MORE):
        typed = posted.get(key, "").strip()
        if not typed:
            continue
        try:
            values[key] = parse(key, typed)
        except UserError as error:
            problems.append(str(error.what))
    if problems:
        raise UserError(" ".join(problems), hint="Nothing was changed.")
    return values
