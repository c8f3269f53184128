"""The site as an ASGI application, and a server for it that runs beside others in one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse

from talkalike.engine.listening import run_server
from talkalike.website.accounts import make_groups
from talkalike.website.body_cap import BodyCap
from talkalike.website.proxy import BehindProxy
from talkalike.website.services import SiteServices, provide

GRACE_SECONDS = 5  # how long answers that are under way may go on once the site is told to stop


class SiteHandler(ASGIHandler):
    """Django's handler, with each request's middleware and view in one thread of a small pool.

    Django itself would start a thread, and open a connection, for every request, and change threads for every
    middleware. Async views still run in the event loop, and so do the bodies of streamed answers.
    """

    def __init__(self, services: SiteServices) -> None:
        super().__init__()
        self.load_middleware(is_async=False)
        chain: Any = self._middleware_chain

        def answer(request: HttpRequest) -> HttpResponse:
            close_old_connections()  # one that broke meanwhile is replaced
            answered: HttpResponse = chain(request)
            return answered

        self._middleware_chain: Any = sync_to_async(answer, thread_sensitive=False, executor=services.threads)


def application(services: SiteServices) -> BehindProxy:
    """The ASGI application. `configure_site` was called, and the store opened, before. One at a time in a process."""
    provide(services)
    services.store.call(make_groups)
    return BehindProxy(BodyCap(SiteHandler(services)), services.settings)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the event loop: other things run in it, too."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run_site(
    services: SiteServices,
    *,
    listening: socket.socket,
    stop: asyncio.Event,
    when_ready: Callable[[], object] = lambda: None,
) -> None:
    """Serves until `stop` is set, and then until answers under way are finished, or `GRACE_SECONDS` are over.

    Closes the socket and ends the site's threads; the store and the engines stay open.
    """
    config = uvicorn.Config(
        application(services),
        log_level="warning",
        access_log=False,  # addresses of invitations are secrets
        ws="none",
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # `BehindProxy` does that, and needs to know who opened the connection
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    try:
        await run_server(_Server(config), listening, stop=stop, when_ready=when_ready)
    finally:
        await asyncio.to_thread(services.close)
        provide(None)
