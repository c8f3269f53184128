"""`talkalike init`: makes a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.cli.output import JsonOption, emit
from talkalike.cli.workspace import WorkspaceOption, find_root
from talkalike.errors import UserError
from talkalike.settings import default_toml
from talkalike.workspace.files import write_atomically
from talkalike.workspace.paths import SETTINGS_FILE
from talkalike.workspace.privacy import close_folder


def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder to make it in. Default: the current one.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: a folder with a commented talkalike.toml. One that is there already is left as it is."""
    wanted = directory or workspace
    root = find_root(wanted) if wanted else Path.cwd()
    created = make_workspace(root)

    def render(screen: Console) -> None:
        if not created:
            screen.print(f"{root} is a workspace already; nothing was changed.", soft_wrap=True, markup=False)
            return
        screen.print(f"Made a workspace in {root}.", soft_wrap=True, markup=False)
        screen.print(f"Its settings, each explained, are in {SETTINGS_FILE}.")
        inside = "" if root == Path.cwd() else f"cd {root}, then "
        screen.print(f"Next: {inside}talkalike import PATH (your export)", soft_wrap=True, markup=False)

    emit(as_json, {"workspace": root, "settings": root / SETTINGS_FILE, "created": created}, render)


def make_workspace(root: Path) -> bool:
    """Makes `root` a workspace with the default settings; false if it is one. UserError where that cannot be."""
    if (root / SETTINGS_FILE).exists():
        return False
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{root} cannot be a folder: there is a file.", hint="Choose another name.") from None
    close_folder(root)  # it may have been there, open to others
    write_atomically(root / SETTINGS_FILE, default_toml())
    return True
