"""Secrets: from the environment, or from a file in the workspace that only its owner can read. Never printed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.workspace.files import write_atomically

TOKEN_VARIABLE = "DISCORD_TOKEN"
DATABASE_VARIABLE = "DATABASE_URL"


def token_file(opened: Workspace) -> Path:
    """Where `talkalike discord setup` keeps the bot's token."""
    return opened.root / "discord.token"


def discord_token(opened: Workspace) -> str:
    """The bot's token from $DISCORD_TOKEN, else from the workspace's file; empty where there is neither.

    Raises UserError for a file that others may read.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    file = token_file(opened)
    if token or not file.exists():
        return token
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise UserError(
            f"{file} holds the bot's token, and other users of this computer can read it (mode {mode:o}).",
            hint="Run: talkalike doctor. If others may have seen the token, make a new one in the developer portal.",
        )
    return file.read_text(encoding="utf-8-sig").strip()


def keep_token(opened: Workspace, token: str) -> Path:
    """Writes the token's file, readable by its owner only from the first moment."""
    file = token_file(opened)
    write_atomically(file, f"{token}\n")
    return file


def database_url(opened: Workspace) -> str:
    """The database of the workspace: $DATABASE_URL (it may hold a password), else a SQLite file."""
    return os.environ.get(DATABASE_VARIABLE, "").strip() or f"sqlite:///{opened.database}"
