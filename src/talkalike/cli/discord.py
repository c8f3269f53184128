"""`talkalike discord`: making the bot known to Discord, and checking that everything is as it should be."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from talkalike.cli.output import JsonOption, emit, say, shown
from talkalike.cli.secrets import TOKEN_VARIABLE, discord_token, keep_token
from talkalike.cli.workspace import Workspace, WorkspaceOption, open_workspace
from talkalike.errors import UserError
from talkalike.workspace.files import write_atomically

if TYPE_CHECKING:
    from talkalike.discord_bot.application import Application

app = typer.Typer(help="Set up the double on Discord.", rich_markup_mode=None, no_args_is_help=True)

_STEPS = """\
How to put your double on Discord (about three minutes):
  1. Open {portal} and press New Application. Its name is the bot's name.
  2. On the page Bot: switch on the intent Message Content, save, then press Reset Token and copy it.
  3. Paste the token here. It is kept in a file that only you can read, and it is shown nowhere.
"""


@app.callback()
def discord() -> None:
    """Set up the double on Discord."""


@app.command("setup")
def setup(
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    api: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Create the application step by step, check token and intents, get the invite link."""
    from talkalike.discord_bot.application import API, PORTAL, check  # discord.py: the help does not wait for it

    opened = open_workspace(workspace)
    token = discord_token(opened)
    if not token:
        token = _ask(PORTAL)
    application = check(token, api=api or API)
    if not discord_token(opened):
        say(f"The token is kept in {keep_token(opened, token)} (readable by you only).")
    owner_written = _write_owner(opened, application)
    data = {
        **dataclasses.asdict(application),
        "invite_link": application.invite_link,
        "problems": application.problems,
        "owner_set": opened.settings.discord.owner_id is not None or owner_written,
    }

    def render(screen: Console) -> None:
        screen.print(shown(f"The bot is '{application.bot_name}' (application {application.id})."))
        for problem in application.problems:
            screen.print(shown(problem, style="red"), soft_wrap=True)
        if not application.problems:
            screen.print("The intent it needs, Message Content, is on.")
        if owner_written:
            screen.print(
                shown(f"Its owner is {application.owner_name} ({application.owner_id}), as the settings now say.")
            )
        elif opened.settings.discord.owner_id is None:
            screen.print("Nobody is its owner yet: set owner_id in [discord] of talkalike.toml to your Discord id.")
        screen.print("Invite it to a server of yours with this link:")
        screen.print(application.invite_link, soft_wrap=True, markup=False)
        screen.print("Then start it: talkalike serve --discord")

    emit(as_json, data, render)


def _ask(portal: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            "There is no token, and nobody here to ask for it.",
            hint=f"Set ${TOKEN_VARIABLE}, or run this in a terminal.",
        )
    say(_STEPS.format(portal=portal))
    token: str = typer.prompt("Token", hide_input=True, err=True).strip()
    if not re.fullmatch(r"[\w-]{20,}\.[\w-]{4,}\.[\w-]{20,}", token):
        raise UserError(
            "This does not look like a bot's token: three parts of letters and digits with dots between.",
            hint="Copy it with the button beside it, right after Reset Token.",
        )
    return token


def _write_owner(opened: Workspace, application: Application) -> bool:
    """Puts the application's owner into the settings where that line is still as `init` wrote it."""
    if application.owner_id is None or opened.settings.discord.owner_id is not None:
        return False
    text = opened.settings_file.read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^# owner_id = \d+$", f"owner_id = {application.owner_id}", text)
    if count != 1:
        return False
    write_atomically(opened.settings_file, changed)
    return True
