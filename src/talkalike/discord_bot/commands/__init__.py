"""The slash commands and message menus, one family per module; `register` puts them all onto the bot's tree."""

from __future__ import annotations

from discord import app_commands

from talkalike.discord_bot.client import BotClient
from talkalike.discord_bot.commands import (
    chat,
    comprehend,
    context,
    gate,
    guess,
    help,  # noqa: A004  # named after its command
    judge,
    menus,
    model,
    permissions,
    privacy,
    reset,
    settings,
    status,
    tasks,
    testing,
)
from talkalike.discord_bot.commands.testing_schedule import Scheduler
from talkalike.discord_bot.judging import form
from talkalike.discord_bot.judging.offers import Offers

MOST_COMMANDS = 100  # Discord's limits
MOST_MENUS = 5

# On servers and in the bot's own DMs, never in other people's talks, and only where the bot itself was added.
CONTEXTS = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False)
INSTALLS = app_commands.AppInstallationType(guild=True, user=False)


def register(client: BotClient) -> None:
    """Adds every command to the client's tree; inside a running loop it also starts the schedule of /test."""
    runner = testing.Runner(client)
    talking = (chat, comprehend, context, reset)
    managing = (permissions, settings, model, status, privacy, help)
    for family in (*talking, *managing, judge, guess, menus, tasks):
        for command in family.commands():
            _add(client, command)
    client.add_dynamic_items(*tasks.BUTTONS)
    _add(client, testing.Testing(runner))
    client.tree.error(gate.on_error)
    client.event(form.on_interaction)
    client.event(Offers(client).on_reply_ended)
    Scheduler(client, runner).start()


def _add(client: BotClient, command: app_commands.Command | app_commands.Group | app_commands.ContextMenu) -> None:  # type: ignore[type-arg]
    command.allowed_contexts = CONTEXTS
    command.allowed_installs = INSTALLS
    client.tree.add_command(command)
