"""`talkalike task add`, `edit` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from talkalike.chat.seeing.changing import TaskChange, typed_stops
from talkalike.chat.seeing.values import DEFAULT_TEMPLATE, MOST_SHOTS, Selection, Shot
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import JsonOption, emit, one_line
from talkalike.cli.tasks_opening import OWNER, ServerOption, place_of, read_pictures, report_version
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import begin_task, change_task, own_task
from talkalike.store.store import open_store

ExampleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--example",
        metavar="PICTURE=ANSWER",
        help="Picture and what is to be answered about it; give it several times. =ANSWER has no picture.",
    ),
]
InstructionOption = Annotated[
    str | None, typer.Option(help="What the model is told before the examples. Default: nothing.")
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        help=f"How examples and questions begin; <image> is where the picture stands. (Default: {DEFAULT_TEMPLATE})"
    ),
]
StopOption = Annotated[
    list[str] | None, typer.Option("--stop", help="Text at which an answer ends, such as \\n; give it several times.")
]
SelectionOption = Annotated[
    Selection | None, typer.Option(help="Which examples are shown if there are more than --max-shots. Default: all.")
]
ShotsOption = Annotated[
    int | None,
    typer.Option(min=0, max=MOST_SHOTS, help=f"Highest number of examples shown at once. Default: {MOST_SHOTS}."),
]
PlainNameArgument = Annotated[str, typer.Argument(help="Name of the task, without a version.")]


def add_task(  # signature: typer
    name: PlainNameArgument,
    example: ExampleOption = None,
    instruction: InstructionOption = None,
    template: TemplateOption = None,
    stop: StopOption = None,
    selection: SelectionOption = None,
    max_shots: ShotsOption = None,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a task, made of pictures and answers. It needs at least one example; twelve, to be scored."""
    workspace = open_workspace(workspace_dir)
    shots, pictures = _read_examples(example or ())
    given = TaskChange(
        add=shots,
        instruction=instruction,
        template=template,
        stop=typed_stops(stop or ()),
        selection=selection,
        max_shots=max_shots,
    )
    with open_store(database_url(workspace)) as store:
        stored = store.call(begin_task, place_of(server), name, given, pictures, by=OWNER)
    report_version(stored, as_json=as_json)


def edit_task(  # signature: typer
    name: PlainNameArgument,
    example: ExampleOption = None,
    drop: Annotated[
        list[int] | None,
        typer.Option("--drop", min=1, metavar="NUMBER", help="Number of an example to leave out, as shown."),
    ] = None,
    instruction: InstructionOption = None,
    template: TemplateOption = None,
    stop: StopOption = None,
    selection: SelectionOption = None,
    max_shots: ShotsOption = None,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a task, which adds a version. Older ones can still be used, as NAME@1."""
    workspace = open_workspace(workspace_dir)
    shots, pictures = _read_examples(example or ())
    change = TaskChange(
        add=shots,
        drop=tuple(drop or ()),
        instruction=instruction,
        template=template,
        stop=None if stop is None else typed_stops(stop),
        selection=selection,
        max_shots=max_shots,
    )
    with open_store(database_url(workspace)) as store:
        stored = store.call(change_task, place_of(server), name, change, pictures, by=OWNER)
    report_version(stored, as_json=as_json)


def remove_task(
    name: PlainNameArgument,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a task and its pictures. All its versions go; pictures that something else needs stay."""
    workspace = open_workspace(workspace_dir)
    place = place_of(server)
    with open_store(database_url(workspace)) as store:
        gone = store.call(own_task, place, name, to_be="removed").spec.name
        store.call(tasks.remove, place, gone)
    words = f"Removed the task '{gone}' of {place.words}, with all its versions."
    emit(as_json, {"removed": gone}, lambda screen: screen.print(one_line(words)))


def _read_examples(given: Sequence[str]) -> tuple[tuple[Shot, ...], dict[str, Picture]]:
    """The examples typed as PICTURE=ANSWER, and the bytes of their pictures by hash."""
    pairs: list[tuple[Path | None, str]] = []
    for one in given:
        file, sign, answer = one.partition("=")
        if not sign:
            raise UserError(f"'{one[:80]}' is no example.", hint="Write PICTURE=ANSWER, for example: mug.jpg=red")
        pairs.append((Path(file).expanduser() if file else None, answer.strip()))
    pictures = read_pictures(file for file, _ in pairs if file)
    shots = tuple(Shot(picture=pictures[file].ref if file else None, output=answer) for file, answer in pairs)
    return shots, {picture.hash: picture for picture in pictures.values()}
