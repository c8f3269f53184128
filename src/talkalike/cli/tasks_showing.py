"""`talkalike task list` and `show`: which tasks there are, their examples, their versions and their cards."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from talkalike.charts.plotter import percent
from talkalike.chat.seeing.card import TaskCard, arm_words, gain_words, read_card
from talkalike.chat.seeing.checking import split_name
from talkalike.chat.seeing.values import TaskSpec
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.output import JsonOption, emit, facts, number, one_line, table
from talkalike.cli.tasks_opening import NameArgument, ServerOption, place_of, task_json
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import UsableTask, usable_task, usable_tasks
from talkalike.store.store import open_store


def list_tasks(server: ServerOption = None, workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the tasks that can be used. A server has its own beside everybody's and those from the start."""
    workspace = open_workspace(workspace_dir)
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_tasks, place_of(server))
    emit(
        as_json,
        {"tasks": [task_json(task.spec, task.stored) for task in found]},
        lambda screen: screen.print(_listing(found)),
    )


def show_task(
    name: NameArgument,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a task with its examples and its card. The card is what `talkalike task score` measured."""
    workspace = open_workspace(workspace_dir)
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place_of(server), name)
        place = found.stored.place if found.stored else place_of(server)
        versions = store.call(tasks.versions_of, place, split_name(name)[0]) if found.stored else ()
    data = {**task_json(found.spec, found.stored), "versions": [task_json(one.spec, one) for one in versions]}

    def render(screen: Console) -> None:
        screen.print(facts(_facts(found)))
        if found.spec.shots:
            screen.print(_examples(found.spec))
        if len(versions) > 1:
            rows = [[str(one.number), one.at.strftime("%Y-%m-%d %H:%M"), str(len(one.spec.shots))] for one in versions]
            screen.print(table([">version", "made (UTC)", ">examples"], rows))
        card = read_card(found.stored.card) if found.stored else None
        if card:
            show_card(card, screen)

    emit(as_json, data, render)


def show_card(card: TaskCard, screen: Console) -> None:
    """The numbers of a card and what they mean."""
    if card.arms:
        rows = [
            [
                arm_words(arm.name),
                percent(arm.share.share or 0.0),
                f"{percent(arm.share.low or 0.0)} to {percent(arm.share.high or 0.0)}",
                number(arm.shots),
            ]
            for arm in card.arms
        ]
        title = f"{card.n} examples asked about, with {card.eye}"
        screen.print(table(["shown", f">{card.measure}", ">95 % interval", ">shots"], rows, title=title))
    for sentence in card.says:
        screen.print(one_line(sentence), soft_wrap=True)


def _listing(found: tuple[UsableTask, ...]) -> Table:
    rows = []
    for task in found:
        stored = task.stored
        card = read_card(stored.card) if stored else None
        scored = gain_words(card) if card else "-"
        rows.append([task.label, str(len(task.spec.shots)), str(task.spec.max_shots), task.whose, scored])
    return table(["task", ">examples", ">shown", "whose", "what examples add"], rows)


def _facts(task: UsableTask) -> list[tuple[str, str]]:
    spec = task.spec
    return [
        ("task", task.label),
        ("whose", task.whose),
        ("instruction", spec.instruction or "none"),
        ("template", spec.template),
        ("an answer ends at", ", ".join(repr(stop) for stop in spec.stop) or "its own end"),
        ("examples", f"{len(spec.shots)}, of which at most {spec.max_shots} are shown ({spec.selection})"),
    ]


def _examples(spec: TaskSpec) -> Table:
    rows = []
    for place, shot in enumerate(spec.shots, start=1):
        picture = f"{shot.picture.width} x {shot.picture.height}, {shot.picture.hash[:8]}" if shot.picture else "none"
        rows.append([str(place), picture, shot.text, shot.output])
    return table([">example", "picture", "text", "answer"], rows)
