"""`talkalike route`: several servers behind one address."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer

from talkalike.cli.output import say
from talkalike.engine.listening import address_of, open_socket
from talkalike.engine.own_names import is_loopback
from talkalike.engine.router import Router
from talkalike.engine.server import serve
from talkalike.errors import UserError

_ADDRESS = re.compile(r"https?://[^\s/]+(/[^\s?#]*)?")


def route(  # signature: typer
    servers: Annotated[
        list[str], typer.Argument(metavar="URLS", help="The servers' addresses, such as http://10.0.0.5:8000/v1.")
    ],
    host: Annotated[str, typer.Option(help="Network address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on. 0: any free one.")] = 8080,
) -> None:
    """Put several servers behind one address.

    Each conversation goes to the one that has it in memory. The servers hold the same models. One that does not answer
    is passed over until it does.
    """
    wrong = [server for server in servers if not _ADDRESS.fullmatch(server)]
    if wrong:
        raise UserError(
            f"{wrong[0]} is not the address of a server.", hint="Write it with its version: http://10.0.0.5:8000/v1"
        )
    asyncio.run(_route(servers, host=host, port=port))


async def _route(servers: list[str], *, host: str, port: int) -> None:
    router = Router(servers)
    try:
        if host != "localhost" and not is_loopback(host) and (found := await router.open_to_anybody()):
            raise UserError(
                f"{found[0]} answers without a key, so through {host} anyone in the network could talk to its models.",
                hint="Give the server a key, or pass requests on at 127.0.0.1 only.",
            )
        listening = open_socket(host, port)
        say(f"Passing requests at {address_of(listening)}v1 on to {len(set(servers))} servers. Ctrl-C stops.")
        await serve(router.app(), listening=listening)
    finally:
        await router.close()
