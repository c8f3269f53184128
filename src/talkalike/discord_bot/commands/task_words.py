"""Tasks as people on Discord see and name them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping

import discord
from discord import app_commands

from talkalike.charts.plotter import document, percent
from talkalike.chat.permissions import Action
from talkalike.chat.seeing.card import TaskCard, arm_words, card_charts, gain_words, read_card
from talkalike.chat.seeing.changing import shown_stops
from talkalike.chat.splitting import neutralise
from talkalike.discord_bot.commands.gate import Interaction, verdict
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import as_jpeg
from talkalike.store.seeing.tasks import StoredTask, TaskPlace, tasks_of
from talkalike.store.seeing.usable import UsableTask, usable_tasks

Choices = list[app_commands.Choice[str]]

SHOWN = 8  # examples of a task that are shown with their pictures: with two more files they fill a message
LONGEST = 120  # characters of an example's answer in a list
_SIDE = 320  # pixels
_MOST_CHOICES = 25


def place_here(interaction: Interaction) -> TaskPlace:
    """Whose tasks are meant: the server's, or in direct messages those of the person."""
    if interaction.guild_id is not None:
        return TaskPlace(server_id=interaction.guild_id)
    return TaskPlace(owner_id=interaction.user.id)


async def names_here(interaction: Interaction, current: str) -> Choices:
    """The tasks that can be used here and whose name contains what was typed."""
    if not (await verdict(interaction, Action.SHOW_TASKS)).allowed:
        return []
    found = await interaction.client.store.run(usable_tasks, place_here(interaction))
    return _choices({task.spec.name: f"{task.spec.name} ({_count(len(task.spec.shots))})" for task in found}, current)


async def own_names(interaction: Interaction, current: str) -> Choices:
    """The same of those that can be changed here."""
    if not (await verdict(interaction, Action.EDIT_TASKS)).allowed:
        return []
    place = place_here(interaction)
    found = [task for task in await interaction.client.store.run(tasks_of, place) if task.place == place]
    return _choices({task.spec.name: f"{task.spec.name} ({_count(len(task.spec.shots))})" for task in found}, current)


def line_of(task: UsableTask) -> str:
    """A task in a list."""
    parts = [f"**{task.label}** ({whose(task)}): {_count(len(task.spec.shots))}"]
    card = read_card(task.stored.card) if task.stored else None
    if card is not None:
        parts.append(f"they add {gain_words(card)}" if card.lift else gain_words(card))
    if task.spec.instruction:
        parts.append(_one_line(task.spec.instruction, LONGEST))
    return f"- {'; '.join(parts)}"


def whose(task: UsableTask) -> str:
    """Whose it is, as seen from where it can be used."""
    if task.stored is not None and task.stored.place.server_id:
        return "this server's"
    if task.stored is not None and task.stored.place.owner_id:
        return "yours"
    return task.whose if task.stored is None else "everybody's"


def story(task: UsableTask, versions: tuple[StoredTask, ...], card: TaskCard | None) -> str:
    """All about a task; its examples at the end, where they may be cut off."""
    spec = task.spec
    stops = ", ".join(f"`{stop}`" for stop in shown_stops(spec.stop)) or "its own end"
    lines = [
        f"**{task.label}** ({whose(task)})",
        f"Instruction: {_one_line(spec.instruction, 500) or 'none'}",
        f"Template: {_one_line(spec.template, 500)}",
        f"An answer ends at: {stops}",
        f"Shown at once: at most {spec.max_shots} ({spec.selection})",
    ]
    if len(versions) > 1:
        numbers = ", ".join(f"{one.number} ({one.at:%Y-%m-%d})" for one in versions[:12])
        lines.append(f"Versions: {numbers}{' …' if len(versions) > 12 else ''}")
    if card is not None:
        lines.append(card_text(card))
    lines.append(f"**{_count(len(spec.shots)).capitalize()}**" + (":" if spec.shots else ""))
    for number, shot in enumerate(spec.shots, start=1):
        kind = "" if shot.picture else " (words alone)"
        text = f"{_one_line(shot.text, LONGEST)} → " if shot.text else ""
        lines.append(f"{number}.{kind} {text}{_one_line(shot.output, LONGEST)}")
    return "\n".join(lines)


def card_text(card: TaskCard) -> str:
    """The numbers of a card, and what they mean."""
    lines = []
    if card.arms:
        lines.append(f"**Card**: {card.n} examples asked about, with {_one_line(card.eye, 80)}; {card.measure}:")
        for arm in card.arms:
            low, high = percent(arm.share.low or 0.0), percent(arm.share.high or 0.0)
            lines.append(f"- {arm_words(arm.name)}: **{percent(arm.share.share or 0.0)}** ({low} to {high})")
    return "\n".join([*lines, *(_one_line(sentence, 400) for sentence in card.says)])


async def example_files(task: UsableTask, pictures: Mapping[str, Picture]) -> list[discord.File]:
    """The first examples' pictures, small, numbered as in the list."""
    shown = [
        (number, pictures[shot.picture.hash])
        for number, shot in enumerate(task.spec.shots, start=1)
        if shot.picture and shot.picture.hash in pictures
    ][:SHOWN]
    small = await asyncio.to_thread(lambda: [as_jpeg(picture, _SIDE) for _, picture in shown])
    return [
        discord.File(io.BytesIO(data), filename=f"example-{number}.jpg")
        for (number, _), data in zip(shown, small, strict=True)
    ]


def chart_files(task: UsableTask, card: TaskCard) -> list[discord.File]:
    """The curve of a card, drawn; none where nothing can be said."""
    charts = card_charts(card)
    drawn = document(charts, title=f"The task {task.label} with {card.eye}") if charts else ""
    return [discord.File(io.BytesIO(drawn.encode()), filename="card.svg")] if drawn else []


def _choices(offered: Mapping[str, str], current: str) -> Choices:
    typed = current.strip().casefold()
    return [
        app_commands.Choice(name=words[:100], value=name) for name, words in offered.items() if typed in name.casefold()
    ][:_MOST_CHOICES]


def _count(examples: int) -> str:
    return f"{examples:,} example{'' if examples == 1 else 's'}" if examples else "no examples"


def _one_line(text: str, longest: int) -> str:
    words = neutralise(" ".join(text.split()))
    return words if len(words) <= longest else f"{words[:longest]}…"
