"""The workspace: the folder with `talkalike.toml` in which everything of one owner lies; how it is made and found.

Its secrets come from the environment, or from a file in it that only its owner can read. They are never printed.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.cli.commands import VARIABLE, WorkspaceOption
from talkalike.cli.output import JsonOption, emit
from talkalike.errors import UserError
from talkalike.settings import Settings, default_toml, load_settings
from talkalike.workspace.files import write_atomically
from talkalike.workspace.paths import SETTINGS_FILE, WorkspacePaths
from talkalike.workspace.privacy import close_folder

FICTIONAL_FILE = "FICTIONAL"
"""A workspace with this file holds the bundled, invented sample; what is made from it is labelled as such."""

TOKEN_VARIABLE = "DISCORD_TOKEN"
DATABASE_VARIABLE = "DATABASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(WorkspacePaths):
    """A workspace: where everything lies, and its settings."""

    settings: Settings

    @property
    def is_fictional(self) -> bool:
        """Whether its chats are the bundled, invented sample."""
        return (self.root / FICTIONAL_FILE).exists()


def open_workspace(directory: Path | None = None) -> Workspace:
    """The workspace in `directory`, else in $TALKALIKE_WORKSPACE, else around the current folder, with its settings.

    Raises UserError where there is none, or if its settings are wrong.
    """
    root = find_root(directory)
    if not root.exists():
        raise UserError(f"There is no folder {root}.", hint=f"Make a workspace there with: talkalike init {root}")
    if not root.is_dir():
        raise UserError(f"{root} is a file, not a workspace.", hint="Give the folder in which talkalike.toml lies.")
    file = root / SETTINGS_FILE
    if not file.exists():
        raise UserError(
            f"{root} is not a workspace: it has no {SETTINGS_FILE}.",
            hint="Make one with `talkalike init DIR`, then work inside it or pass --workspace DIR.",
        )
    close_folder(root)  # workspaces of older versions were made open to others; `doctor` closes each file, too
    return Workspace(root=root, settings=load_settings(file, os.environ))


def find_root(directory: Path | None = None) -> Path:
    """The folder that `open_workspace` opens; it may turn out to be no workspace."""
    named = directory or os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / SETTINGS_FILE).is_file()), here)


# -------------------------------------------------------------------------------------------------------- making one
def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder to make it in. Default: the current one.")
    ] = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: a folder with a commented talkalike.toml. One that is there already is left as it is."""
    wanted = directory or workspace_dir
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
        screen.print("Which base model suits this machine and your chats: talkalike advise base")

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


# ----------------------------------------------------------------------------------------------------------- secrets
def token_file(workspace: Workspace) -> Path:
    """Where `talkalike discord setup` keeps the bot's token."""
    return workspace.root / "discord.token"


def discord_token(workspace: Workspace) -> str:
    """The bot's token from $DISCORD_TOKEN, else from the workspace's file; empty where there is neither.

    Raises UserError for a file that others may read.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    file = token_file(workspace)
    if token or not file.exists():
        return token
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise UserError(
            f"{file} holds the bot's token, and other users of this computer can read it (mode {mode:o}).",
            hint="Run: talkalike doctor. If others may have seen the token, make a new one in the developer portal.",
        )
    return file.read_text(encoding="utf-8-sig").strip()


def keep_token(workspace: Workspace, token: str) -> Path:
    """Writes the token's file, readable by its owner only from the first moment."""
    file = token_file(workspace)
    write_atomically(file, f"{token}\n")
    return file


def database_url(workspace: Workspace) -> str:
    """The database of the workspace: $DATABASE_URL (it may hold a password), else a SQLite file."""
    return os.environ.get(DATABASE_VARIABLE, "").strip() or f"sqlite:///{workspace.database}"
