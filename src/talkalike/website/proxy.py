"""What stands between people and the site: whose word is taken, under which path it lies, and what is set up wrongly.

A proxy's word counts only where `behind_proxy` says that there is one, and only from this computer. What does not fit
the settings is told once, in words, to whoever runs the site: people only see a form that was refused.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.http.request import split_domain_port, validate_host
from django.urls import get_resolver
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from talkalike.engine.own_names import Teller, is_local, is_loopback
from talkalike.errors import UserError
from talkalike.website.services import OWN_HOSTS, SiteSettings

TRUSTED = ("127.0.0.1", "::1")
FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")
NAME = re.compile(r"[a-z0-9.-]{1,253}")
PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
SET = "in [web] of talkalike.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a request says about the way it took. `peer` is who opened the connection, `headers` the last of each."""

    peer: str
    host: str
    headers: dict[bytes, str]

    @property
    def forwarded(self) -> str:
        """A header that a proxy adds; "" where there is none."""
        return next((name.decode().title() for name in FORWARDED if name in self.headers), "")

    @property
    def is_near(self) -> bool:
        """Whether the connection came from this computer (or by a Unix socket, which has no address)."""
        return not self.peer or is_loopback(self.peer)


class BehindProxy:
    """An ASGI application around the site's."""

    def __init__(self, app: Any, settings: SiteSettings) -> None:
        self._settings = settings
        self._app = ProxyHeadersMiddleware(app, list(TRUSTED)) if settings.behind_proxy else app
        self._teller = Teller(logging.getLogger(__name__))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one request, whose path is made to begin with the prefix."""
        if scope["type"] == "http":
            seen = _read_arrival(scope)
            for sentence in mistakes(seen, self._settings):
                self._teller.tell(sentence)
            prefix = self._prefix(seen)
            if prefix and scope["path"] == prefix:
                await _redirect(f"{prefix}/", send)
                return
            inside = scope["path"].startswith(f"{prefix}/")  # some proxies take the path away, some pass it on
            path = scope["path"] if inside else prefix + scope["path"]
            scope = {**scope, "root_path": prefix, "path": path}
        await self._app(scope, receive, send)

    def _prefix(self, seen: Arrival) -> str:
        """The path under which the site lies: as set, else as a trusted proxy says."""
        said = seen.headers.get(b"x-forwarded-prefix", "").rstrip("/")
        if self._settings.path or not (said and self._settings.behind_proxy and seen.is_near):
            return self._settings.path
        try:
            return check_path(said)
        except UserError:
            self._teller.tell("X-Forwarded-Prefix is no path that the site can lie under, so it was not used.")
            return ""


def check_path(path: str) -> str:
    """The path under which the site lies, without a slash at its end. UserError for one that cannot be."""
    plain = path.rstrip("/")
    if plain and not PATH.fullmatch(plain):
        raise UserError(f"'{path}' is no path that the site can lie under.", hint=f'Set path = "/double" {SET}.')
    own = {str(pattern.pattern).split("/")[0] for pattern in get_resolver().url_patterns} | {"static"}
    if plain and plain.split("/")[1] in own:
        what = f"The site cannot lie under '{plain}': that is the address of one of its own pages."
        raise UserError(what, hint=f'Choose another path {SET}, such as "/double".')
    return plain


def mistakes(seen: Arrival, settings: SiteSettings) -> Iterator[str]:
    """What does not fit the settings, each with what to change."""
    believed = settings.behind_proxy and seen.is_near
    scheme = seen.headers.get(b"x-forwarded-proto", "http").strip() if believed else "http"
    if not validate_host(seen.host, [*OWN_HOSTS, *settings.hosts]):
        if NAME.fullmatch(seen.host):
            yield (
                f"A request for the name {seen.host} was refused. If people reach the site by it, "
                f'add it to the names {SET}: names = "{", ".join((*settings.hosts, seen.host))}".'
            )
        return
    if seen.forwarded and not settings.behind_proxy:
        yield (
            f"A proxy passes requests on ({seen.forwarded} was seen), but behind_proxy is false: everybody counts as "
            f"one visitor, and forms may be refused. Set behind_proxy = true {SET}."
        )
    if seen.forwarded and settings.behind_proxy and not seen.is_near:
        yield (
            f"{seen.forwarded} came from {seen.peer}, and was not believed: with behind_proxy, the proxy has to run on "
            "this computer and reach the site at 127.0.0.1."
        )
    by_name = validate_host(seen.host, list(settings.hosts))
    if by_name and believed and b"x-forwarded-for" not in seen.headers:
        yield (
            "behind_proxy is true, but a request came without X-Forwarded-For, so everybody counts as one visitor. Let "
            f"the proxy send it; without a proxy, set behind_proxy = false {SET}."
        )
    if scheme == "https" and not settings.tls:
        yield f"People reach the site by https (X-Forwarded-Proto says so), but tls is false. Set tls = true {SET}."
    if by_name and settings.tls and scheme != "https":
        yield (
            f"tls is true, but {seen.host} was asked for by http, as far as the site can see: nobody can log in, and "
            "forms are refused. Let the proxy send X-Forwarded-Proto: https, with behind_proxy = true; or, if there is "
            f"no https, set tls = false {SET}."
        )
    yield from _forms(seen, settings, scheme)


def _forms(seen: Arrival, settings: SiteSettings, scheme: str) -> Iterator[str]:
    """Forms that the site refuses as somebody else's, although they are its own."""
    origin = urlsplit(seen.headers.get(b"origin", "")) if b"origin" in seen.headers else None
    name = (origin.hostname or "") if origin else ""
    if origin is None or not validate_host(name, list(settings.hosts)):
        return
    if name != seen.host:
        yield (
            f"A form of {name} came with the host name {seen.host}, and is refused: let the proxy pass the name on "
            "(in nginx: proxy_set_header Host $host)."
        )
    elif origin.scheme == "https" != scheme and not settings.tls:
        yield (
            f"A form of https://{name} is refused, for the site does not know of the https. Set tls = true and "
            f"behind_proxy = true {SET}, and let the proxy send X-Forwarded-Proto: https."
        )


def doubts(settings: SiteSettings, listening: socket.socket) -> Iterator[str]:
    """What looks wrong before anybody has asked for anything."""
    if settings.tls and not settings.behind_proxy:
        yield (
            "tls is true, but the site itself speaks http: a proxy has to speak https to people. Set behind_proxy = "
            f"true {SET} too, so that it is believed."
        )
    if not settings.hosts and (settings.tls or settings.behind_proxy or not is_local(listening)):
        yield (
            "The site answers to localhost and 127.0.0.1 only. Others reach it by a name or an address: "
            f'set it {SET}, as in names = "double.example.org".'
        )


def _read_arrival(scope: Any) -> Arrival:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    host, _ = split_domain_port(headers.get(b"host", ""))
    return Arrival(peer=(scope.get("client") or ("", 0))[0], host=host, headers=headers)


async def _redirect(to: str, send: Any) -> None:
    headers = [(b"location", to.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
