"""`talkalike discord`: making the bot known to Discord; and the bot as a face of `serve`, there or offline."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from local_discord.server import LocalDiscord
from local_discord.world import World
from talkalike.chat.engines import Engines
from talkalike.chat.looking import Onlooker
from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engines import reply_options
from talkalike.cli.output import JsonOption, emit, one_line, say
from talkalike.cli.workspace import TOKEN_VARIABLE, Workspace, discord_token, keep_token, open_workspace
from talkalike.discord_bot.application import API, PORTAL, Application, check
from talkalike.discord_bot.running import point_at, run
from talkalike.discord_bot.services import BotSettings, Services
from talkalike.errors import UserError
from talkalike.store import rules
from talkalike.store.store import Store
from talkalike.workspace.files import write_atomically

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
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
    api: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Set up the bot step by step. Creates it at Discord, checks its token and intents, and shows the invite link."""
    workspace = open_workspace(workspace_dir)
    token = discord_token(workspace)
    if not token:
        token = _ask()
    application = check(token, api=api or API)
    if not discord_token(workspace):
        say(f"The token is kept in {keep_token(workspace, token)} (readable by you only).")
    owner_written = _write_owner(workspace, application)
    data = {
        **dataclasses.asdict(application),
        "invite_link": application.invite_link,
        "problems": application.problems,
        "owner_set": workspace.settings.discord.owner_id is not None or owner_written,
    }

    def render(screen: Console) -> None:
        screen.print(one_line(f"The bot is '{application.bot_name}' (application {application.id})."))
        for problem in application.problems:
            screen.print(one_line(problem, style="red"), soft_wrap=True)
        if not application.problems:
            screen.print("The intent it needs, Message Content, is on.")
        if owner_written:
            screen.print(
                one_line(f"Its owner is {application.owner_name} ({application.owner_id}), as the settings now say.")
            )
        elif workspace.settings.discord.owner_id is None:
            screen.print("It has no owner yet: set owner_id in [discord] of talkalike.toml to your Discord id.")
        screen.print("Invite it to a server of yours with this link:")
        screen.print(application.invite_link, soft_wrap=True, markup=False)
        screen.print("Then start it: talkalike serve --discord")

    emit(as_json, data, render)


def _ask() -> str:
    if not sys.stdin.isatty():
        raise UserError(
            "There is no bot token, and no terminal to ask for it.",
            hint=f"Set ${TOKEN_VARIABLE}, or run this in a terminal.",
        )
    say(_STEPS.format(portal=PORTAL))
    token: str = typer.prompt("Token", hide_input=True, err=True).strip()
    if not re.fullmatch(r"[\w-]{20,}\.[\w-]{4,}\.[\w-]{20,}", token):
        raise UserError(
            "This does not look like a bot's token: three parts of letters and digits with dots between.",
            hint="Copy it with the button beside it, right after Reset Token.",
        )
    return token


def _write_owner(workspace: Workspace, application: Application) -> bool:
    """Puts the application's owner into the settings where that line is still as `init` wrote it."""
    if application.owner_id is None or workspace.settings.discord.owner_id is not None:
        return False
    text = workspace.settings_file.read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^# owner_id = \d+$", f"owner_id = {application.owner_id}", text)
    if count != 1:
        return False
    write_atomically(workspace.settings_file, changed)
    return True


# ------------------------------------------------------------------------------------------------- a face of `serve`
async def serve_online(
    workspace: Workspace, store: Store, engines: Engines, stop: asyncio.Event, *, onlooker: Onlooker | None = None
) -> None:
    """The bot at Discord. UserError where there is no token, or a wrong one."""
    token = discord_token(workspace)
    if not token:
        raise UserError(
            f"There is no token for the bot: ${TOKEN_VARIABLE} is not set.",
            hint="Run `talkalike discord setup` to make one, or try without one: talkalike serve --discord --offline",
        )
    _quiet()
    settings = bot_settings(workspace, engines)
    if not settings.owner_ids:
        say("The bot has no owner yet: set owner_id in [discord] of talkalike.toml (`talkalike discord setup` helps).")
    services = Services(store=store, engines=engines, settings=settings, onlooker=onlooker)
    shards = workspace.settings.discord.shards
    await run(services, token, stop=stop, shards=shards, when_ready=lambda: say("The double is on Discord."))


async def serve_offline(
    workspace: Workspace,
    store: Store,
    engines: Engines,
    stop: asyncio.Event,
    *,
    port: int,
    onlooker: Onlooker | None = None,
) -> None:
    """The bot at a Discord of our own, with a page to talk in."""
    _quiet()
    world = World()
    offline = build_offline_server(world)
    for rule in offline.rules:
        await store.run(offline.put_rule, rule)
    settings = bot_settings(workspace, engines, owner_id=offline.owner_id)
    services = Services(store=store, engines=engines, settings=settings, onlooker=onlooker)
    async with LocalDiscord(world, port=port) as server:
        point_at(server.api_base, server.gateway_url)
        words = f"The stand-in for Discord, nothing leaves this computer: {server.page_url}"
        await run(services, offline.token, stop=stop, when_ready=lambda: say(words))


def _quiet() -> None:
    logging.getLogger("discord.client").setLevel(logging.ERROR)  # it warns that voice, which we do not use, is missing


def bot_settings(workspace: Workspace, engines: Engines, *, owner_id: int | None = None) -> BotSettings:
    """The bot's settings from the settings file; `[chat]` gives the options where Discord sets no others."""
    settings = workspace.settings.discord
    owner = owner_id or settings.owner_id
    return BotSettings(
        owner_ids=frozenset({owner} if owner else ()),
        owner_name=settings.owner_name or _voice(engines),
        dm_access=settings.dm_access,
        options=reply_options(workspace),
        history_limit=settings.history_messages,
        text_file_cap=settings.text_file_kb * 1024,
        stale_after=60 * settings.catch_up_minutes,
        max_waiting=settings.max_waiting,
        at_once=settings.at_once,
        scenario_folder=settings.scenarios,
    )


def _voice(engines: Engines) -> str:
    return next((voice.speaker for voice in engines.voices() if voice.model == engines.default), engines.default)


# ----------------------------------------------------------------------------------------------------------- offline
@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """The server that `--offline` opens: who owns it, how the bot logs in, and what its rules are at first."""

    owner_id: int
    token: str
    rules: tuple[Rule, ...]
    put_rule: Callable[[Rule], None]


def build_offline_server(world: World) -> Offline:
    """Builds a server with three people and an invited bot that may speak in some channels."""
    alex, kim, robin = (world.add_user(name) for name in ("Alex", "Kim", "Robin"))
    server = world.add_server("Living room", alex)
    moderators = world.add_role(server, "moderators")
    world.add_member(server, kim, (moderators,))
    world.add_member(server, robin)
    lounge, office = world.add_category(server, "lounge"), world.add_category(server, "office")
    general = world.add_channel(server, "general", lounge)
    world.add_channel(server, "only-when-asked", lounge)
    closed = world.add_channel(server, "without-the-double", lounge)
    world.add_channel(server, "moderators-only", office, private_for=(moderators, alex))
    bot = world.add_bot("Double", owner=alex)
    world.invite(server, bot)
    world.open_dm(alex.id, bot.id)

    def access(subject: Subject, subject_id: int, value: Access) -> Rule:
        return Rule(server_id=server.id, subject=subject, subject_id=subject_id, access=value)

    return Offline(
        owner_id=alex.id,
        token=bot.token,
        rules=(
            access(Subject.SERVER, server.id, Access.MENTION),
            access(Subject.CHANNEL, general.id, Access.OPEN),
            access(Subject.CHANNEL, closed.id, Access.CLOSED),
            Rule(server_id=server.id, subject=Subject.ROLE, subject_id=moderators.id, level=Level.MOD),
            Rule(server_id=None, subject=Subject.DM, subject_id=0, access=Access.OPEN),
        ),
        put_rule=partial(rules.put, by=alex.id),
    )
