"""/help: what this is, how to talk to it, and every command."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from talkalike.chat.permissions import Action
from talkalike.discord_bot.commands.gate import Interaction, gated, tell
from talkalike.discord_bot.disclosure import disclosure

HOW = """\
**How to talk to me**: mention me, reply to one of my messages, write in one of my threads, or send me a direct \
message. In open channels I answer every message.
**What I don't read**: messages that begin with `{side_talk}`, everything before the last `/reset`, and people who \
opted out with `/privacy seen`.
**My replies**: press Cancel or Again under them, or right-click one (Apps) for *Why this reply?*, *Regenerate* and \
*Forget this*.
**Do I sound right?** 👍, 👎 and *Judge* under a reply (or Apps, *Judge this*) say how good it was; `/guess` lets you \
find the real one of two replies.
**No answer?** `/permissions check` says why: the rules here, and the rights that I lack, channel by channel."""


def commands() -> list[app_commands.Command[Any, Any, Any]]:
    """Makes the commands of this module."""
    return [app_commands.Command(name="help", description="What I am, and every command", callback=show)]


@gated(Action.HELP)
async def show(interaction: Interaction) -> None:
    """Shows the help to the caller alone, so that it can be asked for anywhere."""
    services = interaction.client.services
    side_talk = str(services.settings.options.get("side_talk", "!"))
    about = disclosure(services.settings.owner_name)
    if services.onlooker is not None and services.onlooker.eye is not None:
        about += f" Of pictures I read what {services.onlooker.eye.name} writes about them; I don't see them myself."
    await tell(interaction, f"{about}\n\n{HOW.format(side_talk=side_talk)}")
    await tell(interaction, _list(interaction.client.tree))  # all of it is too long for one message


def _list(tree: app_commands.CommandTree[Any]) -> str:
    """Every command with its subcommands, one line each."""
    lines = []
    for command in sorted(tree.get_commands(type=discord.AppCommandType.chat_input), key=lambda one: one.name):
        line = f"`/{command.name}` {command.description}"
        if isinstance(command, app_commands.Group):
            line += f" ({', '.join(sorted(one.name for one in command.commands))})"
        lines.append(line)
    return "\n".join(("**Commands**", *lines))
