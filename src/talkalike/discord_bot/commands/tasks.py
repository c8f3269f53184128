"""/register_task, /list_tasks and /task: tasks by example, registered, listed, shown, changed and removed."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.chat.seeing.card import read_card
from talkalike.chat.seeing.changing import TaskChange, typed_stops
from talkalike.chat.seeing.checking import LONGEST_TEMPLATE, LONGEST_TEXT
from talkalike.chat.seeing.values import MOST_SHOTS, Selection, Shot
from talkalike.discord_bot.commands.gate import SHORT, Interaction, family, gated, tell
from talkalike.discord_bot.commands.many_options import example_options, numbered, spread
from talkalike.discord_bot.commands.sent_pictures import read_pictures
from talkalike.discord_bot.commands.task_examples import ExampleButton
from talkalike.discord_bot.commands.task_scoring import Scorer
from talkalike.discord_bot.commands.task_words import (
    chart_files,
    example_files,
    line_of,
    names_here,
    own_names,
    place_here,
    story,
)
from talkalike.discord_bot.judging.side_by_side import show as show_to_caller
from talkalike.discord_bot.stored_button import StoredButton
from talkalike.errors import UserError
from talkalike.pictures.picture import Picture
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import StoredTask
from talkalike.store.seeing.usable import begin_task, change_task, own_task, pictures_of, usable_task, usable_tasks

MOST_GIVEN = 9  # examples that one command can take: Discord has 25 options
ON_PAGE = 10  # tasks
_PARTS: dict[str, tuple[Any, str]] = {
    "template": (
        app_commands.Range[str, 1, LONGEST_TEMPLATE],
        "How examples and questions begin; <image> is where the picture stands, {text} where a text does",
    ),
    "instruction": (app_commands.Range[str, 0, LONGEST_TEXT], "What the model is told before the examples"),
    "stop": (str, "Text at which an answer ends; \\n is the end of a line"),
    "selection": (Selection, "Which examples are shown if there are more than fit: all, newest, or nearest"),
    "shown": (
        app_commands.Range[int, 0, MOST_SHOTS],
        f"Highest number of examples shown at once (default: {MOST_SHOTS})",
    ),
}
_DROP = {"drop": (str, "Numbers of examples to leave out, as /task show has them")}
_FURTHER = {name: one for name, one in example_options(MOST_GIVEN).items() if name not in ("picture1", "answer1")}


def commands() -> list[app_commands.Command[Any, Any, Any] | app_commands.Group]:
    """Makes the commands of this module."""
    (group,) = family(
        "task",
        "The tasks about pictures: show, change and measure them",
        ("show", "Show a task with its examples and its card (only you see the answer)", show),
        ("edit", "Change a task, which adds a version", edit),
        ("remove", "Remove a task of this place with all its versions and pictures", remove),
        ("score", "Measure what a task's examples do for its answers, and post its card here", Scorer().score),
    )
    return [
        app_commands.Command(
            name="register_task", description="Add a task, made of pictures and answers", callback=register_task
        ),
        app_commands.Command(name="list_tasks", description="List the tasks about pictures", callback=list_tasks),
        group,
    ]


# ------------------------------------------------------------------------------------------------------------- changed
@gated(Action.EDIT_TASKS)
@app_commands.describe(
    name="Its name: small letters, digits, - and _",
    picture1="Example 1: its picture",
    answer1="Example 1: what is to be answered about it",
)
@spread({**_PARTS, **_FURTHER})
async def register_task(
    interaction: Interaction,
    name: str,
    picture1: discord.Attachment,
    answer1: app_commands.Range[str, 1, LONGEST_TEXT],
    **options: Any,
) -> None:
    """Further examples come with the button, or with /task edit."""
    change, pictures = await _read_change({"picture1": picture1, "answer1": answer1, **options})
    store, by = interaction.client.store, interaction.user.id
    stored = await store.run(begin_task, place_here(interaction), name, change, pictures, by=by)
    await _confirm(interaction, stored)


@gated(Action.EDIT_TASKS)
@app_commands.autocomplete(name=own_names)
@app_commands.describe(name="Which task")
@spread({**_PARTS, **_DROP, **example_options(MOST_GIVEN)})
async def edit(interaction: Interaction, name: str, **options: Any) -> None:
    """What is not given stays. `none` empties the instruction, or the stop."""
    change, pictures = await _read_change(options)
    store, by = interaction.client.store, interaction.user.id
    stored = await store.run(change_task, place_here(interaction), name, change, pictures, by=by)
    await _confirm(interaction, stored)


@gated(Action.EDIT_TASKS)
@app_commands.autocomplete(name=own_names)
@app_commands.describe(name="Which task", confirm="True removes it; there is no way back")
async def remove(interaction: Interaction, name: str, confirm: bool) -> None:
    """Pictures that something else needs stay."""
    place, store = place_here(interaction), interaction.client.store
    task = await store.run(own_task, place, name, to_be="removed")
    if not confirm:
        raise UserError("Nothing was removed.", hint="Choose True for confirm.")
    await store.run(tasks.remove, place, task.spec.name)
    await tell(interaction, f"Done: the task '{task.spec.name}' is gone, with all its versions.")


# --------------------------------------------------------------------------------------------------------------- shown
@gated(Action.SHOW_TASKS)
async def list_tasks(interaction: Interaction) -> None:
    """The first page."""
    await _show_page(interaction, 1)


@gated(Action.SHOW_TASKS)
@app_commands.autocomplete(name=names_here)
@app_commands.describe(name="Which task; name@3 is its third version")
async def show(interaction: Interaction, name: str) -> None:
    """Its examples with their pictures, its versions and its card."""
    store, place = interaction.client.store, place_here(interaction)
    task = await store.run(usable_task, place, name)
    pictures: Mapping[str, Picture] = await store.run(pictures_of, task.spec)
    stored = task.stored
    versions = await store.run(tasks.versions_of, stored.place, task.spec.name) if stored else ()
    files = await example_files(task, pictures)
    card = read_card(stored.card) if stored else None
    text = story(task, versions, card)
    if card is not None:
        files += chart_files(task, card)
    if len(text) > SHORT:
        files = [*files, discord.File(io.BytesIO(text.encode()), filename="task.txt")]
        text = f"{text[: text.rfind(chr(10), 0, SHORT)]}\n… all of it is in the file."
    own = stored is not None and stored.place == place
    await show_to_caller(interaction, text, files=files, view=_button(task.spec.name) if own else None)


class PageButton(StoredButton, template=r"talkalike:tasks:(?P<page>\d{1,6})"):
    """Shows another page of the tasks, in the place of this one."""

    def __init__(self, page: int, label: str = "Page") -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"talkalike:tasks:{page}"))
        self.page = page

    async def on_press(self, interaction: Interaction) -> None:
        """The answer of the click is the message that has the button."""
        await interaction.response.defer()
        await turn_page(interaction, self.page)


@gated(Action.SHOW_TASKS)
async def turn_page(interaction: Interaction, page: int) -> None:
    """Shows the page, or the last one where there are fewer by now."""
    await _show_page(interaction, page)


async def _show_page(interaction: Interaction, page: int) -> None:
    found = await interaction.client.store.run(usable_tasks, place_here(interaction))
    last = max(1, -(-len(found) // ON_PAGE))
    page = min(max(1, page), last)
    lines = [line_of(task)[:180] for task in found[(page - 1) * ON_PAGE : page * ON_PAGE]]
    more = f" (page {page} of {last})" if last > 1 else ""
    text = "\n".join([f"**Tasks about pictures**{more}. Use one with /comprehend.", *lines])
    view = discord.ui.View(timeout=None)
    if page > 1:
        view.add_item(PageButton(page - 1, "Previous"))
    if page < last:
        view.add_item(PageButton(page + 1, "Next"))
    await show_to_caller(interaction, text, files=[], view=view if view.children else None)


async def _confirm(interaction: Interaction, stored: StoredTask) -> None:
    name = stored.spec.name
    text = f"Done. {stored.words} Use it with `/comprehend task:{name}`; `/task show` shows it."
    await show_to_caller(interaction, text, files=[], view=_button(name))


def _button(name: str) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(ExampleButton(name))
    return view


async def _read_change(options: Mapping[str, Any]) -> tuple[TaskChange, dict[str, Picture]]:
    """What the options say, and the pictures sent with them by hash."""
    shots, pictures = await _read_examples(options)
    stop = options.get("stop")
    change = TaskChange(
        add=shots,
        drop=_numbers(options.get("drop") or ""),
        instruction=_emptied(options.get("instruction")),
        template=options.get("template"),
        stop=None if stop is None else typed_stops([_emptied(stop) or ""]),
        selection=options.get("selection"),
        max_shots=options.get("shown"),
    )
    return change, pictures


async def _read_examples(options: Mapping[str, Any]) -> tuple[tuple[Shot, ...], dict[str, Picture]]:
    """The examples given as picture and answer, in their order, and the pictures by hash."""
    sent = {number: one for number, one in numbered(options, "picture") if one is not None}
    answers = {number: one.strip() for number, one in numbered(options, "answer") if one and one.strip()}
    if lonely := sorted(sent.keys() - answers.keys()):
        raise UserError(f"Example {lonely[0]} has no answer.", hint="Say what is to be answered about its picture.")
    order = sorted(sent)
    read = dict(zip(order, await read_pictures([sent[number] for number in order]), strict=True))
    shots = [Shot(picture=read[n].ref if n in read else None, output=answers[n]) for n in sorted(answers)]
    return tuple(shots), {picture.hash: picture for picture in read.values()}


def _numbers(typed: str) -> tuple[int, ...]:
    words = re.split(r"[\s,;]+", typed.strip()) if typed.strip() else []
    if wrong := [one for one in words if not (one.isascii() and one.isdigit() and len(one) < 6)]:
        raise UserError(f"'{wrong[0][:40]}' is no number of an example.", hint="Write numbers, for example: 2, 5")
    return tuple(map(int, words))


def _emptied(typed: str | None) -> str | None:
    return "" if typed is not None and typed.strip().casefold() == "none" else typed


BUTTONS = (ExampleButton, PageButton)
