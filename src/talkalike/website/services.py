"""What the site is given when it starts; views ask for it here and open nothing themselves."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections

from talkalike.store.store import Store

if TYPE_CHECKING:
    from talkalike.chat.engines import Engines
    from talkalike.chat.looking import Onlooker
    from talkalike.website.runs.service import RunCommands

OWN_HOSTS = ("localhost", "127.0.0.1", "[::1]")  # names of this computer, which need not be listed
THREADS = 8  # requests that run Python at once; a streamed answer holds none of them


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """Settings of the site as a whole.

    `hosts`: the names under which it is reached, besides this computer's own (no ports; ".example.org" with all below).
    `tls`: people reach it by https, so cookies are sent only there. `behind_proxy`: a proxy on this computer tells who
    asks (X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Prefix). `path`: where it lies at that host, such as
    "/double"; "" at the top. `name`: whose double it is, "" where that is not known. `options`: the values of
    `talkalike.chat.options` that hold where the owner and the visitor set nothing else.
    """

    hosts: tuple[str, ...] = ()
    tls: bool = False
    behind_proxy: bool = False
    path: str = ""
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SiteServices:
    """The store, the workspace, the models (None: this site has nobody to talk to), what looks at pictures (None:
    nobody does) and the settings.

    `onlooker`: the eye for pictures; None: there is none. `run_commands`: starts training runs and chooses the model in
    use; None: this site shows runs and starts none.
    """

    store: Store
    root: Path
    engines: Engines | None = None
    onlooker: Onlooker | None = None
    run_commands: RunCommands | None = None
    settings: SiteSettings = field(default_factory=SiteSettings)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="website")
    )

    def close(self) -> None:
        """Ends the threads and closes the connections they hold. The store and the engines stay open."""
        together = threading.Barrier(THREADS)  # each thread takes one

        def disconnect() -> None:
            connections.close_all()
            together.wait(10)

        for ending in [self.threads.submit(disconnect) for _ in range(THREADS)]:
            ending.result()
        self.threads.shutdown()


_given: list[SiteServices] = []


def provide(given: SiteServices | None) -> None:
    """Makes `given` what views work with; None once the site has stopped."""
    _given[:] = [given] if given else []


def services() -> SiteServices:
    """What the running site was given."""
    if not _given:
        raise RuntimeError("the site is not running")
    return _given[0]
