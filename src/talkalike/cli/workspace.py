"""The workspace: the folder with `talkalike.toml` in which everything of one owner lies, and how it is found."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkalike.errors import UserError
from talkalike.workspace.paths import SETTINGS_FILE, WorkspacePaths
from talkalike.workspace.privacy import close_folder

if TYPE_CHECKING:
    from talkalike.chats.archive import Archive
    from talkalike.examples.dataset import ExampleSet
    from talkalike.settings import Settings

FICTIONAL_FILE = "FICTIONAL"
"""A workspace with this file holds the bundled, invented sample; what is made from it is labelled as such."""

VARIABLE = "TALKALIKE_WORKSPACE"
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help=f"The workspace. Default: ${VARIABLE}, or this folder or the nearest one above with a {SETTINGS_FILE}.",
        show_default=False,
    ),
]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_ODD = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(WorkspacePaths):
    """An opened workspace: where everything lies, and its settings."""

    settings: Settings

    @property
    def is_fictional(self) -> bool:
        """Whether its chats are the bundled, invented sample."""
        return (self.root / FICTIONAL_FILE).exists()

    def archive(self) -> Archive:
        """The imported chats, possibly none."""
        from talkalike.chats.archive import Archive  # pyarrow: few commands read the chats

        return Archive(self.chats)

    def filled_archive(self) -> Archive:
        """The imported chats; UserError if there are none yet."""
        archive = self.archive()
        if archive.is_empty:
            raise UserError(f"No chats are imported in {self.root} yet.", hint="Run: talkalike import PATH")
        return archive

    def example_set(self, name: str | None = None) -> ExampleSet:
        """The named example set, or the one prepared last; UserError if there is none."""
        from talkalike.examples.opening import open_examples  # numpy: few commands read examples

        return open_examples(self.examples, name)


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
    # pydantic: the program itself reads this module for its `--workspace`
    from talkalike.settings import load_settings

    close_folder(root)  # workspaces of older versions were made open to others; `doctor` closes each file, too
    return Workspace(root=root, settings=load_settings(file, os.environ))


def find_root(directory: Path | None = None) -> Path:
    """The folder that `open_workspace` opens; it may turn out to be no workspace."""
    named = directory or os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / SETTINGS_FILE).is_file()), here)


def hand_down(context: typer.Context, **values: object) -> None:
    """Makes options of a group the defaults of its commands, so that they may stand on either side of the name."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items() if value}
    commands: Mapping[str, object] = getattr(context.command, "commands", {})
    context.default_map = dict.fromkeys(commands, given)


def storage_error(error: OSError) -> UserError | None:
    """What a failed read or write means to a person; None if it is no matter of space, permissions or paths."""
    where = f": {error.filename}" if error.filename else ""
    short_write = error.errno is None and "requested and" in str(error)  # numpy's words, without a number
    if error.errno in _FULL or short_write:
        return UserError(
            f"The disk is full{where}. What was finished before is unharmed.",
            hint="Free some space, then run the command again.",
        )
    if error.errno in _DENIED:
        return UserError(
            f"This cannot be read or written ({os.strerror(error.errno)}){where}.",
            hint="Check its permissions, or use another workspace (--workspace DIR).",
        )
    if error.errno in _ODD:
        return UserError(f"This path cannot be used ({os.strerror(error.errno)}){where}.", hint="Check what it names.")
    return None
