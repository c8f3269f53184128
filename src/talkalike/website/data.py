"""How views reach the store: reads in the request's own connection, writes in the one thread that writes.

See the package's docstring for why. The functions given are the store's plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connection

from talkalike.website.services import services

P = ParamSpec("P")
T = TypeVar("T")


def read(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a store function that only reads, in this thread. DatabaseError becomes a page (`answers.problem`)."""
    return function(*args, **kwargs)


def write(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a store function that writes; what it wrote is kept once this returns. Raises StoreError.

    Never inside a transaction of this thread: on SQLite it would hold the lock that the writing thread waits for.
    """
    if connection.in_atomic_block:
        raise RuntimeError("write() was called inside a transaction; call the store's function directly there")
    return services().store.call(function, *args, **kwargs)


async def aread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `read`, from async views and streamed answers: in one of the site's threads."""

    def fresh() -> T:
        close_old_connections()  # one that broke meanwhile is replaced
        return function(*args, **kwargs)

    return await sync_to_async(fresh, thread_sensitive=False, executor=services().threads)()


async def awrite(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `write`, from async views and streamed answers."""
    return await services().store.run(function, *args, **kwargs)
