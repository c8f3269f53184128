"""What `talkalike doctor` asks of the faces: the bot's token and owner, and the database. It asks nobody outside."""

from __future__ import annotations

import os
from collections.abc import Iterator

from talkalike.cli.doctor_checks import Check
from talkalike.cli.output import counted
from talkalike.cli.secrets import DATABASE_VARIABLE, database_url, discord_token
from talkalike.cli.workspace import Workspace
from talkalike.errors import TalkalikeError, UserError
from talkalike.store.store import open_store


def faces(opened: Workspace) -> Iterator[Check]:
    """Discord and the database."""
    yield _discord(opened)
    yield _database(opened)


def _discord(opened: Workspace) -> Check:
    try:
        token = discord_token(opened)
    except UserError as error:
        return Check(name="discord", state="problem", found=error.what, todo=error.hint)
    if not token:
        return Check(name="discord", state="ok", found="no token; `talkalike discord setup` makes a bot")
    if opened.settings.discord.owner_id is None:
        todo = "Set owner_id in [discord] of talkalike.toml to your Discord id, or run: talkalike discord setup"
        return Check(
            name="discord", state="warning", found="there is a token, but nobody is the bot's owner", todo=todo
        )
    return Check(name="discord", state="ok", found="there is a token, and an owner")


def _database(opened: Workspace) -> Check:
    if not os.environ.get(DATABASE_VARIABLE) and not (opened.root / "talkalike.db").exists():
        return Check(name="database", state="ok", found="none yet; `talkalike serve` makes it")
    from talkalike.store.servers import all_servers  # Django: only where there is a database

    try:
        with open_store(database_url(opened)) as store:
            servers = store.call(all_servers)
            return Check(name="database", state="ok", found=f"{store.name}, {counted(len(servers), 'server')}")
    except TalkalikeError as error:
        return Check(name="database", state="problem", found=error.what, todo=error.hint or "See the log.")
