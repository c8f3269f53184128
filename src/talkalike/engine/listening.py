"""The socket on which something is served, and serving on it until it is to end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from talkalike.errors import UserError

if TYPE_CHECKING:
    import uvicorn


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises UserError where that cannot be had."""
    if not 0 <= port <= 65535:
        raise UserError(f"Cannot listen on port {port}.", hint="Ports go from 1 to 65535; 0 is any free one.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        known = error.errno is not None and error.errno > 0  # a name that cannot be looked up has a number of its own
        reason = os.strerror(error.errno) if known and error.errno else str(error.strerror or error)
        raise UserError(
            f"Cannot listen on {host}, port {port}: {reason}.",
            hint="Choose another with --port, or stop the program that uses it.",
        ) from None
    # Inherited by what it accepts: a small piece goes out at once, instead of waiting up to 40 ms for the other side to
    # acknowledge the one before. asyncio sets it too, but only where a socket names its protocol, which this does not.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket) -> str:
    """The address that a browser or a client is given."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


async def run_server(
    server: uvicorn.Server,
    listening: socket.socket,
    *,
    stop: asyncio.Event | None,
    when_ready: Callable[[], object] = lambda: None,
) -> None:
    """Serves until `stop` is set, if there is one, or the server ends by itself. Closes the socket."""

    async def end() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        when_ready()
        if stop is not None:
            await stop.wait()
            server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        with listening:
            await server.serve(sockets=[listening])
    finally:
        ending.cancel()
