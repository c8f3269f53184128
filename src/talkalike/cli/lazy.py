"""A group of commands that imports each command's module only when that command runs or its own help is asked for.

So the program starts light, while the modules of the commands import what they need at their top, as any other module.
"""

from __future__ import annotations

import importlib
from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from talkalike.cli.numbers import finite_only


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is (a function, or a group of its own) and its line in the help of the group it is in."""

    module: str
    attribute: str
    help: str

    def load(self, name: str) -> Any:
        """The command itself. Its options take no number that is none."""
        found = getattr(importlib.import_module(self.module), self.attribute)
        holder = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name)(found)
        command = typer.main.get_group(holder).commands[name]
        finite_only(command)
        return command


class LazyCommands(UserDict[str, Any]):
    """The commands by their names, in the order of the table; each is loaded when it is first looked at."""

    def __getitem__(self, name: str) -> Any:
        if isinstance(found := super().__getitem__(name), LazyCommand):
            found = self.data[name] = found.load(name)
        return found


class LazyGroup(TyperGroup):
    """A group whose commands are those of `table`; a typer app takes it as `cls`."""

    table: ClassVar[Mapping[str, LazyCommand]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = LazyCommands(self.table)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names; nothing is loaded for them."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The part of the help that lists the commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])
