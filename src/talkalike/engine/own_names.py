"""A server that only this computer can reach answers to its own names only.

A web page may give its own name the address 127.0.0.1 (DNS rebinding), and a browser then lets it talk to whatever
listens there. Its requests carry that name as their Host.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::\d{1,5})?", re.IGNORECASE)


class OwnNamesOnly:
    """Passes on requests to `localhost`, to a loopback address, and to `names`; the others get `refusal`."""

    def __init__(self, app: ASGIApp, refusal: Response, *, names: Sequence[str] = ()) -> None:
        self._app = app
        self._refusal = refusal
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        ours = len(hosts) == 1 and self._is_ours(hosts[0])
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
