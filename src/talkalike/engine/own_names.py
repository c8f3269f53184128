"""A server that only this computer can reach answers to its own names only.

A web page may give its own name the address 127.0.0.1 (DNS rebinding), and a browser then lets it talk to whatever
listens there. Its requests carry that name as their Host.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_TOLD = 20  # sentences: whoever asks for one name after the other must not fill the log
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::\d{1,5})?", re.IGNORECASE)


class Teller:
    """Writes each sentence to the log once, and not endlessly many."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: set[str] = set()

    def tell(self, sentence: str) -> None:
        """Says what whoever runs the server should change."""
        if sentence not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(sentence)
            self._log.warning(sentence)


class OwnNamesOnly:
    """Passes on requests to `localhost`, to a loopback address, and to `names`; the others get `refusal`."""

    def __init__(self, app: ASGIApp, refusal: Response, *, names: Sequence[str] = ()) -> None:
        self._app = app
        self._refusal = refusal
        self._teller = Teller(logging.getLogger(__name__))
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        ours = len(hosts) == 1 and self._is_ours(hosts[0])
        if not ours and hosts and (found := _HOST.fullmatch(hosts[0])):
            self._teller.tell(
                f"A request for the name {found[1][:100]!r} was refused. If clients reach this server by it, add it to "
                "the names in [serve] of talkalike.toml."
            )
        await (self._app if ours else self._refusal)(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found[1].lower() if found else ""
        return name in self._names or name == "localhost" or is_loopback(name.strip("[]"))


def is_loopback(address: str) -> bool:
    """Whether this is an address of the computer itself, that no other one can reach."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def is_local(listening: socket.socket) -> bool:
    """Whether only programs of this computer can reach the socket."""
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return True  # a Unix socket
    return is_loopback(str(listening.getsockname()[0]))
