"""Django's settings: made once per process, in code, because the only thing a person chooses is the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from talkalike.errors import UserError

APPS = ("talkalike.store.apps.StoreConfig",)
BUSY_SECONDS = 30  # how long a write waits for another process's write
CONNECT_SECONDS = 10
EXAMPLES = "Use sqlite:///path/to/file.sqlite3 or postgres://user:password@host:5432/name."


def database_settings(url: str) -> dict[str, Any]:
    """The URL as an entry of Django's DATABASES. Raises UserError; no message repeats the URL, it holds a password."""
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in ("postgres", "postgresql"):
        return _postgres(url)
    raise UserError("The database's address is neither SQLite's nor Postgres's.", hint=EXAMPLES)


def _sqlite(url: str) -> dict[str, Any]:
    path = url.removeprefix("sqlite:///")
    if path == url or path in ("", ":memory:"):
        raise UserError("The SQLite address names no file.", hint=EXAMPLES)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(path).expanduser()),
        "CONN_MAX_AGE": None,  # one connection for as long as the store is open
        "OPTIONS": {
            "timeout": BUSY_SECONDS,
            # A transaction asks for the write lock when it begins: one that read first could not wait for it later.
            "transaction_mode": "IMMEDIATE",
            # FULL: what was acknowledged survives a power cut, too. Foreign keys are enforced by Django's backend.
            "init_command": "PRAGMA synchronous = FULL",
        },
    }


def _postgres(url: str) -> dict[str, Any]:
    # Not imported at the top: a process that opens no store pays nothing for Django.
    import dj_database_url

    try:
        port = urlsplit(url).port  # raises ValueError for a port that is no number
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError:
        raise UserError("The Postgres address cannot be read.", hint=EXAMPLES) from None
    if not database["NAME"]:
        raise UserError("The Postgres address names no database.", hint=EXAMPLES)
    options = {"connect_timeout": CONNECT_SECONDS, **database.get("OPTIONS", {})}
    return {**database, "PORT": port or "", "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


def configure(database: dict[str, Any]) -> None:
    """Sets Django up over `database`; later calls only point new threads' connections at the one given.

    A thread keeps the connection it has. Each `Store` has a thread of its own, and so its own database.
    """
    # as above
    import django
    from django.conf import settings
    from django.db import connections

    if settings.configured:
        connections.settings["default"] = connections.configure_settings({"default": database})["default"]
        return
    # LOGGING_CONFIG: what is logged, and where to, is the program's concern.
    settings.configure(
        DATABASES={"default": database}, INSTALLED_APPS=APPS, USE_TZ=True, TIME_ZONE="UTC", LOGGING_CONFIG=None
    )
    django.setup()
