"""The website as one of the faces of `talkalike serve`, and `talkalike web`: its store, and its first owner."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from talkalike.chat.engines import Engines
from talkalike.cli.output import say
from talkalike.cli.secrets import database_url
from talkalike.cli.trainings import WorkspaceTrainings
from talkalike.cli.workspace import Workspace, WorkspaceOption, hand_down, open_workspace
from talkalike.engine.listening import address_of
from talkalike.errors import UserError
from talkalike.store.store import Store, open_store
from talkalike.website.configure import configure_site, secret_key
from talkalike.website.proxy import checked_path, doubts
from talkalike.website.services import SiteServices, SiteSettings

app = typer.Typer(help="The website's owner.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def options(context: typer.Context, workspace: WorkspaceOption = None) -> None:
    """Options that may stand before the command."""
    hand_down(context, workspace=workspace)


@app.command("owner")
def owner(
    name: Annotated[str, typer.Argument(help="Name to log in with.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Make the account that may do everything on the website, or give it a new password."""
    with site_store(open_workspace(workspace), SiteSettings()) as store:
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
def site_store(opened: Workspace, settings: SiteSettings) -> Iterator[Store]:
    """The workspace's store, with the site's tables. The first store that the process opens."""
    url = database_url(opened)
    configure_site(url, secret=secret_key(opened.root), settings=settings)
    with open_store(url) as store:
        yield store


async def web(
    opened: Workspace,
    store: Store,
    *,
    listening: socket.socket,
    stop: asyncio.Event,
    settings: SiteSettings,
    engines: Engines | None = None,
) -> None:
    """The site in the running event loop, beside whatever else runs there, until `stop` is set. Closes the socket."""
    # Django's tables: once the site is configured
    from talkalike.website.accounts import has_owner
    from talkalike.website.site import run_site

    checked_path(settings.path)

    owned = await store.run(has_owner)

    def told() -> None:
        say(f"The site: {address_of(listening).rstrip('/')}{settings.path}/")
        for sentence in doubts(settings, listening):
            say(f"Look at this: {sentence}")
        if not owned:
            say("Nobody can log in yet. In another terminal: talkalike web owner NAME")

    trainings = WorkspaceTrainings(opened)
    services = SiteServices(store=store, root=opened.root, engines=engines, trainings=trainings, settings=settings)
    await run_site(services, listening=listening, stop=stop, when_ready=told)
