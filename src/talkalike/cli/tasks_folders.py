"""`talkalike task export` and `import`: a task as a folder with task.toml and its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chat.seeing.folder import read_folder, write_folder
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import JsonOption, emit, one_line, quantity
from talkalike.cli.tasks_opening import (
    OWNER,
    NameArgument,
    ServerOption,
    place_of,
    read_pictures,
    report_version,
)
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.errors import UserError
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import own_task, pictures_of, usable_task
from talkalike.store.store import open_store


def export_task(
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(help="Folder to write; it gets task.toml and the pictures.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it holds a task.")] = False,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a task as a folder. It can be added elsewhere with `talkalike task import`."""
    workspace = open_workspace(workspace_dir)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        if not (folder / "task.toml").is_file():
            raise UserError(f"{folder} is there already and holds no task.", hint="Choose another name.")
        if not force:
            raise UserError(f"{folder} holds a task already.", hint="Choose another name, or replace it with --force.")
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place_of(server), name)
        pictures = store.call(pictures_of, found.spec)
    still = write_folder(folder, found.spec, pictures)
    data = {"folder": folder, "name": found.spec.name, "pictures": len(pictures), "animations_cut": still}

    def render(screen: Console) -> None:
        screen.print(one_line(f"Wrote the task '{found.label}' with {quantity(len(pictures), 'picture')} to {folder}."))
        if still:
            screen.print(f"Of {quantity(still, 'animation')} only the first frame was written.")

    emit(as_json, data, render)


def import_task(
    folder: Annotated[Path, typer.Argument(help="Folder that 'talkalike task export' wrote.")],
    name: Annotated[str | None, typer.Option(help="Name for the task. Default: the one in the folder.")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Add a version if there is a task of this name already.")
    ] = False,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a task from a folder. Its pictures are written anew, without what cameras note in them."""
    workspace = open_workspace(workspace_dir)
    read = read_folder(folder)
    by_file = read_pictures(one.file for one in read.examples if one.file)
    spec = read.with_pictures(by_file)
    spec = replace(spec, name=(name or spec.name).casefold())
    pictures = {picture.hash: picture for picture in by_file.values()}
    place = place_of(server)
    with open_store(database_url(workspace)) as store:
        there = store.call(tasks.versions_of, place, spec.name)
        if there and not update:
            raise UserError(
                f"There is a task '{spec.name}' already.",
                hint="Choose another name with --name, or add a version to it with --update.",
            )
        store.call(tasks.revise if there else tasks.register, place, spec, pictures, by=OWNER)
        stored = store.call(own_task, place, spec.name)
    report_version(stored, as_json=as_json)
