"""How commands and their options are declared: groups that load their commands late, options that several share.

A command's module is imported only when that command runs or its own help is asked for. So the program starts light,
while the modules of the commands import what they need at their top, as any other module.
"""

from __future__ import annotations

import importlib
import math
from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from talkalike.workspace.paths import SETTINGS_FILE

VARIABLE = "TALKALIKE_WORKSPACE"
LARGEST_SEED = 2**32 - 1  # what every library that draws takes
LONGEST_GAP_HOURS = 87_600  # ten years
OLD_OPTIONS = {
    "--kl": "--kl-coef",
    "--moments": "--prompts",
    "--no-prompted": "--no-prompted-base",
    "--prompted": "--prompted-base",
    "--samples": "--group-size",
}
"""Options that got another name: the old one is taken until the next version, with a remark that names the new one."""

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help=f"The workspace to use. Default: ${VARIABLE}, or this folder or the nearest one above with a "
        f"{SETTINGS_FILE}.",
        show_default=False,
    ),
]


# -------------------------------------------------------------------------------------------------------- lazy groups
@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is (a function, or a group of its own) and its line in the help of the group it is in."""

    module: str
    attribute: str
    help: str

    def load(self, name: str) -> Any:
        """Imports the command's module and returns the command. Its options take no number that is none."""
        found = getattr(importlib.import_module(self.module), self.attribute)
        holder = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            for each in found.registered_commands:
                each.cls = CommandWithOldNames
            holder.add_typer(found, name=name)
        else:
            holder.command(name, cls=CommandWithOldNames)(found)
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
        """The names of the commands; nothing is loaded for them."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands in the help, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])


# ------------------------------------------------------------------------------------------------------------ options
class CommandWithOldNames(TyperCommand):
    """A command that takes the old names of its options, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the new names in place of the old ones and says so on stderr, then reads the arguments as ever."""
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        renamed = {old: new for old, new in OLD_OPTIONS.items() if old not in known and new in known}
        end = args.index("--") if "--" in args else len(args)
        for place, word in enumerate(args[:end]):
            old, equals, value = word.partition("=")
            if old in renamed:
                args[place] = f"{renamed[old]}{equals}{value}"
                typer.echo(f"{old} is now called {renamed[old]}; the next version takes only that name.", err=True)
        return super().parse_args(ctx, args)


def above_zero(value: float | None) -> float | None:
    """An option's callback: refuses 0 and less."""
    if value is not None and value <= 0:
        raise typer.BadParameter("It must be above 0.")
    return value


def finite_only(command: Any) -> None:
    """Lets no option of the command, or of any below it, take what Python reads as a number but is none: nan, inf."""
    for param in command.params:
        param.callback = _finite_before(param.callback)
    below = getattr(command, "commands", {})
    for each in below.values() if isinstance(below, dict) else ():  # a lazy group's are seen to as they are loaded
        finite_only(each)


def _finite_before(callback: Any) -> Any:
    def check(context: Any, param: Any, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no number to calculate with.", ctx=context, param=param)
        return callback(context, param, value) if callback else value

    return check


def hand_down(context: typer.Context, **values: object) -> None:
    """Makes options of a group the defaults of its commands, so that they may stand on either side of the name."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items() if value}
    commands: Mapping[str, object] = getattr(context.command, "commands", {})
    context.default_map = dict.fromkeys(commands, given)
