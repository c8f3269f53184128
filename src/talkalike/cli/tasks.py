"""`talkalike task`: tasks by example, with which questions about pictures are asked."""

from __future__ import annotations

from typing import ClassVar

import typer

from talkalike.cli.commands import LazyCommand, LazyGroup


class TaskCommands(LazyGroup):
    """The commands of `talkalike task`, in the order that a person needs them."""

    table: ClassVar = {
        "list": LazyCommand("talkalike.cli.tasks_showing", "list_tasks", "List the tasks that can be used."),
        "show": LazyCommand("talkalike.cli.tasks_showing", "show_task", "Show a task with its examples and its card."),
        "add": LazyCommand("talkalike.cli.tasks_changing", "add_task", "Add a task, made of pictures and answers."),
        "edit": LazyCommand("talkalike.cli.tasks_changing", "edit_task", "Change a task, which adds a version."),
        "remove": LazyCommand("talkalike.cli.tasks_changing", "remove_task", "Remove a task and its pictures."),
        "score": LazyCommand(
            "talkalike.cli.tasks_asking", "score_task", "Measure what a task's examples do for its answers."
        ),
        "ask": LazyCommand("talkalike.cli.tasks_asking", "ask_task", "Ask about pictures with a task."),
        "export": LazyCommand("talkalike.cli.tasks_folders", "export_task", "Write a task as a folder."),
        "import": LazyCommand("talkalike.cli.tasks_folders", "import_task", "Add a task from a folder."),
    }


app = typer.Typer(
    cls=TaskCommands,
    help="Ask about pictures, with tasks that show how by example.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def task() -> None:
    """Ask about pictures, with tasks that show how by example."""
