"""`talkalike task add`, `edit` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from talkalike.chat.seeing.values import DEFAULT_TEMPLATE, MOST_SHOTS, Selection, Shot, TaskSpec
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import JsonOption, emit, one_line
from talkalike.cli.tasks_opening import OWNER, ServerOption, place_of, place_words, read_pictures, report_version
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import usable_task
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
    spec = TaskSpec(
        name=name.casefold(),
        instruction=instruction or "",
        shots=shots,
        template=DEFAULT_TEMPLATE if template is None else template,
        stop=_stops(stop or ()),
        selection=selection or Selection.ALL,
        max_shots=MOST_SHOTS if max_shots is None else max_shots,
    )
    place = place_of(server)
    with open_store(database_url(workspace)) as store:
        store.call(tasks.register, place, spec, pictures, by=OWNER)
        report_version(store, place, spec.name, as_json=as_json)


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
    place = place_of(server)
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place, name)
        if found.stored is None or found.stored.place != place:
            whose = "there from the start" if found.stored is None else "for everybody"
            raise UserError(
                f"The task '{found.spec.name}' is {whose} and cannot be edited here.",
                hint="Add one of your own: under the same name it stands in its place.",
            )
        shots, pictures = _read_examples(example or ())
        old = found.spec
        spec = replace(
            old,
            shots=(*_without(old, drop or ()), *shots),
            instruction=old.instruction if instruction is None else instruction,
            template=old.template if template is None else template,
            stop=old.stop if stop is None else _stops(stop),
            selection=selection or old.selection,
            max_shots=old.max_shots if max_shots is None else max_shots,
        )
        if spec == old:
            raise UserError("Nothing was to be changed.", hint="Name what is, for example with --example or --stop.")
        store.call(tasks.revise, place, spec, pictures, by=OWNER)
        report_version(store, place, spec.name, as_json=as_json)


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
        if not store.call(tasks.remove, place, name.casefold()):
            found = store.call(usable_task, place, name)
            whose = "was there from the start" if found.stored is None else "is for everybody"
            raise UserError(
                f"The task '{found.spec.name}' {whose} and cannot be removed here.",
                hint="Remove it without --server." if found.stored else "",
            )
    words = f"Removed the task '{name.casefold()}' of {place_words(place)}, with all its versions."
    emit(as_json, {"removed": name.casefold()}, lambda screen: screen.print(one_line(words)))


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


def _stops(typed: Sequence[str]) -> tuple[str, ...]:
    """Line ends as a shell can type them."""
    return tuple(stop.replace("\\n", "\n").replace("\\t", "\t") for stop in typed if stop)


def _without(spec: TaskSpec, drop: Sequence[int]) -> tuple[Shot, ...]:
    """The examples without those of these numbers."""
    if wrong := [number for number in drop if number > len(spec.shots)]:
        raise UserError(
            f"The task '{spec.name}' has no example {wrong[0]}.", hint=f"It has {len(spec.shots)}, counted from 1."
        )
    return tuple(shot for number, shot in enumerate(spec.shots, start=1) if number not in drop)
