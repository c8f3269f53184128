"""Options of a command that come from a table, or of which there are many alike: one parameter for each of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import discord
from discord import app_commands

from talkalike.options import SAMPLING, Option

MOST_OPTIONS = 25  # of a command; Discord's limit
LONGEST_DESCRIPTION = 100  # Discord's limit
_LARGEST = 2**53 - 1  # and the largest whole number that it takes

CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])


def spread(described: Mapping[str, tuple[Any, str]]) -> Callable[[CallbackT], CallbackT]:
    """Puts optional options in the place of a command's `**options`: by name, each with its type and description."""

    def decorate(callback: CallbackT) -> CallbackT:
        signature = inspect.signature(callback)
        kept = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
            for name, (kind, _) in described.items()
        ]
        callback.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        return app_commands.describe(**{name: what for name, (_, what) in described.items()})(callback)

    return decorate


def sampling_options() -> dict[str, tuple[Any, str]]:
    """Every option of a reply, with its bounds."""
    return {key: (_range(option), option.description[:LONGEST_DESCRIPTION]) for key, option in SAMPLING.items()}


def chosen_sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of them that somebody set, as values of their type."""
    return {key: SAMPLING[key].type(value) for key, value in options.items() if key in SAMPLING and value is not None}


def example_options(most: int) -> dict[str, tuple[Any, str]]:
    """Pictures and their answers, in turns."""
    found: dict[str, tuple[Any, str]] = {}
    for number in range(1, most + 1):
        found[f"picture{number}"] = (discord.Attachment, f"Example {number}: its picture")
        found[f"answer{number}"] = (str, f"Example {number}: what is to be answered about it")
    return found


def numbered(options: Mapping[str, Any], name: str) -> Iterable[tuple[int, Any]]:
    """The options "name1", "name2", … by their numbers."""
    for key, value in options.items():
        if key.startswith(name) and key[len(name) :].isdigit():
            yield int(key[len(name) :]), value


def _range(option: Option) -> Any:
    low, high = option.type(option.low), option.type(min(option.high, _LARGEST))
    return app_commands.Range[option.type, low, high]
