"""Makes the tables and brings them up to date, one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from talkalike.errors import UserError

LOCK_NUMBER = 0x74616C6B616C696B  # Postgres's advisory locks are numbers: "talkalik"


def migrate(database: dict[str, Any], name: str) -> None:
    """Connects this thread and applies the migrations that are missing.

    Raises UserError where the database knows migrations that this version does not, DatabaseError and OSError where it
    cannot be opened.
    """
    with _alone(database):
        executor = MigrationExecutor(connection)
        loader = executor.loader
        # A process without the website knows nothing of its apps, and leaves their tables alone.
        known = {key for key in loader.applied_migrations if key[0] in loader.migrated_apps}
        newer = known - set(loader.disk_migrations)
        if newer:
            raise UserError(
                f"{name[0].upper()}{name[1:]} was made by a newer version of talkalike.",
                hint="Update talkalike, or choose another database.",
            )
        if executor.migration_plan(loader.graph.leaf_nodes()):
            call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def _alone(database: dict[str, Any]) -> Iterator[None]:
    """Holds the lock under which a database is made or changed; waits for it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK_NUMBER])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK_NUMBER])
        return
    path = Path(database["NAME"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connection.cursor() as cursor:
            # The file remembers it. Readers then never wait for the writer, nor the writer for readers.
            cursor.execute("PRAGMA journal_mode = WAL")
        yield
