"""`talkalike web`, and the website as a face of `serve`: its store, its first owner, the trainings it starts."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from talkalike.cli.commands import WorkspaceOption, hand_down
from talkalike.cli.output import say
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.engine.listening import address_of
from talkalike.errors import UserError
from talkalike.store.store import Store, open_store
from talkalike.website.configure import configure_site, secret_key
from talkalike.website.proxy import check_path, doubts
from talkalike.website.runs.service import Alignment, Recipe
from talkalike.website.services import SiteServices, SiteSettings
from talkalike.workspace import serving

app = typer.Typer(help="Manage the owner's account on the website.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def options(context: typer.Context, workspace_dir: WorkspaceOption = None) -> None:
    """Takes options that may stand before the command."""
    hand_down(context, workspace_dir=workspace_dir)


@app.command("owner")
def owner(
    name: Annotated[str, typer.Argument(help="Name to log in with on the website.")],
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Create the owner's account, or give it a new password. It may do everything on the website."""
    with site_store(open_workspace(workspace_dir), SiteSettings()) as store:
        from talkalike.website.accounts import make_owner  # Django's tables: once the site is configured

        fresh = store.call(make_owner, name, _password())
    say(
        f"{name} may do everything on the site. Log in at the address that `talkalike serve --web` shows."
        if fresh
        else f"{name} has a new password; browsers that were logged in with the old one are logged out."
    )


def _password() -> str:
    """Asked for twice on a terminal; else one line of the input, for scripts."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n")
    else:
        password = typer.prompt(
            "Password", hide_input=True, confirmation_prompt="Once more", default="", show_default=False
        )
    if not password:
        raise UserError("No password was given.", hint="Type it when asked, or send it as one line to the command.")
    return password


@contextmanager
def site_store(workspace: Workspace, settings: SiteSettings) -> Iterator[Store]:
    """The workspace's store, with the site's tables. The first store that the process opens."""
    url = database_url(workspace)
    configure_site(url, secret=secret_key(workspace.root), settings=settings)
    with open_store(url) as store:
        yield store


async def web(services: SiteServices, *, listening: socket.socket, stop: asyncio.Event) -> None:
    """The site in the running event loop, beside whatever else runs there, until `stop` is set. Closes the socket."""
    from talkalike.website import accounts, site  # Django's tables: once the site is configured

    store, settings = services.store, services.settings
    check_path(settings.path)

    owned = await store.run(accounts.has_owner)

    def announce() -> None:
        say(f"The site: {address_of(listening).rstrip('/')}{settings.path}/")
        for sentence in doubts(settings, listening):
            say(f"Please check: {sentence}")
        if not owned:
            say("Nobody can log in yet. In another terminal: talkalike web owner NAME")

    await site.run_site(services, listening=listening, stop=stop, when_ready=announce)


class WorkspaceRunCommands:
    """`talkalike.website.runs.service.RunCommands` over a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def train(self, recipe: Recipe, run: str) -> Sequence[str]:
        """The command line of a training by this recipe, into the folder of its job."""
        options = {
            "--name": recipe.name,
            "--examples": recipe.examples,
            "--base": recipe.base,
            "--method": recipe.method,
            "--minutes": recipe.minutes,
            "--epochs": recipe.epochs,
            "--lr": recipe.learning_rate,
            "--run": run,
        }
        return (*self._program("train"), *_arguments(options))

    def align(self, wanted: Alignment, run: str) -> Sequence[str]:
        """The command line of an alignment, into the folder of its job."""
        options: dict[str, object] = {"--name": wanted.name, "--model": wanted.double, "--run": run}
        if wanted.kind == "rl":
            options |= {"--reward": wanted.reward, "--steps": wanted.steps}
        else:
            options |= {"--epochs": wanted.epochs, "--judges": wanted.judges}
        return (*self._program("align", wanted.kind), *_arguments(options))

    def resume(self, model: str) -> Sequence[str]:
        """The command line that continues the model's training."""
        return (*self._program("train"), "--resume", "--name", model)

    def serving(self) -> str | None:
        """The name of the promoted model, if there is one."""
        return serving.serving_model(self._workspace.models)

    def promote(self, model: str, by: str) -> None:
        """Promotes the model, on behalf of the person named."""
        serving.promote(self._workspace.models, model, by)

    def _program(self, *command: str) -> tuple[str, ...]:
        program = (sys.executable, "-m", "talkalike.cli.main")
        return (*program, *command, "--workspace", str(self._workspace.root))


def _arguments(options: Mapping[str, object]) -> Iterator[str]:
    """The options that were given, as the command line has them."""
    for option, value in options.items():
        if value not in ("", None):
            yield from (option, str(value))
