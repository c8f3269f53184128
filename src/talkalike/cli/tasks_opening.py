"""What the commands of `talkalike task` share: whose tasks are meant, and files that become pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from talkalike.chat.seeing.card import card_json, read_card
from talkalike.chat.seeing.values import TaskSpec
from talkalike.cli.output import emit, one_line
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, Picture
from talkalike.store.seeing.tasks import StoredTask, TaskPlace

OWNER = 0  # who changes tasks in the terminal

NameArgument = Annotated[str, typer.Argument(help="Name of the task; NAME@3 is its third version.")]
ServerOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="ID", help="Id of the Discord server whose tasks are meant. Default: the tasks for everybody."
    ),
]


def place_of(server: int | None) -> TaskPlace:
    """Whose tasks the option --server means."""
    return TaskPlace(server_id=server or 0)


def read_pictures(files: Iterable[Path]) -> dict[Path, Picture]:
    """Each file as a picture of ours. Raises UserError that names the first file that is none."""
    found: dict[Path, Picture] = {}
    for file in files:
        if file not in found:
            found[file] = _read_picture(file)
    return found


def _read_picture(file: Path) -> Picture:
    if not file.is_file():
        raise UserError(f"There is no picture {file}.", hint="Check the path.")
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    try:
        return normalise(data)
    except UserError as error:
        raise UserError(f"{file}: {error.what}", hint=error.hint) from None


def task_json(spec: TaskSpec, stored: StoredTask | None) -> dict[str, Any]:
    """A task for --json; pictures by hash, ids as texts. `stored`: None for one that was there from the start."""
    card = read_card(stored.card) if stored else None
    return {
        "name": spec.name,
        "version": stored.number if stored else None,
        "server_id": str(stored.place.server_id) if stored and stored.place.server_id else None,
        "instruction": spec.instruction,
        "template": spec.template,
        "stop": list(spec.stop),
        "selection": spec.selection.value,
        "max_shots": spec.max_shots,
        "examples": [
            {"picture": shot.picture.hash if shot.picture else None, "text": shot.text, "output": shot.output}
            for shot in spec.shots
        ],
        "by": str(stored.by) if stored and stored.by else None,
        "at": stored.at.isoformat() if stored else None,
        "card": card_json(card) if card else None,
    }


def report_version(stored: StoredTask, *, as_json: bool) -> None:
    """Says which version a task has now."""
    emit(as_json, task_json(stored.spec, stored), lambda screen: screen.print(one_line(stored.words)))
