"""Opens the database and runs functions on it, each in the one thread that holds the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from talkalike.errors import TalkalikeError, UserError
from talkalike.store.configure import configure, database_settings

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Django's settings are the process's; two stores that open at once take turns.
_opening = threading.Lock()


class StoreError(TalkalikeError):
    """The database failed: full, locked, damaged, gone. The message never holds its address's password."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One caller's part of a shared transaction: `function` gets the items of all who wait for it."""

    function: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    waiting: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _JobResult:
    """The result or the error of a job."""

    job: _Job
    result: Any = None
    error: Exception | None = None


class Store:
    """An open database. Functions run one after another in a thread of its own: the event loop never waits for a disk.

    What a function returns was written when `run` or `call` return. Close it, or use it as a context manager.
    """

    def __init__(self, thread: ThreadPoolExecutor, name: str) -> None:
        """Use `open_store`. `name` is the database in words, without a password."""
        self._thread = thread
        self._closed = False
        self._jobs: list[_Job] = []  # where there are any, the thread was asked to take them
        self._jobs_lock = threading.Lock()
        self.name = name

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function of this room. A caller that is cancelled meanwhile does not undo it: the write is finished.

        Raises StoreError where the database fails or is closed.
        """
        return await asyncio.shield(asyncio.wrap_future(self._begin(partial(function, *args, **kwargs))))

    async def together(self, function: Callable[[Sequence[T]], Sequence[R]], item: T) -> R:
        """Calls `function` with the items of all who wait for it at that moment; returns what it says of this one.

        Everything that waits shares one transaction: many small writes then cost little more than one. It is written
        when this returns. A transaction that fails is tried again item by item, so that nobody suffers from another's
        mistake. Raises as `run` does; a caller that is cancelled does not undo it either.
        """
        waiting: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        with self._jobs_lock:
            if not self._jobs:
                self._submit(self._take_jobs)
            self._jobs.append(_Job(function, item, waiting))
        return await waiting

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
        return self._submit(partial(_guard, self.name, work))

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise StoreError(f"{self.name[0].upper()}{self.name[1:]} is closed.")
        return self._thread.submit(work)

    def _take_jobs(self) -> None:
        """Runs waiting jobs in the store's thread."""
        with self._jobs_lock:
            jobs, self._jobs = self._jobs, []
        results = _try_jobs(self.name, jobs)
        for loop in {job.waiting.get_loop() for job in jobs}:
            with suppress(RuntimeError):  # that loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(_tell, [one for one in results if one.job.waiting.get_loop() is loop])

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
    name = describe(database)
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


def describe(database: dict[str, Any]) -> str:
    """The database in words, for messages."""
    if database["ENGINE"].endswith("sqlite3"):
        return f"the database {database['NAME']}"
    where = f"{database['HOST'] or 'this computer'}{':' + str(database['PORT']) if database['PORT'] else ''}"
    return f"the Postgres database '{database['NAME']}' on {where}"


def _connect(database: dict[str, Any], name: str) -> None:
    # Django here and below: a process that opens no store pays nothing for it
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
    from django.db import connections  # as above

    connections.close_all()


def _try_jobs(name: str, jobs: Sequence[_Job]) -> list[_JobResult]:
    """All in one transaction; where that fails, each in its own."""
    try:
        return _guard(name, partial(_in_one_transaction, jobs))
    except Exception as error:  # noqa: BLE001  # whatever it is: whoever waits gets it
        if len(jobs) == 1:
            return [_JobResult(jobs[0], error=error)]
    return [result for job in jobs for result in _try_jobs(name, [job])]


def _in_one_transaction(jobs: Sequence[_Job]) -> list[_JobResult]:
    from django.db import transaction  # as above

    by_function: dict[Any, list[_Job]] = {}
    for job in jobs:
        by_function.setdefault(job.function, []).append(job)
    with transaction.atomic():
        return [
            _JobResult(job, result)
            for function, mine in by_function.items()
            for job, result in zip(mine, function([job.item for job in mine]), strict=True)
        ]


def _tell(results: Sequence[_JobResult]) -> None:
    """Runs in the loop of those who wait; who was cancelled meanwhile does not."""
    for one in results:
        if one.job.waiting.done():
            continue
        if one.error is not None:
            one.job.waiting.set_exception(one.error)
        else:
            one.job.waiting.set_result(one.result)


def _guard(name: str, work: Callable[[], T]) -> T:
    # as above
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
