"""Opens the database and runs functions on it, each in the one thread that holds the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from talkalike.errors import TalkalikeError, UserError
from talkalike.store.configure import configure, database_settings

P = ParamSpec("P")
T = TypeVar("T")

# Django's settings are the process's; two stores that open at once take turns.
_opening = threading.Lock()


class StoreError(TalkalikeError):
    """The database failed: full, locked, damaged, gone. The message never holds its address's password."""


class Store:
    """An open database. Functions run one after another in a thread of its own: the event loop never waits for a disk.

    What a function returns was written when `run` or `call` return. Close it, or use it as a context manager.
    """

    def __init__(self, thread: ThreadPoolExecutor, name: str) -> None:
        """Use `open_store`. `name` is the database in words, without a password."""
        self._thread = thread
        self._closed = False
        self.name = name

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function of this room. A caller that is cancelled meanwhile does not undo it: the write is finished.

        Raises StoreError where the database fails or is closed.
        """
        return await asyncio.shield(asyncio.wrap_future(self._begin(partial(function, *args, **kwargs))))

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for callers without an event loop."""
        return self._begin(partial(function, *args, **kwargs)).result()

    def close(self) -> None:
        """Finishes what was begun and closes the connection. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._thread.submit(_disconnect).result()
            self._thread.shutdown()

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise StoreError(f"{self.name[0].upper()}{self.name[1:]} is closed.")
        return self._thread.submit(_guarded, self.name, work)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_store(url: str) -> Store:
    """Opens (and makes, and brings up to date) the database at `url`: "sqlite:///file" or "postgres://user:pw@host/name".

    Raises UserError where the address is wrong, the database cannot be reached, read or written, or was made by a newer
    talkalike.
    """
    database = database_settings(url)
    name = described(database)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    try:
        with _opening:
            configure(database)
            thread.submit(_connect, database, name).result()
    except BaseException:
        thread.submit(_disconnect).result()
        thread.shutdown()
        raise
    return Store(thread, name)


def described(database: dict[str, Any]) -> str:
    """The database in words, for messages."""
    if database["ENGINE"].endswith("sqlite3"):
        return f"the database {database['NAME']}"
    where = f"{database['HOST'] or 'this computer'}{':' + str(database['PORT']) if database['PORT'] else ''}"
    return f"the Postgres database '{database['NAME']}' on {where}"


def _connect(database: dict[str, Any], name: str) -> None:
    from django.db import DatabaseError

    from talkalike.store.migrating import migrate

    try:
        migrate(database, name)
    except (DatabaseError, OSError) as error:
        raise UserError(
            f"Cannot open {name}: {_first_line(error)}.",
            hint="Check that it exists, that it is a database of talkalike, and that you may write to it.",
        ) from None


def _disconnect() -> None:
    from django.db import connections

    connections.close_all()


def _guarded(name: str, work: Callable[[], T]) -> T:
    from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError, connection

    # A connection that broke earlier (Postgres was restarted) is replaced before anybody notices.
    connection.close_if_unusable_or_obsolete()
    try:
        return work()
    except (IntegrityError, DataError, ProgrammingError):
        raise  # a mistake of ours, not the database's
    except (DatabaseError, InterfaceError) as error:
        raise StoreError(
            f"Writing to or reading from {name} failed: {_first_line(error)}.",
            hint="Check the disk's free space and that the database is running.",
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().split("\n")
    return lines[0].rstrip(". ") or type(error).__name__
